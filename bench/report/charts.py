"""The charts of a report, as Vega-Lite through altair: one specification for page and pictures.

Each reads the dataset `runs` or `differences` or `exchange` (see `bench.report.rows`) by name.
Seeds are averaged here, not in the rows, so that a page can filter them. `picked` is the list of
groups that stand out, all if it is empty.
"""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt

from bench.report.look import COLOURS, PICTURE, Look, log_scale, stands_out, tips
from bench.report.rows import AT, Row

_BITS = "bits per byte, held-out documents"
_OF_GROUP = (
    ("arm", "arm", ""), ("size", "size", ""), ("seeds", "seeds", "d"), ("reads", "read as", ""),
    ("mean_bits", "bits per byte, mean", ".4f"), ("lowest", "lowest seed", ".4f"), ("highest", "highest seed", ".4f"),
    ("mean_ratio", "bytes per symbol", ".3f"), ("mean_flops", "FLOPs", ".3g"), ("mean_symbols", "symbols", ",.0f"),
    ("mean_bytes", "bytes shown", ",.0f"), ("mean_seconds", "seconds", ",.0f"),
)  # fmt: skip
_OF_RUN = (
    ("run", "run", ""), ("seed", "seed", "d"), ("reads", "read as", ""), ("bits", "bits per byte", ".4f"),
    ("low", "95 % over documents, low", ".4f"), ("high", "high", ".4f"), ("ratio", "bytes per symbol", ".3f"),
    ("flops", "FLOPs", ".3g"), ("symbols", "symbols", ",.0f"), ("bytes", "bytes shown", ",.0f"),
    ("seconds", "seconds", ",.0f"), ("distance", "changed by 10 % deletion", ".2f"),
)  # fmt: skip


def _over_seeds(chart: alt.Chart) -> alt.Chart:
    """The runs that were scored as one row for each arm and size: means, lowest and highest bits."""
    means = {f"mean_{key}": f"mean({key})" for key in ("bits", "ratio", "flops", "symbols", "bytes", "seconds")}
    return chart.transform_filter("isValid(datum.bits)").transform_aggregate(
        **means,
        lowest="min(bits)",
        highest="max(bits)",
        seeds="count()",
        groupby=["arm", "size", "group", "panel", "reads", "budget"],
    )


def ratio(look: Look) -> alt.FacetChart:
    """Bytes per symbol in training against bits per byte: a point an arm, its range over seeds, and
    faint the runs.
    """
    x = alt.Scale(zero=False, nice=False, padding=18)
    y, axis = log_scale()
    chart = alt.Chart()
    runs = chart.transform_filter("isValid(datum.bits)").mark_point(filled=True, size=22, opacity=0.45)
    faint = runs.encode(
        alt.X("ratio:Q", scale=x),
        alt.Y("bits:Q", scale=y),
        look.colour(),
        opacity=stands_out(0.05, 0.45),
        tooltip=tips(*_OF_RUN),
    )
    across = alt.X("mean_ratio:Q", title="bytes of text per symbol", scale=x, axis=alt.Axis(tickCount=5))
    span = _over_seeds(chart).mark_rule(strokeWidth=1.5)
    span = span.encode(across, alt.Y("lowest:Q", scale=y), alt.Y2("highest:Q"), look.colour(), opacity=stands_out())
    up = alt.Y("mean_bits:Q", title="bits per byte", scale=y, axis=alt.Axis(format=".3~f", **axis))
    points = _over_seeds(chart).mark_point(filled=True, size=90, opacity=1)
    means = points.encode(across, up, look.colour(), opacity=stands_out(), tooltip=tips(*_OF_GROUP))
    return look.small(alt.layer(means, span, faint), "runs")


