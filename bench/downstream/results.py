"""Results of `proxyc bench downstream`: read, and compared with those of a rival, document by
document, seed by seed.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from compressors.atomic import write_atomically
from compressors.errors import InputError
from proxylm.evaluation.result import resampled

RESULT = "result.json"  # of a run, in its folder
Result = dict[str, Any]
_AGAIN = "if `proxyc bench downstream` wrote it, delete it and run that again"
_KEYS = dict.fromkeys(("name", "arm", "size", "rival", "reads"), "text") | {
    "config.train.seed": "number", "config.model.d_model": "number",
    **dict.fromkeys((f"totals.{key}" for key in ("steps", "flops", "symbols", "bytes", "seconds")), "number"),
    "evaluation.bits_per_byte": "number", "evaluation.interval_95": "list of numbers",
    "document_bytes": "list of numbers", "document_bits": "list of numbers",
}  # fmt: skip
# Quantiles at 97.5 % of Student's t by degrees of freedom, from 1 on; beyond, by the expansion in
# `seed_interval`.
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


class Difference(NamedTuple):
    """Bits per byte over those of the rival, less 1: all seeds together, and what other draws would
    give, at 95 %.
    """

    ratio: float
    low: float  # other documents, or packages of them
    high: float
    # Other seeds, by the differences of the pairs; None of one seed
    seeds: tuple[float, float] | None


def collect(output: Path) -> list[Result]:
    """All results below a folder, sorted by name. Raises `InputError` if one is none."""
    return [read_one(path) for path in sorted(output.glob(f"*/{RESULT}"))]


def read_one(path: Path) -> Result:
    """The result of one run. Raises `InputError` if it is none."""
    return _checked(path, [_parsed(path)])[0]


def read(path: Path) -> list[Result]:
    """The runs of `proxyc bench downstream`: in its folder, or its results.json.

    Raises `InputError` if there are none.
    """
    found = collect(path) if path.is_dir() else _checked(path, _parsed(path))
    if not found:
        copied = path / "results.json"
        other = f"give {copied} itself" if copied.is_file() else "make some with `proxyc bench downstream`"
        raise InputError(f"{path} holds no finished run; {other}")
    return found


def _parsed(path: Path) -> Any:
    """The JSON of a file. Raises `InputError` if it is not JSON."""
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}); {_AGAIN}") from error


def _checked(path: Path, found: Any) -> list[Result]:
    """The runs, all of which have what `_KEYS` names.

    Raises `InputError` with the first thing that is missing.
    """
    if not isinstance(found, list):
        raise InputError(f"{path} holds no runs of this version; {_AGAIN}")
    for run in found:
        if (wrong := next((name for name, kind in _KEYS.items() if not _is(run, name, kind)), None)) is not None:
            raise InputError(
                f"{path} holds no runs of this version: {wrong} is missing, or no {_KEYS[wrong]}; {_AGAIN}"
            )
    return found


def _is(run: Any, name: str, kind: str) -> bool:
    """Whether the value at a dotted name is of a kind."""
    for key in name.split("."):
        if not isinstance(run, dict) or key not in run:
            return False
        run = run[key]
    if kind == "list of numbers":
        return isinstance(run, list) and bool(run) and all(type(value) in (int, float) for value in run)
    return type(run) in (int, float) if kind == "number" else isinstance(run, str)


def matching(names: Sequence[str], patterns: Sequence[str]) -> set[str]:
    """Names of runs that a pattern stands for (* and ? for any letters), all without patterns.

    Raises `InputError` if a pattern stands for none.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise InputError(f"{pattern} names no run; there are: {', '.join(names)}")
    return {name for name in names if not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)}


def write(path: Path, found: Sequence[Result]) -> None:
    """A results.json, a line for each run."""
    write_atomically(path, ("[\n" + ",\n".join(map(json.dumps, found)) + "\n]\n").encode())


def seed(run: Result) -> int:
    """Of the training run."""
    return int(run["config"]["train"]["seed"])


def bits_per_byte(run: Result) -> float:
    """Over all scored documents."""
    return float(run["evaluation"]["bits_per_byte"])


def check_arm(results: Sequence[Result], against: str) -> None:
    """Raise `InputError` if no arm has this name."""
    known = list(dict.fromkeys(r["arm"] for r in results))
    if against and against not in known:
        raise InputError(f"no arm {against}; there are: {', '.join(known)}")


