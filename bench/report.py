"""The report of a bench: Markdown for reading, PNG for a look."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from bench.downstream import Outcome

_LIBRARIES = ("numpy", "numba", "torch", "zstandard", "brotli", "tokenizers")


def environment() -> str:
    """Python, libraries, processor: one line."""
    libraries = ", ".join(f"{name} {version(name)}" for name in _LIBRARIES)
    return f"Python {platform.python_version()}, {libraries}; {platform.machine()}, {_processor()}"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    names = (
        [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")] if cpuinfo.exists() else []
    )
    return names[0].partition(":")[2].strip() if names else platform.processor() or "unknown processor"


def figure(outcomes: Sequence[Outcome], path: Path) -> None:
    """Bytes per symbol in training against bits per byte when read; bars are the bootstrap interval."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    chart, axes = pyplot.subplots(figsize=(6.4, 4.4), layout="constrained")
    for outcome in outcomes:
        ratio, loss = outcome.bytes_per_symbol, outcome.result.bits_per_byte
        low, high = outcome.result.interval()
        marker, label = "o" if outcome.arm.reads == "raw" else "s", f"{outcome.arm.name}, read as {outcome.arm.reads}"
        axes.errorbar(ratio, loss, [[loss - low], [high - loss]], marker=marker, capsize=3, label=label)
    axes.legend()
    axes.set_xlabel("bytes of text per symbol in training")
    axes.set_ylabel("bits per byte, held-out documents")
    axes.set_title(f"Equal compute: {outcomes[0].totals['flops']:.2g} FLOPs each")
    axes.margins(x=0.2, y=0.2)
    chart.savefig(path, dpi=120)
    pyplot.close(chart)


def write(path: Path, sections: Sequence[tuple[str, str]]) -> None:
    """A Markdown file of (heading, text) sections."""
    path.write_text("\n".join(f"## {heading}\n\n{text}\n" if heading else f"{text}\n" for heading, text in sections))
