"""Weights and optimizer states from files into a run at work: process 0 reads, and gives every tensor to the others.

So ranks on machines without a common folder begin at the same step, and a file is read once, not by every process.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from compressors.errors import InputError, InvalidConfig, in_one_line
from proxylm.data.alphabet import RAW_SIZE
from proxylm.model.decoder import Decoder
from proxylm.training.checkpoint import latest, remedy_for
from proxylm.training.checkpoint_folder import CheckpointError
from proxylm.training.distributed import Place
from proxylm.training.fsdp import sliced_like, whole
from proxylm.training.slices import tensors_of

# Tensors whose shapes depend on the compressed views.
_OF_VIEWS = {"heads.comp", "embedding.places", "embedding.pieces"}


def newest(run: Path, model: Decoder, optimizers: list[torch.optim.Optimizer], place: Place) -> dict[str, Any] | None:
    """Restore the newest checkpoint of `run` that process 0 sees, in place; its state, or None if it sees none.

    Every process must ask. Raises `CheckpointError`, in all of them.
    """
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}

    def read() -> tuple[dict[str, Tensor], Any]:
        checkpoint = latest(run)
        if checkpoint is None:
            return {}, None
        try:
            weights = tensors_of(checkpoint, "model")
            found = {name: tensor.shape for name, tensor in weights.items()}
            if different := sorted(name for name in shapes | found if shapes.get(name) != found.get(name)):
                name = different[0]
                raise ValueError(f"{name} is {found.get(name)}, expected {shapes.get(name)}")
            states = tensors_of(checkpoint, "optimizer")
            state = json.loads((checkpoint / "state.json").read_text())
        except (SafetensorError, RuntimeError, OSError, ValueError) as error:
            raise CheckpointError(
                f"{checkpoint} cannot be read ({in_one_line(error)}); {remedy_for(checkpoint)}"
            ) from error
        return {f"model.{n}": t for n, t in weights.items()} | {f"optimizer.{n}": t for n, t in states.items()}, state

    tensors, state = place.tensors_from_first(read)
    own = model.state_dict()  # shares its memory with the model
    for path, tensor in tensors:
        kind, _, name = path.partition(".")
        if kind == "model":
            own[name].copy_(sliced_like(tensor, own[name]))
            continue
        which, index, key = name.split(".")  # as `checkpoint` names them
        optimizer = optimizers[int(which)]
        parameter = [p for group in optimizer.param_groups for p in group["params"]][int(index)]
        optimizer.state[parameter][key] = sliced_like(tensor, parameter)
    known: dict[str, Any] | None = state
    return known


def weights_of(run: Path, model: Decoder, place: Place) -> None:
    """Put the newest weights of another run into `model`, on which it is to be trained further. Every process must ask.

    What the two show of compressed views may differ: its rows are then left as they are. Raises `InputError` if there are no
    weights, `InvalidConfig` if the shapes of the models differ.
    """

    def read() -> tuple[dict[str, Tensor], None]:
        checkpoint = latest(run)
        if checkpoint is None:
            raise InputError(f"{run} has no checkpoint to begin with; train it with `proxyc train`")
        try:
            return tensors_of(checkpoint, "model"), None
        except (SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(
                f"{checkpoint} cannot be read ({in_one_line(error)}); {remedy_for(checkpoint)}"
            ) from error

    own, found = model.state_dict(), set[str]()
    tensors, _ = place.tensors_from_first(read)
    for name, tensor in _fitting(run, tensors, own, found):
        own[name].copy_(sliced_like(tensor, own[name]))
    if missing := (own.keys() ^ found) - _OF_VIEWS:
        raise InvalidConfig(
            f"{run} cannot be the beginning: {', '.join(sorted(missing))} is in one model only; give the same settings"
        )


def _fitting(
    run: Path, tensors: Iterator[tuple[str, Tensor]], own: dict[str, Tensor], found: set[str]
) -> Iterator[tuple[str, Tensor]]:
    """Those that have a place in `own`, with its shapes; the names of all go into `found`. Raises `InvalidConfig`."""
    for name, tensor in tensors:
        found.add(name)
        if name not in own:
            continue
        if tensor.shape == own[name].shape:
            yield name, tensor
        elif name == "embedding.weight" and tensor.shape[1] == own[name].shape[1]:
            kept = whole(own[name])[RAW_SIZE:]
            yield name, torch.cat([tensor[:RAW_SIZE].to(kept.device), kept])
        elif name not in _OF_VIEWS:
            raise InvalidConfig(
                f"{run} cannot be the beginning: its {name} is {tuple(tensor.shape)}, here {tuple(own[name].shape)}; "
                "give the same model settings"
            )
