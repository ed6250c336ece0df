"""Checkpoints: safetensors and JSON in a folder that is renamed into place once it is whole; the last few are kept."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from compressors.atomic import sync_folder
from compressors.errors import InputError, ProxycError, in_one_line
from proxylm.model.decoder import Decoder
from proxylm.training.checkpoint_writer import LARGE, Writer
from proxylm.training.fsdp import whole

BEST = "best"  # folder of the best model, beside those of the last steps


class CheckpointError(ProxycError, ValueError):
    """A checkpoint that is damaged or of another run."""


def save(
    run: Path,
    model: Decoder,
    optimizers: list[torch.optim.Optimizer],
    state: dict[str, Any],
    keep: int,
    *,
    write: bool = True,
    writer: Writer | None = None,
) -> None:
    """Write RUN/checkpoints/step-N for ``state["step"]`` = N, then delete all but the last `keep`.

    write: whether this process does; the others of a sharded run call too, to give their slices. writer: gets what is large, as
    a copy; without one all is on disk when this returns.
    """

    def work(tensors: dict[str, dict[str, Tensor]]) -> None:
        _write(run / "checkpoints" / f"step-{state['step']:08d}", tensors, state)
        for old in _all(run)[:-keep]:
            shutil.rmtree(old)

    _given({"model": model.state_dict(), "optimizer": _optimizer_tensors(optimizers)}, work, writer, write)


def save_best(
    run: Path, model: Decoder, step: int, bits_per_byte: float, *, write: bool = True, writer: Writer | None = None
) -> None:
    """Keep the model in RUN/checkpoints/best if it is the best so far, by bits per byte of held-out documents.

    write, writer: as for `save`.
    """

    def work(tensors: dict[str, dict[str, Tensor]]) -> None:
        try:
            known = float(json.loads((_best(run) / "state.json").read_text())["bits_per_byte"])
        except (OSError, ValueError, KeyError):  # none yet, or damaged: this one is better
            known = math.inf
        if bits_per_byte < known:
            _write(run / "checkpoints" / BEST, tensors, {"step": step, "bits_per_byte": bits_per_byte})

    _given({"model": model.state_dict()}, work, writer, write)


def _given(
    found: dict[str, dict[str, Tensor]],
    work: Callable[[dict[str, dict[str, Tensor]]], None],
    writer: Writer | None,
    write: bool,
) -> None:
    """Give `work` the tensors without slices, on the CPU; if they are large, in the thread of `writer`."""
    if writer is not None:
        writer.wait()  # there is never more than one copy
    later = writer is not None and sum(t.nbytes for tensors in found.values() for t in tensors.values()) >= LARGE
    tensors = {name: _whole(parts, write, copy=later) for name, parts in found.items()}
    if write and writer is not None:
        writer.write(partial(work, tensors), later=later)
    elif write:
        work(tensors)


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


def _write(target: Path, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> Path:
    """A folder of safetensors and state.json, renamed into place once it is on disk."""
    temporary, before = (target.parent / f".{target.name}.{kind}" for kind in ("tmp", "old"))
    for old in target.parent.glob(".*.old"):
        whole = old.with_name(old.name.removeprefix(".").removesuffix(".old"))
        if not whole.exists():  # a run was killed between the two renames below
            os.replace(old, whole)
    for left in (*target.parent.glob(".*.tmp"), *target.parent.glob(".*.old")):  # of a run that was killed
        shutil.rmtree(left)
    temporary.mkdir(parents=True)
    try:
        for name, found in tensors.items():
            save_file({key: tensor.contiguous() for key, tensor in found.items()}, temporary / f"{name}.safetensors")
        (temporary / "state.json").write_text(json.dumps(state))
        # On disk before the folder gets its name: a crash leaves either the whole checkpoint or none.
        for file in temporary.iterdir():
            with open(file, "rb") as opened:
                os.fsync(opened.fileno())
    except (SafetensorError, OSError) as error:  # what safetensors raises of a full disk is not an OSError
        shutil.rmtree(temporary, ignore_errors=True)
        raise CheckpointError(
            f"cannot write {target}: {in_one_line(error)}; make room, and the same command resumes at the checkpoint before"
        ) from error
    if target.exists():  # a folder cannot be renamed over another: the one before goes last
        os.replace(target, before)
    os.replace(temporary, target)
    sync_folder(target.parent)
    if before.exists():
        shutil.rmtree(before)
    return target


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
        model.load_state_dict(load_file(checkpoint / "model.safetensors"))
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
    return hashlib.sha256((newest / "model.safetensors").read_bytes()).hexdigest()


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