def compute(look: Look) -> alt.LayerChart:
    """Loss against training FLOPs: a point for each arm and size, its range over seeds, and a line
    through the best size at each budget.
    """
    x, x_axis = log_scale(padding=25)
    y, y_axis = log_scale(ticks=6)
    form = alt.Axis(labelExpr="format(datum.value, '~e')", **x_axis)
    across = alt.X("mean_flops:Q", title="training FLOPs", scale=x, axis=form)
    up = alt.Y("mean_bits:Q", title=_BITS, scale=y, axis=alt.Axis(format=".3~f", **y_axis))
    means = _over_seeds(alt.Chart(alt.NamedData("runs")))
    best = means.transform_joinaggregate(best="min(mean_bits)", groupby=["arm", "budget"])
    line = best.transform_filter("datum.mean_bits == datum.best").mark_line(strokeWidth=2)
    lines = line.encode(across, up, look.colour())
    spans = means.mark_rule(strokeWidth=1.5).encode(
        across, alt.Y("lowest:Q", scale=y), alt.Y2("highest:Q"), look.colour(), opacity=stands_out()
    )
    sizes = list(look.panels)
    legend = alt.Legend(title="size", symbolLimit=0) if len(sizes) > 1 else None
    shape = alt.Shape("size:N", scale=alt.Scale(domain=sizes), legend=legend)
    points = means.mark_point(size=80, filled=True, opacity=1).encode(
        across, up, look.colour(), shape, opacity=stands_out(), tooltip=tips(*_OF_GROUP)
    )
    return alt.layer(lines, spans, points).properties(width=look.width - (30 if look.still else 140), height=380)


def curves(look: Look) -> alt.FacetChart:
    """Training loss against what was spent: a line an arm, the mean over its seeds, in a band from
    the lowest to the highest. `cost` is the field of what was spent.
    """
    x, x_axis = log_scale(ticks=4, padding=4)
    y, y_axis = log_scale(padding=8)
    form = alt.Axis(labelExpr="format(datum.value, cost == 'at_flops' ? '~e' : '~s')", grid=False, **x_axis)
    at = alt.Chart().transform_filter("isValid(datum.loss)").transform_flatten([*AT.values(), "loss"])
    at = at.transform_window(point="row_number()", groupby=["run"]).transform_calculate(spent="datum[cost]")
    at = at.transform_aggregate(
        spent="mean(spent)", mean="mean(loss)", lowest="min(loss)", highest="max(loss)", seeds="count()",
        groupby=["arm", "size", "group", "panel", "point"],
    )  # fmt: skip
    # The first steps are far above the rest: what is above thrice the lowest loss is cut off.
    at = at.transform_joinaggregate(floor="min(mean)", groupby=["panel"]).transform_filter(
        "datum.mean < 3 * datum.floor"
    )
    across, detail = alt.X("spent:Q", title=None, scale=x, axis=form), alt.Detail("group:N")
    hover = tips(
        ("arm", "arm", ""), ("size", "size", ""), ("seeds", "seeds", "d"), ("spent", "spent", ".4g"),
        ("mean", "bits per byte shown, mean", ".4f"), ("lowest", "lowest seed", ".4f"), ("highest", "highest seed", ".4f"),
    )  # fmt: skip
    low = alt.Y("lowest:Q", scale=y)
    band = at.mark_area().encode(
        across, low, alt.Y2("highest:Q"), look.colour(), detail, opacity=stands_out(0.02, 0.18)
    )
    up = alt.Y("mean:Q", title="bits per byte shown", scale=y, axis=alt.Axis(format=".3~f", **y_axis))
    line = at.mark_line(strokeWidth=1.8).encode(across, up, look.colour(), detail, opacity=stands_out(), tooltip=hover)
    dots = at.mark_point(size=60, filled=True, opacity=0).encode(across, up, look.colour(), tooltip=hover)
    return look.small(alt.layer(line, band) if look.still else alt.layer(line, band, dots), "runs")


