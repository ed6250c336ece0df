"""Learning curves: the loss of a run against what it had spent, from its log. Neither torch nor a
chart is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from proxylm.training.run_log import records

# Axis -> what a step adds to it.
COSTS = {
    "training FLOPs": lambda r: r["flops"],
    "bytes of text shown": lambda r: sum(r["bytes"].values()),
    "symbols": lambda r: sum(r["symbols"].values()),
    "seconds": lambda r: r["seconds"],
}
SHARE = 0.02  # of the steps, which one point is the mean of


def curve(run: list[dict[str, Any]], cost: str, loss: str, smooth: float) -> tuple[Any, Any]:
    """(points,) cost so far, (points,) mean loss: each point is the mean over a `smooth` share of
    the steps with this loss.
    """
    spent = np.cumsum([COSTS[cost](record) for record in run])
    there = np.array([record[loss] is not None for record in run])
    values = np.array([record[loss] for record in run if record[loss] is not None], float)
    width = max(1, round(smooth * len(run)))
    means = [values[i : i + width].mean() for i in range(0, len(values), width)]
    at = [spent[there][i : i + width][-1] for i in range(0, len(values), width)]
    return np.array(at), np.array(means)


def curves(folder: Path) -> dict[str, list[tuple[float, float]]]:
    """For each cost: what a run had spent, and its loss in bits per byte of the text shown, at 50
    places or fewer.

    The loss is that of raw bytes where the run reads any; that of its symbols, over the bytes they
    stand for, if it reads none.
    """
    log = records(folder)
    loss = "raw_bits_per_symbol"
    if all(r[loss] is None for r in log):
        loss = "bits_per_byte"
        for r in log:
            r[loss] = r["comp_bits_per_symbol"] * r["symbols"]["comp"] / max(r["bytes"]["comp"], 1)
    found = {cost: curve(log, cost, loss, SHARE) for cost in COSTS}
    return {cost: list(zip(at.tolist(), bits.tolist(), strict=True)) for cost, (at, bits) in found.items()}
