"""Seeds of one experiment that were run in several places, together.

e of a seed comes from runs of that seed only, all of one place. So seeds of other machines, of another type, or of a view that was
fitted on other text can be added: whoever names the files decides what is alike enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from bench.downstream.results import seed_interval

_SAME = ("view", "schedule", "width", "ratio", "size")


def pooled(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows as of `bench exchange`, those of one view, schedule, width, ratio and size as one row; narrow ones first, else in order of the first.

    A row with a seed that was there already stays another row.
    """
    found: list[dict[str, Any]] = []
    for row in rows:
        alike = (other for other in found if all(other[key] == row[key] for key in _SAME))
        for other in alike:
            if not set(other["seeds"]) & set(row["seeds"]):
                other |= _joined(other, row)
                break
        else:
            found.append(dict(row))
    return sorted(found, key=lambda row: row["width"])


def _joined(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Means over the seeds of both; a figure that one lacks is None, but for the early signals."""
    counts = len(one["seeds"]), len(other["seeds"])
    by_seed = [*one["by_seed"], *other["by_seed"]]
    low, high = seed_interval(by_seed) or (None, None)
    joined = {
        key: _mean(counts, (one[key], other[key]))
        for key in one
        if isinstance(one[key], float) or isinstance(other[key], float)
    }
    for key in ("gradient", "hidden"):
        known = [(count, row[key]) for count, row in zip(counts, (one, other), strict=True) if row[key] is not None]
        joined[key] = _mean(*zip(*known, strict=True)) if known else None
    dips = zip(one["dip"], other["dip"], strict=True) if one["dip"] and other["dip"] else ()
    pays = joined.get("pays_flops")
    return joined | {
        "seeds": [*one["seeds"], *other["seeds"]], "by_seed": by_seed, "e": mean(by_seed), "e_low": low, "e_high": high,
        "interval": "seeds", "dip": [_mean(counts, dip) for dip in dips], "pays": None if pays is None else pays > 1,
        "fingerprint": one["fingerprint"] if one["fingerprint"] == other["fingerprint"] else None,
        **{key: one[key] for key in (*_SAME, "arm", "distance")},  # an edit changes as much of the view for any seed
    }  # fmt: skip


def _mean(counts: Sequence[int], values: Sequence[float | None]) -> float | None:
    """Weighted by the number of seeds; None if one of the values is."""
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    return sum(count * value for count, value in zip(counts, known, strict=True)) / sum(counts)
