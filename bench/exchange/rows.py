"""What the finished runs of an experiment say: a row for each view, schedule and size, ready for JSON, tables and charts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from bench.downstream import results
from bench.downstream.alignment import alignment
from bench.downstream.grid import Grid
from bench.exchange import run_log
from bench.exchange.experiment import BYTES, Run
from bench.exchange.rate import Measured, row
from compressors.atomic import write_atomically
from compressors.errors import InputError
from proxylm.data.store import Store
from proxylm.training.run_log import records

_SIGNALS = "alignment.json"  # in the folder of a run: made once
Logs = Mapping[str, list[dict[str, Any]]]  # by name of a run


def found_by(
    every: Sequence[Run], finished: Mapping[str, results.Result], grid: Grid, distances: Mapping[str, float]
) -> dict[str, Any]:
    """The JSON of the experiment: its rows, the calibration, what it was measured on.

    finished: results by name of a run. distances: by fingerprint of a codec, how much of its view an edit changes. Raises
    `InputError` where no view, or no calibration of one, is finished.
    """
    done = [run for run in every if run.arm.name in finished]
    logs = {run.arm.name: records(grid.output / run.arm.name) for run in done}
    measured = {name: run_log.measured(finished[name], log) for name, log in logs.items()}
    bytes_only = [run for run in done if run.view is None]
    groups: dict[tuple[str, str], list[Run]] = {}  # the seeds of an arm and size
    for run in done:
        if run.view is not None:
            groups.setdefault((run.label, run.arm.size), []).append(run)
    if not groups:
        raise InputError("no run with a view is finished; run the same command without --only")
    rows = []
    for (label, size), seeds in groups.items():
        its_bytes = [run for run in bytes_only if run.arm.size == size]
        calibration: dict[int, list[Measured]] = {}
        for run in its_bytes:
            calibration.setdefault(run.seed, []).append(measured[run.arm.name])
        facts = row([measured[run.arm.name] for run in seeds], calibration, f"{label}, size {size}")
        rows.append(_facts(seeds[0], grid.store, distances) | facts | _signals(seeds, its_bytes, logs, grid))
    return {
        "rows": rows, "held_out_sha256": grid.held_out_sha256, "corpus": grid.store.fingerprint_of(),
        "dtypes": sorted({str(log[0]["dtype"]) for log in logs.values()}),
        "calibration": [_calibrated(run, measured[run.arm.name]) for run in bytes_only],
    }  # fmt: skip


def _facts(run: Run, store: Store, distances: Mapping[str, float]) -> dict[str, Any]:
    """What a row is of."""
    (spec,) = run.arm.config.mix.specs
    fingerprint = None if spec.kind == "even bags" else store.view(spec.view)["fingerprint"]
    return {
        "view": run.view, "arm": run.label, "size": run.arm.size, "width": run.arm.config.model.d_model, "schedule": run.schedule,
        "ratio": run.shares[1] / run.shares[0], "fingerprint": fingerprint, "distance": distances.get(fingerprint or ""),
    }  # fmt: skip


def _signals(runs: Sequence[Run], bytes_only: Sequence[Run], logs: Logs, grid: Grid) -> dict[str, Any]:
    """Early signals, means over the seeds of an arm; None for one that is not there."""
    cosines, dips = [], []
    for run in runs:
        file = grid.output / run.arm.name / _SIGNALS
        if not file.exists():
            write_atomically(file, json.dumps(alignment(file.parent, grid.store)).encode())
        cosines.append(json.loads(file.read_bytes()))
        if run.switch:
            longest = max((other for other in bytes_only if other.seed == run.seed), key=lambda other: other.shares)
            dips.append(run_log.dip(logs[run.arm.name], logs[longest.arm.name], run.switch))
    found = {key: _mean([cosine[key] for cosine in cosines]) for key in ("gradient", "hidden")}
    return found | {"dip": [_mean(window) for window in zip(*dips, strict=True)]}


def _mean(values: Sequence[float | None]) -> float | None:
    """Of those that are known."""
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def _calibrated(run: Run, measured: Measured) -> dict[str, Any]:
    """A run of bytes only."""
    return {
        "arm": BYTES, "size": run.arm.size, "width": run.arm.config.model.d_model, "seed": measured.seed,
        "raw_bytes": measured.raw, "loss": measured.loss(), "flops": measured.flops, "seconds": measured.seconds,
    }  # fmt: skip
