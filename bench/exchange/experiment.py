"""What is run for exchange rates, as data: bytes only at R, 2R and 4R, and every arm at R with C more, of each size and seed.

    seeds = [1, 2, 3]
    [base.train]                 # settings of all runs, as for `proxyc train --config`
    matrix_lr = 0.02
    [sizes.d32]
    model = { d_model = 32, n_heads = 1 }
    raw = 3_000_000              # R, in bytes
    calibration = [1, 2, 4]      # bytes only, in multiples of R; this is the default
    [arms.published]
    view = "bpe"
    schedule = "constant"        # one of `bench.exchange.schedules`
    ratio = 3                    # C / R

Every run has the learning rates of its length: a curve of one long run would not tell what a shorter one ends with.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.downstream.arms import Arm
from bench.exchange.schedules import Stretch, stretches
from compressors.errors import InputError, InvalidConfig
from proxylm import config_files as configs
from proxylm.config import RunConfig
from proxylm.data.layout import Layout
from proxylm.data.loader import alphabet_of
from proxylm.data.store import Store
from proxylm.data.views import views_of
from proxylm.training.run_plan import RunPlan
from proxylm.view_spec import RAW

BYTES = "bytes"  # the arm of the calibration
_KEYS = {
    "": {"seeds", "base", "sizes", "arms"},
    "sizes": {"model", "train", "raw", "calibration"},
    "arms": {"view", "schedule", "ratio"},
    "base": {"model", "train", "mix"},
}


@dataclass(frozen=True)
class Run:
    """One training run, and what it is for."""

    arm: Arm
    """Its name, configuration and size."""
    label: str
    """Of the arm; `BYTES` for the calibration."""
    parts: tuple[Stretch, ...]
    """What it shows, in multiples of `raw`."""
    raw: float
    """R, in bytes."""
    view: str | None = None
    """How text is shown beside raw bytes; None: only those."""
    schedule: str = ""
    switch: int = 0
    """The step at which the first stretch has ended; 0 where there is only one."""

    @property
    def seed(self) -> int:
        """Of the training run."""
        return self.arm.config.train.seed

    @property
    def shares(self) -> tuple[float, float]:
        """Bytes that it is to show raw, and in the view."""
        shown = sum(part.n_bytes * part.rate for part in self.parts) * self.raw
        return sum(part.n_bytes for part in self.parts) * self.raw - shown, shown


def runs_of(settings: Mapping[str, Any], store: Store, where: str = "exchange") -> list[Run]:
    """All runs, the calibration of a size and seed before its arms; their steps are planned on `store`.

    where: begins each message. Raises `InvalidConfig`, and `InputError` where the corpus is too small.
    """
    _check_keys(settings, where)
    steps = _Steps(store)
    found = []
    for seed, (size, sized) in itertools.product(settings.get("seeds", [1]), settings["sizes"].items()):
        name = f"{where}: size {size}"
        raw = sized.get("raw", 0)
        if type(raw) not in (int, float) or raw <= 0:
            raise InvalidConfig(f"{name}: raw is {raw!r}; expected R, a number of bytes, e.g. 3_000_000")
        multiples = sized.get("calibration", [1, 2, 4])
        if not isinstance(multiples, list) or len({m for m in multiples if type(m) in (int, float) and m > 0}) < 2:
            raise InvalidConfig(
                f"{name}: calibration is {multiples!r}; expected two multiples of R or more, e.g. [1, 2, 4]"
            )
        base = _config(name, settings, sized, seed)
        for multiple in multiples:
            run = Run(
                Arm(f"{BYTES}-x{multiple:g}-{size}-s{seed}", base, RAW, f"{BYTES},{multiple:g}R", size), BYTES,
                (Stretch(multiple, 0.0),), raw,
            )  # fmt: skip
            found.append(steps.planned(run))
        found += [steps.planned(run) for run in _arms(where, settings, size, raw, seed, base)]
    return found


def _arms(where: str, settings: Mapping[str, Any], size: str, raw: float, seed: int, base: RunConfig) -> Iterator[Run]:
    """The runs with a view, of one size and seed; not yet planned."""
    for label, arm in settings["arms"].items():
        name = f"{where}: arm {label}"
        view, schedule, ratio = arm.get("view"), arm.get("schedule", "first"), arm.get("ratio", 1)
        if not isinstance(view, str):
            raise InvalidConfig(f"{name}: view is {view!r}; expected that of a store, e.g. bpe:merges=256")
        if type(ratio) not in (int, float):
            raise InvalidConfig(f"{name}: ratio is {ratio!r}; expected C / R, a number")
        try:
            parts = tuple(stretches(schedule, float(ratio)))
        except InvalidConfig as error:
            raise InvalidConfig(f"{name}: {error}") from error
        yield Run(Arm(f"{label}-{size}-s{seed}", base, RAW, label, size), label, parts, raw, view, schedule)


def _config(name: str, settings: Mapping[str, Any], sized: Mapping[str, Any], seed: int) -> RunConfig:
    """The settings of a size and seed, without a schedule and a length."""
    merged: dict[str, Any] = {part: dict(settings.get("base", {}).get(part, {})) for part in ("train", "model", "mix")}
    for part in ("train", "model"):
        merged[part] |= sized.get(part, {})
    if taken := {"steps", "flops", "seed"} & set(merged["train"]):
        raise InvalidConfig(f"{name}: train has {', '.join(sorted(taken))}; raw, ratio and seeds say that here")
    if taken := set(merged["mix"]) - {"chunk"}:
        raise InvalidConfig(f"{name}: mix has {', '.join(sorted(taken))}; view and schedule of an arm say that here")
    merged["train"] |= {"steps": 1, "seed": seed}
    return configs.from_mapping(RunConfig, merged, name)


def _check_keys(settings: Mapping[str, Any], where: str) -> None:
    """Raise `InvalidConfig` on a section or key that is not known, or one that is missing."""
    for level, known in _KEYS.items():
        tables = {"": settings} if not level else settings.get(level, {})
        if level == "base":
            tables = {"base": tables}
        if not isinstance(tables, Mapping) or not all(isinstance(table, Mapping) for table in tables.values()):
            raise InvalidConfig(f"{where}: {level} is {tables!r}; expected a table of tables")
        for name, table in tables.items():
            if unknown := set(table) - known:
                place = f"{where}: {level} {name}".rstrip()
                raise InvalidConfig(
                    f"{place}: no setting {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}"
                )
    for level, example in (("sizes", "[sizes.d32]"), ("arms", "[arms.bpe]")):
        if not settings.get(level):
            raise InvalidConfig(f"{where}: no {level}; expected at least one {example}")
    if BYTES in settings["arms"]:
        raise InvalidConfig(f"{where}: an arm is called {BYTES}, as the calibration is; choose another name")
    seeds = settings.get("seeds", [1])
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
        raise InvalidConfig(f"{where}: seeds is {seeds!r}; expected a list of whole numbers")


class _Steps:
    """Puts lengths and schedules into runs. A stretch is planned once for all sizes that share it."""

    def __init__(self, store: Store) -> None:
        self._store, self._known = store, dict[str, int]()  # steps of stretches, positions of views
        self._corpus = store.n_symbols(RAW)

    def planned(self, run: Run) -> Run:
        """The run with its steps and phases. Raises `InputError`."""
        self._check(run)
        base = run.arm.config
        steps = [self._steps(base, run.view if part.rate else None, part, run.raw) for part in run.parts]
        ends = list(itertools.accumulate(steps))
        phases = [
            {"until": end / ends[-1], "start": part.rate, "end": part.rate}
            for end, part in zip(ends, run.parts, strict=True)
        ]
        config = _mixed(base, run.view, phases, ends[-1])
        return replace(run, arm=replace(run.arm, config=config, first=BYTES), switch=ends[0] if len(ends) > 1 else 0)

    def _steps(self, base: RunConfig, view: str | None, part: Stretch, raw: float) -> int:
        """Steps in which a stretch shows its bytes."""
        config = _mixed(base, view, [{"until": 1.0, "start": part.rate, "end": part.rate}], 1)
        # All that the rows of a run depend on, but their number.
        key = json.dumps([view, part, raw, config.chunk, config.train.seed, config.train.rows, config.train.row_length])
        if key not in self._known:
            self._known[key] = RunPlan.of(self._store, config, n_bytes=part.n_bytes * raw).steps
        return self._known[key]

    def _check(self, run: Run) -> None:
        """Raise where the corpus is too small, the run too short, or the view no shorter than the text."""
        name, train, n_bytes = run.arm.name, run.arm.config.train, sum(run.shares)
        if n_bytes > self._corpus:
            raise InputError(
                f"{name} shows {n_bytes:,.0f} bytes, and {self._store.path} has {self._corpus:,}: repeated text is worth less; "
                "encode more text, or give a smaller --raw or --ratio"
            )
        step = train.rows * train.row_length
        if min(part.n_bytes for part in run.parts) * run.raw < step:
            raise InputError(
                f"{name}: a part of {min(part.n_bytes for part in run.parts) * run.raw:,.0f} bytes is less than a step of "
                f"{train.rows} x {train.row_length} positions; give a larger --raw, or fewer train.rows"
            )
        if run.view is None:
            return
        positions = self._positions(run.arm.config, run.view)
        if positions >= self._corpus:
            raise InputError(
                f"view {run.view} has {self._corpus / positions:.2f} bytes a position; expected more than 1, or nothing can be "
                "gained: choose another view"
            )

    def _positions(self, base: RunConfig, view: str) -> int:
        """Positions of a view of all documents."""
        if view not in self._known:
            config = _mixed(base, view, [{"until": 1.0, "start": 1.0, "end": 1.0}], 1)
            (shown,) = views_of(self._store, config.mix.specs, alphabet_of(self._store, config))
            _, places = Layout.of(self._store, [shown], 0).find(np.arange(len(self._store)))
            self._known[view] = int((places["stop"] - places["first"]).sum())
        return self._known[view]


def _mixed(base: RunConfig, view: str | None, phases: list[dict[str, Any]], steps: int) -> RunConfig:
    """`base` with a view, a schedule and a length."""
    settings = json.loads(base.to_json())
    settings["train"]["steps"] = steps
    settings["mix"] |= {"view": view, "recipe": "raw", "phases": phases}
    return configs.from_mapping(RunConfig, settings)
