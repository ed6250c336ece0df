"""The folder of a run: run.json (what it is), log.jsonl (a record a step), checkpoints."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
from pathlib import Path
from typing import Any

from compressors.atomic import write_atomically
from compressors.base import Compressor
from compressors.errors import FingerprintMismatch, InputError, InvalidConfig
from proxylm.config import RunConfig
from proxylm.config_files import changes, recorded
from proxylm.data.alphabet import Alphabet
from proxylm.data.loader import alphabet_of
from proxylm.data.store import RAW, Store
from proxylm.model.decoder import Decoder
from proxylm.training import checkpoint


def claim(run: Path, config: RunConfig, store: Store, steps: int) -> None:
    """Write run.json, or check that it says the same. Raises `InvalidConfig` if it does not, `InputError` if `run` is a file."""
    if run.exists() and not run.is_dir():
        raise InputError(f"{run} is a file, and a run is a folder; give another name")
    run.mkdir(parents=True, exist_ok=True)
    views = sorted({reading.view for reading in config.mix.readings} - {RAW})
    facts = {
        "config": dataclasses.asdict(config),
        "store": store.fingerprint_of(*views),
        "views": {view: store.view(view)["fingerprint"] for view in views},
        "alphabet": dict(alphabet_of(store, config).views),
        "steps": steps,
    }
    if (run / "run.json").exists():
        before = _facts(run)
        before["config"] = dataclasses.asdict(recorded(before["config"]))
        before, now = (json.loads(json.dumps(said)) for said in (before, facts))
        if different := list(changes(before, now)):
            raise InvalidConfig(
                f"{run} holds a run with another {'; '.join(different)}; choose another folder or delete it"
            )
        return
    write_atomically(run / "run.json", json.dumps(facts, indent=1).encode())


def load_run(run: Path, *, best: bool = False) -> tuple[Decoder, RunConfig]:
    """The newest model of a run (or the best on its held-out documents), ready to evaluate, and its configuration.

    Raises `InputError` or `CheckpointError`.
    """
    facts = _facts(run)
    config = recorded(facts["config"])
    model = Decoder.of(config, Alphabet(facts["alphabet"], config.mix.shared_bytes))
    checkpoint.load_model(run, model, best=best)
    return model.eval(), config


def view_of(run: Path, codec: Compressor) -> str:
    """The view that `codec` made, of those the run was trained on. Raises `FingerprintMismatch` if it made none."""
    trained: dict[str, str] = _facts(run)["views"]
    made_by = {fingerprint: view for view, fingerprint in trained.items()}
    if codec.fingerprint not in made_by:
        known = ", ".join(f"{name} {made[:12]}" for name, made in trained.items()) or "raw bytes alone"
        raise FingerprintMismatch(
            f"{run} was trained on {known}, not on {codec.name} {codec.fingerprint[:12]}; give that artifact"
        )
    return made_by[codec.fingerprint]


def _facts(run: Path) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads((run / "run.json").read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{run} is no training run ({error}); make one with `proxyc train`") from error
    missing = {"config", "store", "views", "alphabet", "steps"} - set(facts)
    if missing:
        raise InputError(f"{run / 'run.json'} lacks {', '.join(sorted(missing))}; make a run with `proxyc train`")
    return facts


def totals(run: Path) -> dict[str, float]:
    """Sums over the log of a run: steps, flops, symbols, bytes of text shown, seconds."""
    log = records(run)
    return {
        "steps": len(log),
        "flops": sum(r["flops"] for r in log),
        "symbols": sum(sum(r["symbols"].values()) for r in log),
        "bytes": sum(sum(r["bytes"].values()) for r in log),
        "seconds": sum(r["seconds"] for r in log),
    }


def records(run: Path) -> list[dict[str, Any]]:
    """The log of a run, a record a step. Raises `InputError` if there is none."""
    path, found = run / "log.jsonl", list[dict[str, Any]]()
    try:
        found += map(json.loads, path.read_text().splitlines())
    except OSError as error:
        raise InputError(f"{run} has no log of a training run ({error}); make one with `proxyc train`") from error
    except ValueError as error:
        raise InputError(
            f"{path}, line {len(found) + 1}: no record ({error}); cut the file there to use the rest"
        ) from error
    return found


class Log:
    """RUN/log.jsonl: one record a step; after a resume the records of steps that are done again are cut off."""

    def __init__(self, path: Path, step: int, *, write: bool) -> None:
        self._path, self._step, self._write = path, step, write

    def __enter__(self) -> Log:
        if self._write:
            self._folder = os.open(self._path.parent, os.O_RDONLY)
            try:  # a process left over from a grid that was killed would write the same files
                fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(self._folder)
                raise InputError(f"another process trains in {self._path.parent}; wait for it, or end it") from error
            lines = self._path.read_text().splitlines(keepends=True) if self._path.exists() else []
            whole = sum(line.endswith("\n") for line in lines)
            if whole < self._step:
                os.close(self._folder)
                raise InputError(
                    f"{self._path} has {whole} records, and the newest checkpoint is of step {self._step}; "
                    "put the log back, or start in another folder"
                )
            write_atomically(self._path, "".join(lines[: self._step]).encode())
            self._file = open(self._path, "a", buffering=1)
        return self

    def write(self, record: dict[str, Any]) -> None:
        if self._write:
            self._file.write(json.dumps(record) + "\n")

    def sync(self) -> None:
        """Put the records on disk: before a checkpoint, which must not be ahead of them."""
        if self._write:
            os.fsync(self._file.fileno())

    def __exit__(self, *_: object) -> None:
        if self._write:
            self._file.close()
            os.close(self._folder)
