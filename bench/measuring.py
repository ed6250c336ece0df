"""The report of a bench: Markdown for reading, PNG for a look."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click


class OutputFile(click.Path):
    """A file to write. Its folder must be there before anything is measured: hours of work would have nowhere to go."""

    def __init__(self, *suffixes: str) -> None:
        """`suffixes`: those it may have, any if none is given."""
        super().__init__(path_type=Path, dir_okay=False)
        self._suffixes = suffixes

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not path.parent.is_dir():
            self.fail(f"{path}: there is no folder {path.parent}; make it first", param, ctx)
        if self._suffixes and path.suffix not in self._suffixes:
            self.fail(f"{path}: write a file that ends in {' or '.join(self._suffixes)}", param, ctx)
        return path


_LIBRARIES = ("numpy", "numba", "torch", "zstandard", "brotli", "tokenizers")


def environment() -> str:
    """Python, libraries, processor: one line."""
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return f"Python {platform.python_version()}, {libraries}; {platform.machine()}, {_processor()}"


def _processor() -> str:
    """Its name, and where Linux has them family and model: clouds give generations that round otherwise one name."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    if "model name" not in facts:
        return platform.processor() or "unknown processor"
    numbers = ", ".join(f"{key.removeprefix('cpu ')} {facts[key]}" for key in ("cpu family", "model") if key in facts)
    return facts["model name"] + (f" ({numbers})" if numbers else "")


def figure(points: Sequence[dict[str, Any]], path: Path, title: str, curves: Sequence[dict[str, Any]] = ()) -> None:
    """Bytes per symbol in training against bits per byte when read, bars the bootstrap interval; learning curves beside it.

    points: name, bytes_per_symbol, bits_per_byte, low, high, distance (of the view at 10 % deletion: blue 0, red 1, grey unknown).
    curves: name, points {"training FLOPs": [(spent, bits per byte), ...]}.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import cm, pyplot

    shade = cm.ScalarMappable(cmap="coolwarm")
    shade.set_clim(0, 1)
    size = (6.4 * (1 + bool(curves)), 4.8)
    chart, panels = pyplot.subplots(1, 1 + bool(curves), figsize=size, layout="constrained", squeeze=False)
    axes = panels[0, 0]
    for p in points:
        ratio, loss, distance = p["bytes_per_symbol"], p["bits_per_byte"], p.get("distance")
        colour = "0.5" if distance is None else shade.to_rgba(distance)
        axes.errorbar(ratio, loss, [[loss - p["low"]], [p["high"] - loss]], marker="o", capsize=3, color=colour)
        axes.annotate(p["name"], (ratio, loss), (5, 4), textcoords="offset points", fontsize="small")
    axes.set_xlabel("bytes of text per symbol in training")
    axes.set_ylabel("bits per byte, held-out documents")
    axes.set_title(title)
    axes.margins(x=0.25, y=0.1)
    if any(p.get("distance") is not None for p in points):
        chart.colorbar(shade, ax=axes, label="how much of the view a deletion of 10 % changes (grey: not measured)")
    for c in curves:
        spent, bits = zip(*c["points"]["training FLOPs"], strict=True)
        panels[0, -1].plot(spent, bits, label=c["name"])
    if curves:
        panels[0, -1].set(xscale="log", xlabel="training FLOPs", ylabel="bits per byte shown, training")
        panels[0, -1].legend(fontsize="small")
    chart.savefig(path, dpi=120)
    pyplot.close(chart)


def write(path: Path, sections: Sequence[tuple[str, str]]) -> None:
    """A Markdown file of (heading, text) sections."""
    path.write_text("\n".join(f"## {heading}\n\n{text}\n" if heading else f"{text}\n" for heading, text in sections))
