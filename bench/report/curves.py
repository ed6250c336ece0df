"""`proxyc plot`: losses of runs against what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from proxylm.training.run_folder import records

# Axis -> what a step adds to it.
COSTS = {
    "training FLOPs": lambda r: r["flops"],
    "bytes of text shown": lambda r: sum(r["bytes"].values()),
    "symbols": lambda r: sum(r["symbols"].values()),
    "seconds": lambda r: r["seconds"],
}
LOSSES = {"raw_bits_per_symbol": "-", "comp_bits_per_symbol": ":"}  # line style


def curve(run: list[dict[str, Any]], cost: str, loss: str, smooth: float) -> tuple[Any, Any]:
    """(points,) cost so far and mean loss; each point the mean of a `smooth` share of the run's steps that have this loss."""
    spent = np.cumsum([COSTS[cost](record) for record in run])
    there = np.array([record[loss] is not None for record in run])
    values = np.array([record[loss] for record in run if record[loss] is not None], float)
    width = max(1, round(smooth * len(run)))
    means = [values[i : i + width].mean() for i in range(0, len(values), width)]
    at = [spent[there][i : i + width][-1] for i in range(0, len(values), width)]
    return np.array(at), np.array(means)


def figure(paths: Sequence[Path], output: Path, smooth: float = 0.02) -> None:
    """One panel for each cost; a colour for each run, dotted where the loss is that of a compressed view.

    Raises `InputError` if a folder holds no run.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    runs = {path.name: records(path) for path in paths}
    chart, panels = pyplot.subplots(2, 2, figsize=(11, 7.5), sharey=True, layout="constrained")
    for axes, cost in zip(panels.flat, COSTS, strict=True):
        for colour, (name, run) in enumerate(runs.items()):
            for loss, style in LOSSES.items():
                at, bits = curve(run, cost, loss, smooth)
                if len(at):
                    label = f"{name}, {loss.partition('_')[0]}"
                    axes.plot(at, bits, style, color=f"C{colour % 10}", label=label)
        axes.set_xlabel(cost)
        axes.set_xscale("log")
        axes.set_ylabel("bits per symbol, training")
    panels.flat[0].legend(fontsize="small")
    chart.savefig(output, dpi=120)
    pyplot.close(chart)
