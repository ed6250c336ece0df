"""What the log of a finished run says: bytes in each view, seconds without what disturbed them, the dip after a switch."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean, median
from typing import Any

from bench.downstream import results
from bench.exchange.rate import Measured

Record = dict[str, Any]
WINDOWS = ((0, 10), (10, 50), (50, 150))  # raw steps after a switch


def measured(result: results.Result, log: Sequence[Record]) -> Measured:
    """A run, from its result and the records of its steps."""
    shown = {view: sum(record["bytes"][view] for record in log) for view in ("raw", "comp")}
    return Measured(
        results.seed(result), shown["raw"], shown["comp"], sum(record["symbols"]["comp"] for record in log),
        sum(record["flops"] for record in log), seconds(log), result.get("processor"), result,
    )  # fmt: skip


def seconds(log: Sequence[Record]) -> float:
    """Of all steps, each counted with the median of its kind: compilation and other work on the machine are left out."""
    total = 0.0
    for compressed in (False, True):
        taken = [record["seconds"] for record in log if (record["bytes"]["comp"] > 0) == compressed]
        total += len(taken) * median(taken) if taken else 0.0
    return total


def dip(log: Sequence[Record], bytes_only: Sequence[Record], switch: int) -> list[float | None]:
    """Raw training loss after the step `switch`, over that of bytes only at the same FLOPs, less 1: a mean for each of `WINDOWS`.

    bytes_only: the log of the longest run, whose learning rate has not begun to fall there. None where a log has no such steps.
    """
    return [_dip(log, bytes_only, switch + begin, switch + end) for begin, end in WINDOWS]


def _dip(log: Sequence[Record], bytes_only: Sequence[Record], begin: int, end: int) -> float | None:
    """For one window."""
    if end > len(log):
        return None
    spent = sum(record["flops"] for record in log[:begin])
    until = spent + sum(record["flops"] for record in log[begin:end])
    here, there, at = _raw_losses(log[begin:end]), list[Record](), 0.0
    for record in bytes_only:
        at += record["flops"]
        if spent < at <= until:
            there.append(record)
    rival = _raw_losses(there)
    return mean(here) / mean(rival) - 1 if here and rival and at >= until else None


def _raw_losses(log: Sequence[Record]) -> list[float]:
    """Of the steps that show raw bytes."""
    return [record["raw_bits_per_symbol"] for record in log if record["raw_bits_per_symbol"] is not None]