def processor(found: Sequence[Result]) -> str | None:
    """The one that all runs were made on.

    None if there are several, or one is not known: seconds then do not compare.
    """
    names = {r.get("processor") for r in found}
    return names.pop() if len(names) == 1 else None


def rivals(run: Result, results: Sequence[Result], against: str = "") -> list[Result]:
    """The runs of the arm `against`, or of its recipe's first arm, of the size and budget of `run`:
    one for each seed.

    A run whose budget is not a number of FLOPs (it has steps, or the bytes or seconds of its rival)
    is compared as it is.
    """
    found = [r for r in results if r["size"] == run["size"] and r["arm"] == (against or run["rival"])]
    return [r for r in found if None in (mine := _flops(run), its := _flops(r)) or mine == its]


def _flops(run: Result) -> float | None:
    """The budget of a run, if that is a number of FLOPs."""
    return None if run.get("equal", "flops") != "flops" else run["config"]["train"].get("flops")


def difference(runs: Sequence[Result], others: Sequence[Result]) -> Difference | None:
    """How much more bits `runs` take than `others`, seed by seed the same.

    None where that cannot be said.

    Over documents: a bootstrap with the same draws for both sides, and the bits of all seeds
    together. Documents of one package are drawn together, where results name packages. Over seeds:
    see `seed_interval`.
    """
    texts = {str(r["document_bytes"]) for r in (*runs, *others)}
    if not runs or len(runs) != len(others) or runs == others or len(texts) > 1:
        return None
    bits, there = (np.sum([r["document_bits"] for r in side], 0) for side in (runs, others))
    ratios = [(bits @ times) / (there @ times) - 1 for times in draws(runs[0])]
    low, high = np.percentile(ratios, [2.5, 97.5])
    pairs = [sum(a["document_bits"]) / sum(b["document_bits"]) - 1 for a, b in zip(runs, others, strict=True)]
    return Difference(float(bits.sum() / there.sum() - 1), float(low), float(high), seed_interval(pairs))


def draws(run: Result) -> Iterator[np.ndarray[Any, Any]]:
    """(documents,) how often each document is drawn, for each resample.

    Without packages each is its own.
    """
    packages = run.get("document_packages") or range(len(run["document_bytes"]))
    names, place = np.unique(list(packages), return_inverse=True)
    return (times[place] for times in resampled(len(names)))


def seed_interval(pairs: Sequence[float]) -> tuple[float, float] | None:
    """95 % interval of the mean of differences, one for each seed, by Student's t.

    None of fewer than two.
    """
    if len(pairs) < 2:
        return None
    df = len(pairs) - 1
    # Within 0.002 of the quantile
    t = _T[df - 1] if df <= len(_T) else 1.96 + 2.372 / df + 2.823 / df**2
    middle, half = statistics.mean(pairs), t * statistics.stdev(pairs) / math.sqrt(len(pairs))
    return middle - half, middle + half


def against_rival(run: Result, results: Sequence[Result], against: str = "") -> Difference | None:
    """One run against the rival's of its size and seed."""
    return difference([run], [r for r in rivals(run, results, against) if seed(r) == seed(run)][:1])


def arms(results: Sequence[Result], against: str = "") -> list[dict[str, Any]]:
    """The arms at their sizes, over their seeds; `against` and `by_seed` are over the seeds that
    the rival has too.
    """
    grouped: dict[tuple[str, str], list[Result]] = {}
    for r in results:
        grouped.setdefault((r["arm"], r["size"]), []).append(r)
    found = []
    for (arm, size), runs in grouped.items():
        others = {seed(r): r for r in rivals(runs[0], results, against)}
        common = [r for r in runs if seed(r) in others]
        there = [others[seed(r)] for r in common]
        bits = [bits_per_byte(r) for r in runs]
        totals = {key: float(np.mean([r["totals"][key] for r in runs])) for key in runs[0]["totals"]}
        found.append(
            {"arm": arm, "size": size, "equal": runs[0].get("equal", "flops"), "seeds": len(runs)}
            | {"is_rival": arm == (against or runs[0]["rival"])}
            | {"bits_per_byte": float(np.mean(bits)), "low": min(bits), "high": max(bits)}
            | {"against": difference(common, there), "totals": totals}
            | {
                "by_seed": [
                    bits_per_byte(a) / bits_per_byte(b) - 1 for a, b in zip(common, there, strict=True) if a != b
                ]
            }
        )
    return found
