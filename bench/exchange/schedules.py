"""When the C bytes of a view are shown beside the R raw ones: stretches of a run, each with a constant rate.

A rate is the share of the bytes that are shown in the view.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from compressors.errors import InvalidConfig


class Stretch(NamedTuple):
    """A part of a run."""

    n_bytes: float
    """Bytes of text, as a multiple of R."""
    rate: float


def constant(ratio: float) -> Sequence[Stretch]:
    """The published one: the same rate all along."""
    return [Stretch(1 + ratio, ratio / (1 + ratio))]


def two(ratio: float, before: float, after: float) -> Sequence[Stretch]:
    """One rate, then another one, so that C / R is `ratio`. Raises `InvalidConfig` where no share of them gives that."""
    share = (ratio / (1 + ratio) - after) / (before - after)  # of the bytes that come first
    if not 0 < share < 1:
        least, most = (rate / (1 - rate) if rate < 1 else float("inf") for rate in (after, before))
        raise InvalidConfig(
            f"a schedule of {before:.0%} and then {after:.0%} cannot give a ratio C / R of {ratio:g}; expected more than "
            f"{least:.2g} and less than {most:.2g}, or use another schedule"
        )
    return [Stretch(share * (1 + ratio), before), Stretch((1 - share) * (1 + ratio), after)]


SCHEDULES: dict[str, Callable[[float], Sequence[Stretch]]] = {
    "constant": constant,
    # The view, then bytes: as the recipe `merges` has it.
    "first": partial(two, before=1.0, after=0.0),
    # The same with a tenth of the other kind in both parts (arXiv 2404.07982 found that order with overlap transfers most).
    "overlap": partial(two, before=0.9, after=0.1),
}


def stretches(schedule: str, ratio: float) -> Sequence[Stretch]:
    """Of a schedule by name. Raises `InvalidConfig`."""
    if schedule not in SCHEDULES:
        raise InvalidConfig(f"unknown schedule {schedule!r}; known: {', '.join(SCHEDULES)}")
    if not ratio > 0:
        raise InvalidConfig(f"ratio is {ratio:g}; expected C / R above 0")
    return SCHEDULES[schedule](ratio)
