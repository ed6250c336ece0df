"""The folder of a run: run.json (what it is), log.jsonl (a record a step), checkpoints."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from compressors.atomic import write_atomically
from compressors.base import Compressor, digest
from compressors.errors import FingerprintMismatch, InputError, InvalidConfig
from compressors.file_lock import lock, open_lock
from proxylm.config import RunConfig
from proxylm.config_files import changes, from_mapping
from proxylm.data.alphabet import Alphabet
from proxylm.model.decoder import Decoder
from proxylm.training import checkpoint
from proxylm.training.foreign import OURS, Foreign
from proxylm.training.run_plan import RunPlan
from proxylm.view_spec import RAW

FORMAT = 2  # of run.json; what format 1 said of views is not understood any more
# Settings of `train` that a resumed run may change: they decide nothing about its weights.
HARMLESS = ("keep", "checkpoint_every", "eval_every", "trackers", "norms_every", "peak_flops", "recompute")


def claim(
    run: Path,
    config: RunConfig,
    plan: RunPlan,
    held_out: Sequence[bytes],
    init: Path | None,
    foreign: dict[str, str | None] = OURS.names,
) -> None:
    """Write run.json, or check that it says the same. Raises `InvalidConfig` if it does not, `InputError` if `run` is a file
    or holds checkpoints of which nothing says what they are.
    """
    if run.exists() and not run.is_dir():
        raise InputError(f"{run} is a file, and a run is a folder; give another name")
    run.mkdir(parents=True, exist_ok=True)
    facts = _facts_of(config, plan, held_out, init) | {"foreign": foreign}
    if (run / "run.json").exists():
        _check_same(run, json.loads(json.dumps(facts)))
        return
    if checkpoint.latest(run) is not None:
        raise InputError(
            f"{run} has checkpoints and no run.json, which says of what; put it back, or choose another folder"
        )
    write_atomically(run / "run.json", json.dumps(facts, indent=1).encode())


def _facts_of(config: RunConfig, plan: RunPlan, held_out: Sequence[bytes], init: Path | None) -> dict[str, Any]:
    """What run.json says: all that decides the run. "chosen" is what `auto` in the configuration stands for."""
    views, store, settled = sorted({spec.view for spec in config.mix.specs} - {RAW}), plan.store, plan.config.train
    return {
        "format": FORMAT,
        "version": version("proxyc"),
        "config": dataclasses.asdict(config),
        "chosen": {"dtype": settled.dtype, "attention": settled.attention},
        "store": store.fingerprint_of(*views),
        "views": {view: store.view(view)["fingerprint"] for view in views},
        "alphabet": dataclasses.asdict(plan.loader.alphabet),
        "steps": plan.steps,
        "held_out": digest([document.hex() for document in held_out]) if held_out else None,
        "init": None if init is None else checkpoint.fingerprint(init),
    }


def _check_same(run: Path, now: dict[str, Any]) -> None:
    """Raise `InvalidConfig` if run.json says that `run` is another run than `now`."""
    before = _facts(run)
    before["config"] = json.loads(json.dumps(dataclasses.asdict(from_mapping(RunConfig, before["config"]))))
    before.setdefault("foreign", OURS.names)  # of a run before there was such a thing
    for name in HARMLESS:
        now["config"]["train"][name] = before["config"]["train"][name]
    different = list(changes({key: before.get(key) for key in now}, now | {"version": before["version"]}))
    if not different:
        return
    # The number of steps follows from the configuration: it is told of where only it differs.
    different = [line for line in different if not line.startswith("steps ")] or different
    remedy = "choose another folder or delete it"
    if any(line.startswith(("steps ", "config.train.steps ", "config.train.flops ")) for line in different):
        remedy = "a schedule depends on its length, so a run cannot be made longer: begin another one with --init"
    elif any(line.startswith("foreign.") for line in different):
        remedy = "give `train` the same model, optimizers and schedule, from Python"
    elif different[0].startswith("held_out "):
        remedy = "give the same documents; `proxyc eval` scores a finished run on others"
    raise InvalidConfig(f"{run} holds a run with another {'; '.join(different)}; {remedy}")


def recorded_choice(run: Path) -> dict[str, str]:
    """What `auto` stands for in a run that has begun; nothing for a new one."""
    if not (run / "run.json").is_file():
        return {}
    choice: dict[str, str] = _facts(run)["chosen"]
    return choice


def recorded_steps(run: Path, config: RunConfig) -> int | None:
    """The length of a run of this configuration that has begun; None for a new one, or one of another configuration.

    Steps follow from the configuration and the store, which `claim` compares.
    """
    if not (run / "run.json").is_file():
        return None
    facts = _facts(run)
    before = json.loads(json.dumps(dataclasses.asdict(from_mapping(RunConfig, facts["config"]))))
    now = json.loads(json.dumps(dataclasses.asdict(config)))
    for name in HARMLESS:
        now["train"][name] = before["train"][name]
    return int(facts["steps"]) if now == before else None


def load_run(run: Path, *, best: bool = False, foreign: Foreign = OURS) -> tuple[Decoder, RunConfig]:
    """The newest model of a run (or the best on its held-out documents), ready to evaluate, and its configuration.

    foreign: has what makes the model, if that is not ours. Raises `InputError` or `CheckpointError`, `InvalidConfig` if the
    run was trained with another model.
    """
    facts = _facts(run)
    config = from_mapping(RunConfig, facts["config"])
    trained, given = facts.get("foreign", OURS.names)["model"], foreign.names["model"]
    if trained != given:
        raise InvalidConfig(
            f"{run} was trained with the model {trained or 'of its settings'}, not {given or 'that of its settings'}; "
            "open it from Python, with proxylm.open_run(run, model=...)"
        )
    model = foreign.make_model(config, Alphabet(**facts["alphabet"]))
    checkpoint.load_model(run, model, best=best)
    return model.eval(), config


def view_of(run: Path, codec: Compressor) -> str:
    """The view that `codec` made, of those the run was trained on. Raises `FingerprintMismatch` if it made none."""
    trained = views_of(run)
    made_by = {fingerprint: view for view, fingerprint in trained.items()}
    if codec.fingerprint not in made_by:
        known = ", ".join(f"{name} {digits[:12]}" for name, digits in trained.items()) or "raw bytes only"
        here = ", ".join(f"{name} {number}" for name, number in codec.library_versions().items())
        versions = f", or install the version it was encoded with (here is {here})" if here else ""
        raise FingerprintMismatch(
            f"{run} was trained on {known}, not on {codec.name} {codec.fingerprint[:12]}; give that artifact{versions}"
        )
    return made_by[codec.fingerprint]


def views_of(run: Path) -> dict[str, str]:
    """The compressed views that a run was trained on: name -> fingerprint."""
    views: dict[str, str] = _facts(run)["views"]
    return views


def store_of(run: Path) -> str:
    """The fingerprint of what a run was trained on: raw bytes and views."""
    return str(_facts(run)["store"])


def _facts(run: Path) -> dict[str, Any]:
    """What run.json says. Raises `InputError` if it is missing, damaged, or of another format."""
    try:
        facts: dict[str, Any] = json.loads((run / "run.json").read_text())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{run} is not a training run: run.json: {reason}; make one with `proxyc train`") from error
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        written = facts.get("version", "a version before 0.1") if isinstance(facts, dict) else "something else"
        raise InputError(
            f"{run / 'run.json'} has format {facts.get('format', 1) if isinstance(facts, dict) else '?'}, written by {written}; "
            f"this version reads format {FORMAT}: use the one that wrote it, or train again"
        )
    missing = {"config", "chosen", "store", "views", "alphabet", "steps", "version"} - set(facts)
    if missing:
        raise InputError(f"{run / 'run.json'} lacks {', '.join(sorted(missing))}; make a run with `proxyc train`")
    return facts


class Log:
    """RUN/log.jsonl: one record a step; after a resume the records of steps that are done again are cut off."""

    def __init__(self, path: Path, step: int, *, write: bool) -> None:
        """step: the first that will be written. write: whether this process does; the others do nothing."""
        self._path, self._step, self._write = path, step, write

    def __enter__(self) -> Log:
        """Raises `InputError` if another process writes here, or if records before `step` are missing."""
        if self._write:
            self._lock = open_lock(self._path.parent)
            if not lock(self._lock):  # a process left over from a grid that was killed would write the same files
                self._lock.close()
                raise InputError(f"another process trains in {self._path.parent}; wait for it, or end it")
            lines = self._path.read_text().splitlines(keepends=True) if self._path.exists() else []
            whole = sum(line.endswith("\n") for line in lines)  # a kill may have cut the last line
            if whole < self._step:
                self._lock.close()
                raise InputError(
                    f"{self._path} has {whole} records, and the newest checkpoint is of step {self._step}; "
                    "put the log back, or start in another folder"
                )
            write_atomically(self._path, "".join(lines[: self._step]).encode())
            self._file = open(self._path, "a", buffering=1)
        return self

    def write(self, record: dict[str, Any]) -> None:
        """One line of JSON, flushed at once: who watches the run sees it."""
        if self._write:
            self._file.write(json.dumps(record) + "\n")

    def sync(self) -> None:
        """Put the records on disk: before a checkpoint, which must not be ahead of them."""
        if self._write:
            os.fsync(self._file.fileno())

    def __exit__(self, *_: object) -> None:
        if self._write:
            self._file.close()
            self._lock.close()
