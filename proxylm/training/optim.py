"""Muon for the hidden matrices, AdamW for embeddings, heads and gains.

Why not `torch.optim.Muon`: it orthogonalises in bfloat16, one matrix at a time. On a CPU without bfloat16 units that is far
slower than fp32 (measured: 128-wide products 2 against 58 GFLOP/s, 2048-wide ones 0.17 against 67). Here equal shapes go through
one batched product, in bfloat16 on GPUs and where the run's products are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from proxylm.model.decoder import Decoder
from proxylm.train_config import TrainConfig
from proxylm.training.fsdp import local, of_whole


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised by a Newton-Schulz iteration (K. Jordan et al., 2024), and decoupled weight decay."""

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        *,
        bf16: bool = False,
    ) -> None:
        """bf16: iterate in bfloat16, where the hardware has units for it."""
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self._bf16 = bf16

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override] # no closure is called
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for shape, parameters in by_shape.items():
                momenta = [self._momentum(p, group["momentum"]) for p in parameters]
                updates = of_whole(partial(orthogonal, bf16=self._bf16), momenta)
                # Tall matrices get larger updates, as in K. Jordan's code.
                scale = max(1.0, shape[0] / shape[1]) ** 0.5
                for parameter, update in zip(parameters, updates, strict=True):
                    if group["weight_decay"]:  # by the rate as it is, without the scale: as in torch
                        local(parameter).mul_(1 - group["lr"] * group["weight_decay"])
                    local(parameter).add_(update, alpha=-group["lr"] * scale)

    def _momentum(self, parameter: Tensor, momentum: float) -> Tensor:
        """Nesterov momentum, of the shape of the gradient: the new momentum, mixed with the gradient once more."""
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        assert parameter.grad is not None
        # momentum * old + (1 - momentum) * gradient.
        state["momentum"].lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(state["momentum"], momentum)


def orthogonal(matrices: Tensor, steps: int = 5, *, bf16: bool = False) -> Tensor:
    """Nearly orthogonal matrices (n, rows, columns) with the singular vectors of `matrices`; singular values in about 0.7-1.2."""
    a, b, c = 3.4445, -4.7750, 2.0315  # K. Jordan's: steepest at 0, so that five steps suffice
    x = matrices.bfloat16() if bf16 or matrices.is_cuda else matrices
    tall = x.shape[1] > x.shape[2]  # the Gram matrix is taken of the shorter side
    x = x.mT if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)  # largest singular value 1 at most
    for _ in range(steps):
        gram = x @ x.mT  # (n, shorter side, shorter side)
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = (x.mT if tall else x).to(matrices.dtype)
    return result


def make_optimizers(model: Decoder, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Muon and AdamW over all parameters, each once; every group has a name, which the log uses.

    The parameters keep one order, in which checkpoints number them: hidden matrices; heads, embeddings, gains, n-grams.
    """
    matrices = list(model.matrices())
    heads = [p for name, p in model.heads.named_parameters() if not name.startswith("ahead.")]
    ngrams = [] if model.embedding.ngrams is None else list(model.embedding.ngrams.parameters())
    embeddings = [model.embedding.weight]
    taken = {id(p) for p in (*matrices, *heads, *embeddings, *ngrams)}
    # Gains, and places in bags, which are factors too: they are not pulled to zero.
    gains = [p for p in model.parameters() if id(p) not in taken]
    decay = config.adamw_weight_decay
    groups = [
        {"name": name, "params": params, "lr": lr, "weight_decay": weight_decay}
        for name, params, lr, weight_decay in (
            ("heads", heads, config.head_lr, decay),
            ("embeddings", embeddings, config.embedding_lr, decay),
            ("gains", gains, config.embedding_lr, 0.0),
            ("ngrams", ngrams, config.ngram_lr, decay),
        )
        if params
    ]
    hidden = [{"name": "matrices", "params": matrices}]
    # Fused: one pass over parameters and states. A table of n-grams makes up most of a small model's numbers.
    return [
        Muon(hidden, config.matrix_lr, weight_decay=config.weight_decay, bf16=config.dtype == "bf16"),
        torch.optim.AdamW(groups, betas=(0.8, 0.95), eps=1e-10, fused=True),
    ]
