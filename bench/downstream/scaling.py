"""How the loss of each arm falls with compute: a power law through its best sizes, and how well
that foretells the largest budget.

    proxyc bench scaling RESULTS.json... [--against ARM] [-o CHART.png]

bits per byte = a * FLOPs^-b by least squares of logarithms, seeds averaged first; of several widths
with the same FLOPs the best. It has no floor: three or four budgets do not show one. The table has
the prediction for the largest budget from the others beside what it was. Against an arm: how many
times the FLOPs that arm would need for the same loss.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench import markdown
from bench.downstream import results
from bench.downstream.results import Result
from bench.output import output
from bench.report import vega
from compressors.cli.printing import forms, put
from compressors.errors import InputError

# Settings that make no other kind of run; but see below for chunk
_ALIKE = {"lanes", "sentinels", "chunk"}
# (d_model, FLOPs asked for) -> bits per byte of every seed
Points = dict[tuple[int, float], list[float]]


def points(found: Sequence[Result]) -> dict[str, Points]:
    """Of each arm that was run with a budget of FLOPs.

    Raises `InputError` where two runs of one name are not of one kind.
    """
    sorted_: dict[str, Points] = defaultdict(lambda: defaultdict(list))
    seen: dict[tuple[str, int, float, int], str] = {}
    kinds: dict[str, str] = {}
    for r in (r for r in found if r["config"]["train"]["flops"] is not None):
        flops, model = float(r["config"]["train"]["flops"]), r["config"]["model"]
        key = (r["arm"], int(model["d_model"]), flops, results.seed(r))
        # A setting that is newer than a result has its default there: what is unset says nothing.
        # An older result without chunk dealt whole documents; today None is another default.
        mix = r["config"]["mix"]
        settings = sorted((k, v) for k, v in mix.items() if v and k not in _ALIKE)
        kind = str((*_named(model), settings, mix.get("chunk", 0)))
        if key in seen or kinds.setdefault(r["arm"], kind) != kind:
            raise InputError(f"two kinds of {r['arm']}, or one run twice ({r['name']}); give files that agree on names")
        seen[key] = r["name"]
        sorted_[r["arm"]][key[1], flops].append(results.bits_per_byte(r))
    return sorted_


def _named(model: dict[str, Any]) -> tuple[int, bool]:
    """Two settings that older results have under other names."""
    ngrams: int = model.get("hash_ngrams", model.get("ngrams", 0))
    offset: bool = model.get("partial_key_offset", model.get("shifted_keys", False))
    return ngrams, offset


def power_law(flops: Sequence[float], bits: Sequence[float]) -> tuple[float, float]:
    """(a, b) of bits = a * flops^-b."""
    slope, intercept = np.polyfit(np.log(flops), np.log(bits), 1)
    return float(np.exp(intercept)), float(-slope)


def frontier(found: Points, skip: Sequence[int] = ()) -> list[tuple[float, int, float]]:
    """(FLOPs, width, bits per byte) of the best width at each budget, rising.

    Widths in `skip` are left out.
    """
    at = sorted((flops, float(np.mean(bits)), width) for (width, flops), bits in found.items() if width not in skip)
    best: dict[float, tuple[float, int, float]] = {}
    for flops, bits, width in at:
        best.setdefault(flops, (flops, width, bits))
    return list(best.values())


def needed(bits: float, along: Sequence[tuple[float, int, float]]) -> float:
    """The FLOPs at which a frontier has `bits`, a line between logarithms from each point to the
    next that is lower.

    Beyond its ends the nearest of these lines is extended. NaN if there is none. Near its points
    this is closer than a power law.
    """
    falling = [point for i, point in enumerate(along) if all(point[2] < before[2] for before in along[:i])]
    if len(falling) < 2:
        return float("nan")
    end = next((i for i, (_, _, loss) in enumerate(falling) if i and loss <= bits), len(falling) - 1)
    (f0, _, y0), (f1, _, y1) = falling[end - 1 : end + 1]
    return float(f0 * (f1 / f0) ** (np.log(bits / y0) / np.log(y1 / y0)))


def table(found: Sequence[Result], skip: Sequence[int] = (), against: str = "") -> markdown.Table:
    """The points of each arm, its exponent, the largest residual, the largest budget
    foretold from the others.

    With `against`, an arm with two budgets or more: also how many times its FLOPs that arm needs,
    at each budget. Beyond the lowest loss of that arm this is foretold from its last two budgets.
    """
    of_arms = {arm: frontier(its, skip) for arm, its in points(found).items()}
    rival = of_arms.get(against, [])
    if against and not rival:
        raise InputError(f"no arm {against}; there are: {', '.join(of_arms)}")
    if against and len(rival) < 2:
        raise InputError(f"{against} has results at one budget of FLOPs; to compare with it needs two")
    heads = ["arm", "best at each budget (d, FLOPs: bits per byte)", "exponent", "largest residual"]
    heads += ["largest budget, from the others", "it was"] + ([f"{against} needs, times the FLOPs"] if rival else [])
    rows = []
    for arm, at in of_arms.items():
        if len(at) < 3:
            continue
        flops, bits = [point[0] for point in at], [point[2] for point in at]
        a, b = power_law(flops, bits)
        residual = max(abs(a * f**-b / y - 1) for f, y in zip(flops, bits, strict=True))
        a_, b_ = power_law(flops[:-1], bits[:-1])
        shown = ", ".join(f"{width}, {f:.3g}: {y:.3f}" for f, width, y in at)
        cells = [arm, shown, f"{b:.3f}", f"{residual:.1%}", f"{a_ * flops[-1] ** -b_:.3f}", f"{bits[-1]:.3f}"]
        if rival:
            times = (needed(y, rival) / f for f, y in zip(flops, bits, strict=True))
            cells.append(", ".join("-" if math.isnan(t) else f"{t:.2f}x" for t in times))
        rows.append(cells)
    if not rows:
        raise InputError("no arm has results at three budgets of FLOPs; a fit needs them")
    return markdown.table(heads, rows, text=2, drops=[heads[1], "largest residual", *heads[4:6]])


def figure(found: Sequence[Result], path: Path, skip: Sequence[int] = ()) -> None:
    """The chart `compute` of a report, with the arms that have two budgets or more."""
    from bench.report.page import Report

    drawn = {arm for arm, its in points(found).items() if len(frontier(its, skip)) > 1}
    widths = [(r, int(r["config"]["model"]["d_model"])) for r in found if r["arm"] in drawn]
    shown = [r | {"size": r["size"] or f"d{width}"} for r, width in widths if width not in skip]
    vega.save(Report({path.stem: shown}).picture(["compute"]), path)


@click.command()
@click.argument("files", metavar="RESULTS...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--skip", multiple=True, type=int, help="A width that is left out.")
@click.option(
    "--against", default="", metavar="ARM", help="Also say how many times the FLOPs ARM needs for the same loss."
)
@forms
@output(*vega.PICTURES, help="A chart to write.")
def scaling(
    files: tuple[Path, ...], skip: tuple[int, ...], against: str, form: str | None, output: Path | None
) -> None:
    """Fit loss against compute, arm by arm."""
    if output:
        vega.require()
    found = [r for path in files for r in results.read(path)]
    put(form, table(found, skip, against))
    if output:
        figure(found, output, skip)
