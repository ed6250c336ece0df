"""A report as one HTML page that works offline, and as a picture: both from the same charts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.codecs import table as codec_tables
from bench.downstream import results
from bench.downstream.results import Result
from bench.report import rows, tables, vega
from bench.report.rows import AT, Row
from compressors.errors import InputError

_CODECS = codec_tables.FILES | codec_tables.SYMBOLS
# Heads of the tables; the values that stand below them are those of `_run` and `_arm`. {}: the
# rival.
_RUNS = (
    "run", "read as", "bits per byte", "low", "high", "FLOPs", "symbols", "bytes shown", "bytes per symbol", "seconds",
)  # fmt: skip
_ARMS = (
    "arm", "seeds", "bits per byte", "lowest", "highest", "% against {}", "low", "high", "seeds, low", "seeds, high",
    "FLOPs", "seconds",
)  # fmt: skip
# Chart -> heading, and what a reader must know of it.
CHARTS = {
    "compute": (
        "Loss against compute",
        "A point for each arm and size: the mean of its seeds, and a bar from the lowest to the highest. Lines go through the best "
        "size at each budget.",
    ),
    "ratio": (
        "Ratio against loss",
        "A small chart for each size. The large point is the mean of the seeds, the bar goes from the lowest to the highest, faint "
        "points are runs.",
    ),
    "curves": (
        "Training loss",
        "Each line is the mean of the seeds, in a band from the lowest to the highest. The loss is that of raw bytes where a run reads "
        "any, else that of its symbols over the bytes they stand for. While a recipe pairs both views of a text, bytes are easy. Values above three "
        "times the lowest are cut off.",
    ),
    "differences": (
        "Differences from {rival}",
        "Per cent of bits per byte; below zero is better. Thick: 95 % interval over seeds (Student's t of the pairs); thin: over "
        "documents (bootstrap). All seeds count here, whatever is chosen above.",
    ),
    "exchange": (
        "Exchange rates",
        "How many raw bytes one byte is worth that is shown in a view, with its 95 % interval. Filled: the view pays.",
    ),
}  # fmt: skip


@dataclass
class Report:
    """What a report shows. `against`: the arm that the others are set against, or nothing.

    Raises `InputError` if a source has no arm of that name.
    """

    sources: Mapping[str, list[Result]]  # by the name of their file or folder
    against: str = ""
    codecs: Sequence[Row] = ()  # ranked rows of `proxyc bench codecs`
    exchange: Sequence[Row] = ()  # rows of `proxyc bench exchange`

    def __post_init__(self) -> None:
        """Name the runs, and find what they are set against."""
        for found in self.sources.values():
            results.check_arm(found, self.against)
        every = [r for found in self.sources.values() for r in found]
        self.named = [(f"{name}: " if len(self.sources) > 1 else "", found) for name, found in self.sources.items()]
        self.results = rows.scored(every)
        self.rival = rows.settled_rival(every, self.against)
        self.runs = [rows.run_row(p + r["name"], p, r, self.codecs) for p, found in self.named for r in found]
        self.arms = list(dict.fromkeys(row["arm"] for row in self.runs))
        self.panels = rows.panels(self.runs)
        for row in self.runs:
            row["panel"] = self.panels[row["size"]]

    @cached_property
    def differences(self) -> list[Row]:
        """A row for each arm and size that has a rival. The bootstraps take a while."""
        found = [rows.difference_rows(p, rows.scored(its), self.rival) for p, its in self.named]
        return [row | {"panel": self.panels[row["size"]]} for its in found for row in its]

    @property
    def rival_name(self) -> str:
        """As headings have it."""
        return tables.rival_of(self.results, self.rival)

    def names(self) -> list[str]:
        """The charts for which there is something to draw, in the order of the page."""
        bits = [row for row in self.runs if row["bits"] is not None]
        there = {
            "compute": len({row["budget"] for row in bits}) > 1,
            "ratio": len({row["group"] for row in bits}) > 1,
            "curves": any(len(row.get("loss", ())) > 1 for row in self.runs),
            "differences": self.differences,
            "exchange": self.exchange,
        }
        return [name for name in CHARTS if there[name]]

    def chart(self, name: str, *, still: bool) -> Any:
        """An altair chart, which reads the datasets of `datasets` by name."""
        from bench.report import charts
        from bench.report.look import Look

        if name == "exchange":
            return charts.exchange(self.exchange)
        return getattr(charts, name)(Look(self.arms, self.panels, still))

    def datasets(self, names: Sequence[str]) -> dict[str, Sequence[Row]]:
        """Those that some charts read, by the names they have there."""
        return {data: getattr(self, data) for data in dict.fromkeys(_DATA.get(name, "runs") for name in names)}

    def heading(self, name: str) -> str:
        """Of a chart."""
        return CHARTS[name][0].format(rival=self.rival_name)

    def picture(self, names: Sequence[str] = ()) -> dict[str, Any]:
        """A specification with its data: charts below each other, all there are without names.

        Raises `InputError` if there is nothing to draw of one.
        """
        import altair

        there = self.names()
        names = names or there
        missing = [name for name in names if name not in there]
        if missing or not names:
            asked, has = ", ".join(missing) or "any chart", ", ".join(there) or "none"
            raise InputError(f"nothing to draw for {asked}; charts of these results: {has}")
        drawn = [self.chart(name, still=True).properties(title=self.heading(name)) for name in names]
        chart = altair.vconcat(*drawn).resolve_scale(color="independent", shape="independent")
        return _complete(chart if len(drawn) > 1 else drawn[0]) | {"datasets": self.datasets(names)}

    def page(self) -> str:
        """The page: libraries, specifications and data in one file."""
        facts = {
            "charts": [
                {
                    "heading": self.heading(name), "caption": CHARTS[name][1], "name": name, "data": _DATA.get(name, "runs"),
                    "spec": vega.compiled(_complete(self.chart(name, still=False))),
                }
                for name in self.names()
            ],
            "datasets": self.datasets(self.names()), "filters": self._filters(), "costs": AT, "tables": self._tables(),
            "about": tables.scored(self.results) if self.results else "None of these runs was scored on held-out text.",
            "environment": "; ".join(sorted({r["environment"] for r in self.results})),
        }  # fmt: skip
        template = Path(__file__).with_name("page.html").read_text("utf-8")
        # Nothing in the data may end the script element that carries it
        carried = json.dumps(facts, separators=(",", ":")).replace("<", "\\u003c")
        return template.replace("/*LIBRARIES*/", vega.libraries()).replace("/*DATA*/", carried)

    def _filters(self) -> dict[str, list[dict[str, Any]]]:
        """Field of a row -> its values, with how they are shown; arms with their colours."""
        from bench.report.look import Look

        colours = Look(self.arms, {}).colours
        return {
            "arm": [
                {"value": arm, "shown": arm, "colour": colour} for arm, colour in zip(self.arms, colours, strict=True)
            ],
            "size": [{"value": size, "shown": panel} for size, panel in self.panels.items()],
            "seed": [{"value": seed, "shown": str(seed)} for seed in sorted({row["seed"] for row in self.runs})],
        }

    def _tables(self) -> list[dict[str, Any]]:
        """Heading, columns and rows of each table."""
        one_processor = results.processor(self.results) is not None
        arms = [
            _arm(prefix, row, one_processor)
            for prefix, found in self.named
            for row in results.arms(rows.scored(found), self.rival)
        ]
        heads = [title.format(self.rival_name) for title in _ARMS] if arms else []
        codecs = [[row["name"], *(row.get(key) for key, _ in _CODECS.values())] for row in self.codecs]
        parts = [
            ("Arms, over their seeds (intervals at 95 %)", heads, arms),
            ("Runs", _RUNS, [_run(row, one_processor) for row in self.runs]),
            ("Compressors", ["compressor", *_CODECS], codecs),
        ]
        return [{"heading": heading} | _filled(columns, its) for heading, columns, its in parts if its]


_DATA = {"differences": "differences", "exchange": "exchange"}  # chart -> what it reads, if not `runs`
# What a page changes: the groups that stand out, what curves are drawn against.
_PARAMS = [{"name": "picked", "value": []}, {"name": "cost", "value": "at_flops"}]
# Sizes in pixels. Helvetica's widths are those of Arial and Liberation Sans: what is measured here
# fits elsewhere.
_STYLE: dict[str, Any] = {
    "font": "Helvetica, Arial, 'Liberation Sans', sans-serif",
    "background": "white",
    "padding": 8,
    "title": {"anchor": "start", "fontSize": 15, "offset": 12},
    "axis": {
        "labelFontSize": 11,
        "titleFontSize": 12,
        "gridColor": "#e8e8e8",
        "titleFontWeight": "normal",
        "titlePadding": 8,
    },
    "legend": {"labelFontSize": 12, "titleFontSize": 12, "labelLimit": 150},
    "view": {"stroke": "#d0d0d0"},
    "concat": {"spacing": 36},
    "facet": {"spacing": 14},
}


def _complete(chart: Any) -> dict[str, Any]:
    """The specification of a chart with what every chart needs: its look, its parameters."""
    styled: dict[str, Any] = chart.configure(**_STYLE).to_dict()
    return styled | {"params": _PARAMS}


def _filled(columns: Sequence[str], its: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """A table without the columns in which no row has a value."""
    kept = [i for i in range(len(columns)) if any(row[i] is not None for row in its)]
    return {"columns": [columns[i] for i in kept], "rows": [[row[i] for i in kept] for row in its]}


def _arm(prefix: str, row: Row, one_processor: bool) -> list[Any]:
    """Its values for `_ARMS`; seconds only where all runs were made on one processor."""
    found = row["against"]
    difference = [None] * 5 if found is None else [found.ratio, found.low, found.high, *(found.seeds or (None, None))]
    per_cent = [None if value is None else 100 * value for value in difference]
    taken = row["totals"]["seconds"] if one_processor else None
    bits = (row["bits_per_byte"], row["low"], row["high"])
    return [prefix + tables.arm_name(row), row["seeds"], *bits, *per_cent, row["totals"]["flops"], taken]


def _run(row: Row, one_processor: bool) -> list[Any]:
    """Its values for `_RUNS`."""
    keys = ("run", "reads", "bits", "low", "high", "flops", "symbols", "bytes", "ratio")
    return [*(row[key] for key in keys), row["seconds"] if one_processor else None]
