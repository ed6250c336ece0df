"""`proxyc bench downstream --plan`: what a run would take, without running it."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.downstream.arms import Arm
from proxylm.config import TrainConfig
from proxylm.data.store import Store
from proxylm.model.decoder import Decoder
from proxylm.training.run_plan import RunPlan


def planned(arm: Arm, store: Store, flops_per_second: float | None = None) -> str:
    """One line: what the run would take; hours at a rate that is given.

    Plans its rows, and loads nothing else.
    """
    train, plan = arm.config.train, RunPlan.of(store, arm.config)
    with torch.device("meta"):
        model = Decoder.of(arm.config, plan.loader.alphabet)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    hours = f", {plan.flops / flops_per_second / 3600:,.2f} hours" if flops_per_second else ""
    return (
        f"{arm.name}: {plan.steps:,} steps of {train.rows} x {train.row_length}, {plan.flops:.4g} FLOPs, {plan.passes:.2g} passes over the corpus, "
        f"{parameters:,} parameters; for one process with all of them {_size(parameters * 16)} for weights, gradients and optimizer, "
        f"at most {_size(activation_bytes(model, train))} for the activations of {train.micro_rows or train.rows} rows "
        f"(fp32, not compiled){hours}"
    )


def _size(n_bytes: int) -> str:
    """Bytes in MB or GB (10^6, 10^9)."""
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.1f} MB"


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
