"""Budgets other than equal FLOPs: the steps an arm gets so that it is shown as many symbols, or
bytes, or takes as long as a rival.

A learning curve does not tell this: half-way through, the learning rate has not fallen. So these
are separate runs.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from bench.downstream import results
from bench.downstream.arms import Arm
from compressors.errors import InputError
from proxylm.data.store import Store
from proxylm.training.run_plan import RunPlan


def settled(arm: Arm, store: Store, runs: Path) -> Arm:
    """The arm with the steps of its budget in its configuration.

    As it is if its FLOPs are the budget.

    runs: the folder where the rival, and the same arm at equal FLOPs, have their results; read for
    equal seconds only.
    """
    if arm.rival is None:
        return arm
    rival, config = arm.rival.config, arm.config
    if arm.equal == "symbols":
        positions = RunPlan.of(store, rival).steps * rival.train.rows * rival.train.row_length
        steps = round(positions / (config.train.rows * config.train.row_length))
    elif arm.equal == "bytes":
        steps = RunPlan.of(store, config, n_bytes=RunPlan.of(store, rival).n_bytes).steps
    else:
        theirs, ours = (_totals(runs, name) for name in (arm.rival.name, arm.at_flops))
        steps = round(theirs["seconds"] * ours["steps"] / ours["seconds"])
    return replace(arm, config=replace(config, train=replace(config.train, flops=None, steps=max(1, steps))))


def _totals(runs: Path, name: str) -> dict[str, float]:
    """The totals of a finished run. Raises `InputError` if it has no result yet."""
    path = runs / name / results.RESULT
    try:
        found: dict[str, float] = json.loads(path.read_bytes())["totals"]
    except OSError as error:
        raise InputError(
            f"equal seconds need the time that {name} took, and {path} is not there; run it first"
        ) from error
    return found