def differences(look: Look) -> alt.FacetChart:
    """Per cent of bits per byte more than the rival, arm by arm: thick the interval over seeds
    (Student's t of the pairs), thin that over documents.
    """
    scale = alt.Scale(type="symlog", constant=1, nice=False, padding=10)
    ticks = [sign * value for value in (1, 2, 5, 10, 20, 50, 100) for sign in (-1, 1)] + [0]
    axis = alt.Axis(
        values=sorted(ticks),
        labelExpr="datum.value ? format(datum.value, '+d') + ' %' : '0'",
        labelOverlap="greedy",
        labelSeparation=6,
    )
    across = alt.X("ratio:Q", title=None, scale=scale, axis=axis)
    row = alt.Y("arm:N", title=None, sort=list(look.arms), axis=alt.Axis(labelLimit=150, grid=True))
    chart, colour = alt.Chart(), look.colour(legend=False)  # rows have names
    hover = tips(
        ("arm", "arm", ""), ("size", "size", ""), ("seeds", "seeds that both have", "d"), ("bits", "bits per byte", ".4f"),
        ("ratio", "difference in %", "+.2f"), ("seeds_low", "95 % over seeds, low", "+.2f"), ("seeds_high", "high", "+.2f"),
        ("low", "95 % over documents, low", "+.2f"), ("high", "high", "+.2f"),
    )  # fmt: skip
    zero = chart.mark_rule(color="#555").encode(x=alt.datum(0, scale=scale, type="quantitative"))
    thin = chart.mark_rule(strokeWidth=1.5).encode(
        alt.X("low:Q", scale=scale, title=None), alt.X2("high:Q"), row, colour, opacity=stands_out()
    )
    # One seed gives no interval: its rule has no length
    ends = {end: f"isValid(datum.seeds_{end}) ? datum.seeds_{end} : datum.ratio" for end in ("low", "high")}
    seeds = chart.transform_calculate(from_=ends["low"], to=ends["high"]).mark_rule(strokeWidth=5)
    thick = seeds.encode(alt.X("from_:Q", scale=scale), alt.X2("to:Q"), row, colour, opacity=stands_out(0.08, 0.4))
    point = chart.mark_point(filled=True, size=70, opacity=1).encode(
        across, row, colour, opacity=stands_out(), tooltip=hover
    )
    return look.small(alt.layer(point, thin, thick, zero), "differences", share=("y",))


def exchange(rows: Sequence[Row]) -> alt.LayerChart:
    """Exchange rates: what a byte shown in a view is worth in raw bytes, view by view and width by
    width. Filled where the view pays.
    """
    views = list(dict.fromkeys(row["view"] for row in rows))
    base = alt.Chart(alt.NamedData("exchange"))
    x = alt.X("width:O", title="width of the model", axis=alt.Axis(labelAngle=0))
    offset = alt.XOffset("view:N", sort=views)
    palette = alt.Scale(domain=views, range=list(COLOURS))
    legend = alt.Legend(title="view", symbolLimit=0)
    stroke = alt.Stroke("view:N", scale=palette, legend=legend)
    hover = tips(
        ("view", "view", ""), ("width", "width", "d"), ("e", "exchange rate", ".3f"), ("e_low", "95 %, low", ".3f"),
        ("e_high", "high", ".3f"), ("bytes_per_position", "bytes per position", ".2f"), ("pays", "pays", ""),
    )  # fmt: skip
    low = alt.Y("e_low:Q", scale=alt.Scale(padding=10))
    span = base.mark_rule(strokeWidth=1.5).encode(x, offset, stroke, low, alt.Y2("e_high:Q"))
    up = alt.Y("e:Q", title="raw bytes that one byte in the view is worth")
    inside = alt.condition("datum.pays", alt.Fill("view:N", scale=palette, legend=legend), alt.value("white"))
    point = base.mark_point(size=80, strokeWidth=1.5).encode(x, up, offset, stroke, fill=inside, tooltip=hover)
    none = base.mark_rule(color="#555").encode(y=alt.datum(0, type="quantitative"))
    return alt.layer(none, span, point).properties(width=PICTURE - 30, height=300)
