"""What a run will take, before its first step: parameters, FLOPs, bytes of text, memory. Of our model: others are not known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from proxylm.config import TrainConfig
from proxylm.model.decoder import Decoder
from proxylm.training.run_plan import RunPlan

# Of a parameter in fp32: the weight, its gradient, and at most two moments of the optimizer.
_BYTES_A_PARAMETER = 16


@dataclass(frozen=True)
class Outlook:
    """Make one with `of`. Bytes of memory are those of one process that has everything, in fp32 and not compiled."""

    plan: RunPlan
    start: int
    """The first step, counted from 0: more where a run resumes."""
    parameters: int
    weight_bytes: int
    """Of weights, gradients and optimizer, at most."""
    activation_bytes: int
    """Of the activations of one pass, at most."""

    @classmethod
    def of(cls, plan: RunPlan, start: int = 0) -> Outlook:
        """Neither memory for weights is taken nor an id read: the model is made on the device "meta"."""
        with torch.device("meta"):
            model = Decoder.of(plan.config, plan.loader.alphabet)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        activations = activation_bytes(model, plan.config.train)
        return cls(plan, start, parameters, parameters * _BYTES_A_PARAMETER, activations)


Begin = Callable[[Outlook], None]  # called once, before the first step


def activation_bytes(model: Decoder, train: TrainConfig) -> int:
    """What the blocks keep of one forward pass for the backward pass; on the device "meta" without
    computing anything.

    An upper bound: in fp32 and not compiled. Without the heads, whose loss keeps no logits.
    """
    device, kept = model.norm.weight.device, dict[int, torch.UntypedStorage]()
    weights = {parameter.untyped_storage()._cdata for parameter in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        """Called by autograd with each tensor it saves. Tensors that share a storage count once."""
        kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
        return tensor

    x = torch.empty(train.micro_rows or train.rows, train.row_length, model.config.d_model, device=device)
    where = model.where(torch.arange(train.row_length, device=device)[None])
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        for block in model.blocks:
            x = block(x, where, None, None)
    return sum(storage.nbytes() for address, storage in kept.items() if address not in weights)
