"""Exchange rates as Markdown, and as a chart against ratio and stability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import markdown
from bench.figures import axes_of

Row = Mapping[str, Any]
_AXES = {
    "bytes_per_position": "bytes of text per position",
    "distance": "share of the view that a deletion of 10 % changes",
}


def table(rows: Sequence[Row]) -> str:
    """A row for each view, schedule and width; a figure that was not measured is a dash."""
    heads = ["view", "schedule", "d", "C / R", "R, MB", "e (95 %)", "over", "bytes a position", "FLOPs a position"]
    heads += ["pays at equal FLOPs", "bytes", "seconds", "loss at equal FLOPs", "bytes", "seconds"]
    heads += ["dip after the switch", "cosine of gradients", "of hidden states"]
    return markdown.table(heads, map(_cells, rows), text=2)


def _cells(row: Row) -> list[str | None]:
    """One row of `table`."""
    seeds = len(row["seeds"])
    over = {"seeds": f"{seeds} seeds", "documents": "documents, 1 seed", "none": "1 seed"}[row["interval"]]
    limits = "" if row["e_low"] is None else f" ({row['e_low']:.2f} to {row['e_high']:.2f})"
    head = [row["view"], row["schedule"], str(row["width"]), f"{row['ratio']:g}", f"{row['raw_bytes'] / 1e6:.2f}"]
    budgets = ("flops", "bytes", "seconds")
    return [
        *head, f"{row['e']:.2f}{limits}", over, _number(row["bytes_per_position"]), _number(row["flops_per_position"]),
        *(_number(row[f"pays_{budget}"]) for budget in budgets), *(_share(row[f"gain_{budget}"]) for budget in budgets),
        ", ".join(_share(part) or markdown.DASH for part in row["dip"]) if any(row["dip"]) else None,
        _number(row["gradient"]), _number(row["hidden"]),
    ]  # fmt: skip


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"


def _share(value: float | None) -> str | None:
    return None if value is None else f"{value:+.1%}"


def chart(rows: Sequence[Row], path: Path) -> None:
    """e of every row against the bytes a position, and against instability where `distance` is known; a colour a width."""
    axes = [key for key in _AXES if any(row.get(key) is not None for row in rows)]
    widths = sorted({row["width"] for row in rows})
    with axes_of(path, (6.0, 4.4), len(axes)) as (panels, _):
        for panel, key in zip(panels, axes, strict=True):
            for row in (row for row in rows if row.get(key) is not None):
                low, high = (row[end] if row[end] is not None else row["e"] for end in ("e_low", "e_high"))
                bars = [[max(row["e"] - low, 0)], [max(high - row["e"], 0)]]
                colour = f"C{widths.index(row['width']) % 10}"
                panel.errorbar(row[key], row["e"], bars, marker="o", capsize=3, color=colour)
                name = f"{row['view']}, {row['schedule']}"
                panel.annotate(name, (row[key], row["e"]), (5, 4), textcoords="offset points", fontsize="x-small")
            for width in widths:
                panel.plot([], [], "o", color=f"C{widths.index(width) % 10}", label=f"d = {width}")
            panel.axhline(0, color="0.7", linewidth=0.8)
            panel.set(xlabel=_AXES[key], ylabel="exchange rate e: raw bytes that a byte shown is worth")
            panel.legend(fontsize="small")
            panel.margins(x=0.25, y=0.1)
