"""How the loss of each arm falls with compute: a power law through its sizes, and how well that foretells the largest.

    proxyc bench scaling RESULTS.json...

bits per byte = a * FLOPs^-b by least squares of logarithms, seeds averaged first. There is no floor in it: three or four
sizes do not tell one. What the fit without the largest size says of the largest is printed beside what it was.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench import tables
from compressors.errors import InputError

_SIZE = re.compile(r"(-d\d+)?-s\d+$")  # what a recipe puts behind the name of an arm


def points(results: Sequence[dict[str, Any]]) -> dict[str, dict[tuple[int, float], list[float]]]:
    """Of each arm: (d_model, FLOPs to three digits) -> bits per byte of every seed."""
    found: dict[str, dict[tuple[int, float], list[float]]] = defaultdict(lambda: defaultdict(list))
    for r in results:
        at = (int(r["config"]["model"]["d_model"]), float(f"{r['totals']['flops']:.2e}"))
        found[_SIZE.sub("", r["name"])][at].append(r["evaluation"]["bits_per_byte"])
    return found


def power_law(flops: Sequence[float], bits: Sequence[float]) -> tuple[float, float]:
    """(a, b) of bits = a * flops^-b."""
    slope, intercept = np.polyfit(np.log(flops), np.log(bits), 1)
    return float(np.exp(intercept)), float(-slope)


def table(results: Sequence[dict[str, Any]], skip: Sequence[int] = ()) -> str:
    """Markdown: the points of each arm, its exponent, the largest residual, the largest size foretold from the others."""
    lines = [
        "| arm | points (d, FLOPs: bits per byte) | exponent | largest residual | largest size, from the others | it was |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for arm, found in points(results).items():
        at = sorted((flops, width, float(np.mean(bits))) for (width, flops), bits in found.items() if width not in skip)
        if len({flops for flops, _, _ in at}) < 3:
            continue
        flops, bits = [point[0] for point in at], [point[2] for point in at]
        a, b = power_law(flops, bits)
        residual = max(abs(a * f**-b / y - 1) for f, y in zip(flops, bits, strict=True))
        a_, b_ = power_law(flops[:-1], bits[:-1])
        shown = ", ".join(f"{width}, {f:.3g}: {y:.3f}" for f, width, y in at)
        lines.append(f"| {arm} | {shown} | {b:.3f} | {residual:.1%} | {a_ * flops[-1] ** -b_:.3f} | {bits[-1]:.3f} |")
    if len(lines) == 2:
        raise InputError("no arm has results at three budgets of FLOPs; a fit needs them")
    return "\n".join(lines)


@click.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--skip", multiple=True, type=int, help="A width that is left out.")
def scaling(results: tuple[Path, ...], skip: tuple[int, ...]) -> None:
    """Fit loss against compute, arm by arm."""
    click.echo(table([r for path in results for r in tables.read(path)], skip))
