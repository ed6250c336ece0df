"""Budgets other than equal FLOPs: the steps an arm gets so that it is shown as many symbols, or bytes, or takes as long as a rival.

A learning curve does not tell this: half-way through, the learning rate has not fallen. So these are runs of their own.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.downstream import results
from bench.downstream.arms import Arm
from compressors.errors import InputError
from proxylm.config import RunConfig
from proxylm.data.loader import Loader
from proxylm.data.row_plan import COMP, COMP_FIRST, COMP_STOP, COUNT, ENDS, KIND, RAW, RAW_FIRST, RAW_STOP
from proxylm.data.store import Store
from proxylm.training.trainer import planned_steps

_ROWS = 4096  # planned at a time


def settled(arm: Arm, store: Store, runs: Path) -> Arm:
    """The arm with the steps of its budget in its configuration; as it is if its FLOPs are the budget.

    runs: the folder where the rival, and the same arm at equal FLOPs, have their results; read for equal seconds only.
    """
    if arm.rival is None:
        return arm
    rival, config = arm.rival.config, arm.config
    if arm.equal == "symbols":
        positions = planned_steps(store, rival) * rival.train.rows * rival.train.row_length
        steps = round(positions / (config.train.rows * config.train.row_length))
    elif arm.equal == "bytes":
        rival_steps = planned_steps(store, rival)
        steps = _steps_for(planned_bytes(store, rival, rival_steps), rival_steps, store, config)
    else:
        theirs, ours = (_totals(runs, name) for name in (arm.rival.name, arm.at_flops))
        steps = round(theirs["seconds"] * ours["steps"] / ours["seconds"])
    return replace(arm, config=replace(config, train=replace(config.train, flops=None, steps=max(1, steps))))


def planned_bytes(store: Store, config: RunConfig, steps: int) -> float:
    """Bytes of text that the first `steps` steps of a run of `steps` steps show, from the row plan alone.

    Exact for chunks that are shown to their end; of a cut one the share of its positions is taken for that of its bytes.
    """
    loader, shown = Loader(store, config, steps * config.train.rows), 0.0
    for first in range(0, steps * config.train.rows, _ROWS):
        plan = loader.planner.plan(first, min(first + _ROWS, steps * config.train.rows))
        kind, raw, comp = (
            plan[:, KIND],
            plan[:, RAW_STOP] - plan[:, RAW_FIRST],
            plan[:, COMP_STOP] - plan[:, COMP_FIRST],
        )
        pair = (kind != RAW) & (kind != COMP)
        positions = np.where(kind == RAW, raw, np.where(kind == COMP, comp, raw + comp + 2)) + 2 * plan[:, ENDS]
        shown += float((plan[:, COUNT] * raw * (1 + pair) / positions).sum())
    return shown


def _steps_for(n_bytes: float, steps: int, store: Store, config: RunConfig) -> int:
    """The number of steps that show so many bytes, from a first guess on: bytes are nearly in proportion to steps."""
    tried: set[int] = set()
    while steps not in tried:
        tried.add(steps)
        steps = max(1, round(steps * n_bytes / planned_bytes(store, config, steps)))
    return steps


def _totals(runs: Path, name: str) -> dict[str, float]:
    path = runs / name / results.RESULT
    try:
        found: dict[str, float] = json.loads(path.read_bytes())["totals"]
    except OSError as error:
        raise InputError(
            f"equal seconds need the time that {name} took, and {path} is not there; run it first"
        ) from error
    return found
