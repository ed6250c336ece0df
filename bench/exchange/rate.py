"""The exchange rate of a view: how many raw bytes a byte of text shown in it is worth.

    e = (D_eff - R) / C

R: raw bytes shown. C: bytes of text shown in the view. D_eff: raw bytes with which bytes only, of the same width and seed and
with all of their decay, have the arm's loss.

The same D_eff says whether a view pays. Let D be the raw bytes that bytes only read at the arm's FLOPs (or bytes, or seconds).
The view pays where D_eff > D: (D_eff - R) / (D - R) is above 1. At equal FLOPs this is e times the bytes a position over the
FLOPs a position, both relative to raw; at equal bytes it is e.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.downstream.results import Result, draws, seed_interval
from compressors.errors import InputError

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """What a finished run has read, and what came of it."""

    seed: int
    raw: float
    """Bytes of text shown raw."""
    shown: float
    """Bytes of text shown in a view."""
    symbols: float
    """Positions at which these stood, without marks."""
    flops: float
    seconds: float
    processor: str | None
    result: Result
    """Of `proxyc bench downstream`: the bits of every document."""

    def loss(self, times: npt.NDArray[np.int64] | None = None) -> float:
        """Bits per byte, with document i counted `times[i]` times; once by default."""
        bits, n_bytes = (np.array(self.result[key], float) for key in ("document_bits", "document_bytes"))
        return float(bits.sum() / n_bytes.sum() if times is None else bits @ times / (n_bytes @ times))


class Curve:
    """Loss of bytes only against the raw bytes they read: straight lines between logarithms from each run to the next.

    Beyond the first and the last run, the nearest line is extended. It goes through all runs, so that an arm that is as good
    as bytes only at R has e = 0; a power law through three runs of a curve that bends would not have that.
    """

    def __init__(self, raw: Sequence[float], losses: Sequence[float], name: str = "bytes only") -> None:
        """Raises `InputError` without two runs, or where more bytes do not give less loss."""
        at = sorted(zip(raw, losses, strict=True))
        if len(at) < 2:
            raise InputError(f"{name}: {len(at)} runs; a calibration needs two or more, such as R, 2R and 4R")
        for (less, before), (more, after) in itertools.pairwise(at):
            if not after < before:
                raise InputError(
                    f"{name}: {more:,.0f} bytes give {after:.4f} bits per byte, {less:,.0f} give {before:.4f}; expected less "
                    "loss from more bytes: the runs are too short to calibrate with, give a larger --raw"
                )
        self._raw, self._loss = (np.log(values) for values in zip(*at, strict=True))  # (runs,) rising; falling

    def raw(self, loss: float) -> float:
        """Raw bytes with which bytes only have this loss."""
        return math.exp(_line(-math.log(loss), -self._loss, self._raw))

    def loss(self, raw: float) -> float:
        """The loss of bytes only after this number of raw bytes."""
        return math.exp(_line(math.log(raw), self._raw, self._loss))

    @property
    def exponent(self) -> float:
        """b of loss ~ raw^-b, by least squares."""
        return -float(np.polyfit(self._raw, self._loss, 1)[0])

    @property
    def ends(self) -> tuple[float, float]:
        """Raw bytes of the shortest and of the longest run."""
        return math.exp(self._raw[0]), math.exp(self._raw[-1])


def _line(x: float, xs: Floats, ys: Floats) -> float:
    """The value at x of the line through the nearest two points; xs rise."""
    i = int(np.clip(np.searchsorted(xs, x) - 1, 0, len(xs) - 2))
    return float(ys[i] + (x - xs[i]) * (ys[i + 1] - ys[i]) / (xs[i + 1] - xs[i]))


def curve_of(runs: Sequence[Measured], name: str, times: npt.NDArray[np.int64] | None = None) -> Curve:
    """The curve of bytes only of one width and seed."""
    return Curve([run.raw for run in runs], [run.loss(times) for run in runs], name)


def exchange(arm: Measured, curve: Curve, times: npt.NDArray[np.int64] | None = None) -> float:
    """e of one run."""
    return (curve.raw(arm.loss(times)) - arm.raw) / arm.shown


def rivals(arm: Measured, runs: Sequence[Measured]) -> dict[str, float | None]:
    """Raw bytes that bytes only read with the FLOPs, the bytes and the seconds of an arm.

    FLOPs and seconds a byte are those of the longest run of `runs`. None for seconds on another processor.
    """
    longest = max(runs, key=lambda run: run.raw)
    alike = arm.processor is not None and arm.processor == longest.processor
    return {
        "flops": arm.flops * longest.raw / longest.flops,
        "bytes": arm.raw + arm.shown,
        "seconds": arm.seconds * longest.raw / longest.seconds if alike else None,
    }


def row(arms: Sequence[Measured], calibration: Mapping[int, Sequence[Measured]], name: str) -> dict[str, Any]:
    """What a table and a chart say of one view, schedule and size: means over its seeds.

    arms: a run for each seed. calibration: by seed, the runs of bytes only. Raises `InputError` where a seed has none.
    """
    curves = {}
    for arm in arms:
        runs = calibration.get(arm.seed, ())
        if len(runs) < 2:
            raise InputError(
                f"{name}, seed {arm.seed}: no calibration: {len(runs)} runs of bytes only are finished, expected two or more; "
                "run the same command without --only"
            )
        curves[arm.seed] = curve_of(runs, f"bytes only, {name}, seed {arm.seed}")
    by_seed = [exchange(arm, curves[arm.seed]) for arm in arms]
    low, high, interval = _interval(arms, calibration, by_seed)
    found = [_of_one(arm, curves[arm.seed], calibration[arm.seed]) for arm in arms]
    figures = {key: _mean([one[key] for one in found]) for key in found[0]}
    pays = figures["pays_flops"]
    return {
        "e": mean(by_seed), "e_low": low, "e_high": high, "interval": interval, "by_seed": by_seed,
        "seeds": [arm.seed for arm in arms], "pays": None if pays is None else pays > 1,
    } | figures  # fmt: skip


def _of_one(arm: Measured, curve: Curve, runs: Sequence[Measured]) -> dict[str, float | None]:
    """The figures of one seed; None where one cannot be given."""
    loss = arm.loss()
    d_eff, (shortest, longest) = curve.raw(loss), curve.ends
    per_position = arm.shown / arm.symbols
    found: dict[str, float | None] = {
        "loss": loss, "raw_bytes": arm.raw, "view_bytes": arm.shown, "d_eff": d_eff, "exponent": curve.exponent,
        "extrapolated": max(d_eff / longest, shortest / d_eff, 1.0), "bytes_per_position": per_position,
    }  # fmt: skip
    for budget, rival in rivals(arm, runs).items():
        more = None if rival is None or rival <= arm.raw else rival - arm.raw
        found[f"pays_{budget}"] = None if more is None else (d_eff - arm.raw) / more
        found[f"gain_{budget}"] = None if rival is None else loss / curve.loss(rival) - 1
        if budget == "flops":
            # Bytes of the view that cost as much as one raw byte.
            found["throughput"] = throughput = None if more is None else arm.shown / more
            found["flops_per_position"] = None if throughput is None else per_position / throughput
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    """None if one of them is."""
    known = [value for value in values if value is not None]
    return mean(known) if len(known) == len(values) else None


def _interval(
    arms: Sequence[Measured], calibration: Mapping[int, Sequence[Measured]], by_seed: Sequence[float]
) -> tuple[float | None, float | None, str]:
    """The 95 % interval of e, and of what: other seeds (t of the mean), or of one seed other documents (bootstrap)."""
    if (over_seeds := seed_interval(by_seed)) is not None:
        return *over_seeds, "seeds"
    (arm,), found = arms, []
    if len(set(arm.result.get("document_packages") or range(len(arm.result["document_bytes"])))) < 2:
        return None, None, "none"
    for times in draws(arm.result):
        try:
            found.append(exchange(arm, curve_of(calibration[arm.seed], "a resample", times), times))
        except InputError:  # a draw in which more bytes gave more loss tells nothing
            continue
    if not found:
        return None, None, "none"
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high), "documents"
