"""Exchange rates as a picture: against the bytes a position, and against how much of the view an edit changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.report import vega

_AXES = {
    "bytes_per_position": "bytes of text per position",
    "distance": "share of the view that a deletion of 10 % changes",
}


def draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the picture. A colour for each width, bars the interval; rows without a figure are left out of its panel."""
    vega.save(spec(rows), path)


def spec(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of Vega-Lite: one panel, or two where rows have a `distance`."""
    import altair as alt

    panels = []
    for key, title in _AXES.items():
        shown = [dict(row) | {"name": f"{row['view']}, {row['schedule']}"} for row in rows if row.get(key) is not None]
        if not shown:
            continue
        base = alt.Chart(alt.InlineData(values=shown)).encode(
            alt.X(f"{key}:Q", title=title, scale=alt.Scale(zero=False, padding=30)),
            alt.Color("width:O", title="width", scale=alt.Scale(scheme="category10")),
        )
        up = alt.Y("e:Q", title="raw bytes that one byte in the view is worth")
        # Without an interval there is a point only.
        bars = base.transform_filter("isValid(datum.e_low)").mark_rule(strokeWidth=1.5)
        names = base.mark_text(align="left", dx=7, dy=-5, fontSize=9).encode(up, text="name:N")
        zero = alt.Chart().mark_rule(color="#555").encode(y=alt.datum(0, type="quantitative"))
        layers = [
            zero,
            bars.encode(alt.Y("e_low:Q"), alt.Y2("e_high:Q")),
            base.mark_point(filled=True, size=60).encode(up),
            names,
        ]
        panels.append(alt.layer(*layers).properties(width=420, height=320))
    found: dict[str, Any] = alt.hconcat(*panels).to_dict()
    return found
