"""Exchange rates as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench import markdown
from bench.exchange.pool import pooled

Row = Mapping[str, Any]


def table(rows: Sequence[Row]) -> markdown.Table:
    """A row for each view, schedule and width, over all seeds; a figure that was not measured is a dash."""
    rows = pooled(rows)
    heads = ["view", "schedule", "d", "C / R", "R, MB", "e (95 %)", "over", "bytes a position", "FLOPs a position"]
    heads += ["pays at equal FLOPs", "bytes", "seconds", "loss at equal FLOPs", "bytes", "seconds"]
    heads += ["dip after the switch", "cosine of gradients", "of hidden states"]
    drops = [*heads[15:], *heads[12:15], *heads[9:12], "FLOPs a position", "over", "bytes a position", "R, MB"]
    best = {"e (95 %)": max} if len({(row["width"], row["ratio"]) for row in rows}) == 1 else {}
    return markdown.table(heads, map(_cells, rows), text=2, drops=drops, best=best)


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
