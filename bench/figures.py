"""Charts as PNG: ratio against loss, learning curves. Matplotlib is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

# Axis -> what a step adds to it.
COSTS = {
    "training FLOPs": lambda r: r["flops"],
    "bytes of text shown": lambda r: sum(r["bytes"].values()),
    "symbols": lambda r: sum(r["symbols"].values()),
    "seconds": lambda r: r["seconds"],
}


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


@contextmanager
def axes_of(path: Path, size: tuple[float, float], panels: int = 1) -> Iterator[tuple[Any, Any]]:
    """(axes of the panels, side by side; the figure), which is saved to `path` at the end.

    `size`: of a panel, in inches.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    width, height = size
    chart, axes = pyplot.subplots(1, panels, figsize=(width * panels, height), layout="constrained", squeeze=False)
    yield axes[0], chart
    chart.savefig(path, dpi=120)
    pyplot.close(chart)


def ratio_against_loss(
    points: Sequence[dict[str, Any]], path: Path, title: str, curves: Sequence[dict[str, Any]] = ()
) -> None:
    """Bytes per symbol in training against bits per byte when read, bars the bootstrap interval.

    Learning curves beside it.

    points: name, bytes_per_symbol, bits_per_byte, low, high, distance (of the view at 10 %
    deletion: blue 0, red 1, grey unknown). curves: name, points {"training FLOPs": [(spent, bits
    per byte), ...]}.
    """
    with axes_of(path, (6.4, 4.8), 1 + bool(curves)) as (panels, chart):
        from matplotlib import cm

        shade, axes = cm.ScalarMappable(cmap="coolwarm"), panels[0]
        shade.set_clim(0, 1)
        for p in points:
            ratio, loss, distance = p["bytes_per_symbol"], p["bits_per_byte"], p.get("distance")
            colour = "0.5" if distance is None else shade.to_rgba(distance)
            axes.errorbar(ratio, loss, [[loss - p["low"]], [p["high"] - loss]], marker="o", capsize=3, color=colour)
            axes.annotate(p["name"], (ratio, loss), (5, 4), textcoords="offset points", fontsize="small")
        axes.set(xlabel="bytes of text per symbol in training", ylabel="bits per byte, held-out documents", title=title)
        axes.margins(x=0.25, y=0.1)
        if any(p.get("distance") is not None for p in points):
            chart.colorbar(shade, ax=axes, label="how much of the view a deletion of 10 % changes (grey: not measured)")
        for c in curves:
            spent, bits = zip(*c["points"]["training FLOPs"], strict=True)
            panels[-1].plot(spent, bits, label=c["name"])
        if curves:
            panels[-1].set(xscale="log", xlabel="training FLOPs", ylabel="bits per byte shown, training")
            panels[-1].legend(fontsize="small")
