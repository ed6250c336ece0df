"""Checkpoints: safetensors and JSON in a folder that is renamed into place once it is whole; the last few are kept."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from compressors.errors import InputError, ProxycError
from proxylm.model import Decoder


class CheckpointError(ProxycError, ValueError):
    """A checkpoint that is damaged or of another run."""


def save(run: Path, model: Decoder, optimizers: list[torch.optim.Optimizer], state: dict[str, Any], keep: int) -> Path:
    """Write RUN/checkpoints/step-N for ``state["step"]`` = N, then delete all but the last `keep`."""
    folder = run / "checkpoints"
    target = folder / f"step-{state['step']:08d}"
    temporary = folder / f".{target.name}.tmp"
    for left in folder.glob(".step-*.tmp"):  # of a run that was killed
        shutil.rmtree(left)
    temporary.mkdir(parents=True)
    save_file({name: t.contiguous() for name, t in model.state_dict().items()}, temporary / "model.safetensors")
    save_file(_optimizer_tensors(optimizers), temporary / "optimizer.safetensors")
    (temporary / "state.json").write_text(json.dumps(state))
    for file in temporary.iterdir():
        with open(file, "rb") as opened:
            os.fsync(opened.fileno())
    if target.exists():
        shutil.rmtree(target)
    os.replace(temporary, target)
    for old in _all(run)[:-keep]:
        shutil.rmtree(old)
    return target


def latest(run: Path) -> Path | None:
    """The newest whole checkpoint of a run, or None."""
    found = _all(run)
    return found[-1] if found else None


def load(checkpoint: Path, model: Decoder, optimizers: list[torch.optim.Optimizer]) -> dict[str, Any]:
    """Restore model and optimizers in place; return the state. Raises `CheckpointError`."""
    try:
        model.load_state_dict(load_file(checkpoint / "model.safetensors"))
        tensors = load_file(checkpoint / "optimizer.safetensors")
        state: dict[str, Any] = json.loads((checkpoint / "state.json").read_text())
    except (SafetensorError, RuntimeError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{checkpoint} cannot be read ({error}); delete it to go on from the one before"
        ) from error
    for name, tensor in tensors.items():
        which, index, key = name.split(".")
        optimizer = optimizers[int(which)]
        parameter = [p for group in optimizer.param_groups for p in group["params"]][int(index)]
        optimizer.state[parameter][key] = tensor.to(parameter.device)
    return state


def load_model(run: Path, model: Decoder) -> int:
    """Restore the newest model of a run; return its step. Raises `InputError` if the run has no checkpoint."""
    checkpoint = latest(run)
    if checkpoint is None:
        raise InputError(f"{run} has no checkpoint; train it with `proxyc train`")
    try:
        model.load_state_dict(load_file(checkpoint / "model.safetensors"))
    except (SafetensorError, RuntimeError, OSError) as error:
        raise CheckpointError(f"{checkpoint} cannot be read ({error}); delete it to use the one before") from error
    return int(checkpoint.name.removeprefix("step-"))


def _all(run: Path) -> list[Path]:
    return sorted((run / "checkpoints").glob("step-*"))


def _optimizer_tensors(optimizers: list[torch.optim.Optimizer]) -> dict[str, Tensor]:
    """State tensors by optimizer number, parameter number and key."""
    tensors: dict[str, Tensor] = {}
    for which, optimizer in enumerate(optimizers):
        for index, parameter in enumerate(p for group in optimizer.param_groups for p in group["params"]):
            for key, value in optimizer.state[parameter].items():
                tensors[f"{which}.{index}.{key}"] = value.contiguous()
    return tensors
