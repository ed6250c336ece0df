"""Checkpoints: safetensors and JSON in a folder that is renamed into place once it is whole; the last few are kept.

model.safetensors and optimizer.safetensors are the same for any number of processes. Of a large sharded run they hold only what
is not in slices; `slices` has the rest, in files of each process, and `tensors_of` reads both.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import save as serialized
from torch import Tensor

from compressors.errors import InputError, in_one_line
from proxylm.model.decoder import Decoder
from proxylm.training import slices as sliced
from proxylm.training.checkpoint_folder import CheckpointError, begun, failing_in_one_line, finish
from proxylm.training.checkpoint_writer import LARGE, Writer
from proxylm.training.fsdp import is_sliced, whole
from proxylm.training.slices import Slices, tensors_of

BEST = "best"  # folder of the best model, beside those of the last steps


def save(
    run: Path,
    model: Decoder,
    optimizers: list[torch.optim.Optimizer],
    state: dict[str, Any],
    keep: int,
    *,
    write: bool = True,
    writer: Writer | None = None,
    slices: Slices | None = None,
) -> None:
    """Write RUN/checkpoints/step-N for ``state["step"]`` = N, then delete all but the last `keep`.

    write: whether this process does; the others of a sharded run call too, to give their slices. writer: gets what is large, as
    a copy; without one all is on disk when this returns. slices: of a sharded run, whose processes write them if they are many.
    """

    def delete_old() -> None:
        for old in _all(run)[:-keep]:
            shutil.rmtree(old)

    target = run / "checkpoints" / f"step-{state['step']:08d}"
    tensors = {"model": model.state_dict(), "optimizer": _optimizer_tensors(optimizers)}
    _given(_Asked(target, state, after=delete_old), tensors, write, writer, slices)


def save_best(
    run: Path,
    model: Decoder,
    step: int,
    bits_per_byte: float,
    *,
    write: bool = True,
    writer: Writer | None = None,
    slices: Slices | None = None,
) -> None:
    """Keep the model in RUN/checkpoints/best if it is the best so far, by bits per byte of held-out documents.

    write, writer, slices: as for `save`.
    """

    def is_best() -> bool:
        try:
            known = float(json.loads((_best(run) / "state.json").read_text())["bits_per_byte"])
        except (OSError, ValueError, KeyError):  # none yet, or damaged: this one is better
            known = math.inf
        return bits_per_byte < known

    state = {"step": step, "bits_per_byte": bits_per_byte}
    asked = _Asked(run / "checkpoints" / BEST, state, wanted=is_best)
    _given(asked, {"model": model.state_dict()}, write, writer, slices)


class _Asked(NamedTuple):
    """A checkpoint that is to be written."""

    target: Path
    state: dict[str, Any]
    wanted: Callable[[], bool] = lambda: True
    """Asked, in the first process, once those before are on disk."""
    after: Callable[[], None] = lambda: None
    """Called once it is on disk."""


def _given(
    asked: _Asked, found: dict[str, dict[str, Tensor]], write: bool, writer: Writer | None, slices: Slices | None
) -> None:
    """Write what is `found`, whole or by its slices; if it is large, in the thread of `writer`."""
    if writer is not None:
        writer.wait()  # there is never more than one copy
    n_bytes = sum(t.nbytes for tensors in found.values() for t in tensors.values())  # the same in all processes
    if slices is not None and n_bytes >= sliced.LARGE and _slices_given(asked, found, write, writer, slices):
        return
    later = writer is not None and n_bytes >= LARGE
    tensors = {name: _whole(parts, write, copy=later) for name, parts in found.items()}

    def work() -> None:
        if asked.wanted():
            _write(asked.target, tensors, asked.state)
            asked.after()

    if write and writer is not None:
        writer.write(work, later=later)
    elif write:
        work()


def _slices_given(
    asked: _Asked, found: dict[str, dict[str, Tensor]], write: bool, writer: Writer | None, slices: Slices
) -> bool:
    """Have each process write its slices, and the first one the rest; False if they have no common folder."""
    if not slices.place.from_first(asked.wanted):
        return True
    parts = {f"{kind}.{name}": t for kind, tensors in found.items() for name, t in tensors.items() if is_sliced(t)}
    started = slices.begin(parts, lambda: begun(asked.target))
    if started is None:
        return False
    temporary, wait = started
    rest = {
        kind: _whole({name: t for name, t in tensors.items() if not is_sliced(t)}, write, copy=True)
        for kind, tensors in found.items()
    }

    def work() -> None:
        with failing_in_one_line(asked.target, temporary):
            wait()
        if write:
            finish(temporary, asked.target, rest, asked.state | {sliced.FOLDER: sliced.files_of(temporary)})
            asked.after()

    if writer is not None:
        writer.write(work, later=True)
    else:
        work()
    return True


def _whole(tensors: dict[str, Tensor], keep: bool, *, copy: bool) -> dict[str, Tensor]:
    """Without slices, on the CPU; nothing if not `keep`. One by one: no GPU holds more than one whole tensor.

    copy: they share no memory with those that are trained.
    """
    kept = {}
    for name, tensor in tensors.items():
        together = whole(tensor)  # every process takes part in this, whoever keeps it
        if keep:
            kept[name] = together.detach().to("cpu", copy=copy)
    return kept


def _write(target: Path, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> None:
    """A folder of safetensors and state.json, renamed into place once it is on disk."""
    finish(begun(target), target, tensors, state)


def _best(run: Path) -> Path:
    """The folder of the best model; by its other name if a run was killed while it was replaced."""
    best = run / "checkpoints" / BEST
    old = best.with_name(f".{BEST}.old")
    return old if old.exists() and not best.exists() else best


def latest(run: Path) -> Path | None:
    """The newest whole checkpoint of a run, or None."""
    checkpoints = _all(run)
    return checkpoints[-1] if checkpoints else None


def load_model(run: Path, model: Decoder, *, best: bool = False) -> int:
    """Restore the newest model of a run, or the best; return its step. Raises `InputError` if there is none."""
    checkpoint = _best(run) if best else latest(run)
    if checkpoint is None or not checkpoint.exists():
        missing = "no best model; train it with --held-out" if best else "no checkpoint; train it with `proxyc train`"
        raise InputError(f"{run} has {missing}")
    remedy = "use the newest instead, without --best" if best else remedy_for(checkpoint)
    try:
        model.load_state_dict(tensors_of(checkpoint, "model"))
        step = int(json.loads((checkpoint / "state.json").read_text())["step"])
    except (SafetensorError, RuntimeError, OSError, ValueError) as error:
        raise CheckpointError(f"{checkpoint} cannot be read ({in_one_line(error)}); {remedy}") from error
    for name, values in model.state_dict().items():
        if not values.isfinite().all():
            raise CheckpointError(f"{checkpoint}: weights of {name} are not finite; {remedy}")
    return step


def fingerprint(run: Path) -> str:
    """SHA-256 of the newest weights of a run. Raises `InputError` if there are none."""
    newest = latest(run)
    if newest is None:
        raise InputError(f"{run} has no checkpoint to begin with; train it with `proxyc train`")
    if not (newest / sliced.FOLDER).exists():
        return hashlib.sha256((newest / "model.safetensors").read_bytes()).hexdigest()
    return hashlib.sha256(serialized(tensors_of(newest, "model"))).hexdigest()  # the same


def remedy_for(checkpoint: Path) -> str:
    """What to do about one that cannot be used."""
    others = len(_all(checkpoint.parent.parent)) > 1
    return "delete it to use the one before" if others else "it is the only one: delete it to train from the start"


def _all(run: Path) -> list[Path]:
    """The checkpoints of the last steps, the oldest first: numbers have eight digits, so names sort as they do."""
    return sorted((run / "checkpoints").glob("step-*"))


def _optimizer_tensors(optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """State tensors by optimizer number, parameter number and key."""
    tensors: dict[str, Tensor] = {}
    for which, optimizer in enumerate(optimizers):
        for index, parameter in enumerate(p for group in optimizer.param_groups for p in group["params"]):
            for key, value in optimizer.state[parameter].items():
                if isinstance(value, Tensor):  # SGD without momentum has None here
                    tensors[f"{which}.{index}.{key}"] = value
    return tensors
