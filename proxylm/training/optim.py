"""Muon for the hidden matrices, AdamW for embeddings, heads and gains.

Why not `torch.optim.Muon`: it orthogonalises in bfloat16, one matrix at a time. On a CPU without bfloat16 units that is far
slower than fp32 (measured: 128-wide products 2 against 58 GFLOP/s, 2048-wide ones 0.17 against 67). Here equal shapes go through
one batched product, large ones on a CPU one by one (`newton_schulz`); in bfloat16 on GPUs and where the run's products are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from proxylm.model.decoder import Decoder
from proxylm.train_config import TrainConfig
from proxylm.training.dealing import by_shape, dealt, gathered
from proxylm.training.distributed import Place
from proxylm.training.fsdp import is_sliced, local, of_whole
from proxylm.training.newton_schulz import orthogonal


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
        place: Place | None = None,
    ) -> None:
        """bf16: iterate in bfloat16, where the hardware has units for it. place: whose processes have the same gradients, and
        share the work; None: this process does all of it. Slices are always shared.
        """
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self._bf16, self._place = bf16, place

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override] # no closure is called
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            for parameter, update in self._updates(parameters, group["momentum"]):
                # Tall matrices get larger updates, as in K. Jordan's code.
                scale = max(1.0, parameter.shape[0] / parameter.shape[1]) ** 0.5
                if group["weight_decay"]:  # by the rate as it is, without the scale: as in torch
                    local(parameter).mul_(1 - group["lr"] * group["weight_decay"])
                local(parameter).add_(update, alpha=-group["lr"] * scale)

    def _updates(self, parameters: list[Tensor], momentum: float) -> Iterator[tuple[Tensor, Tensor]]:
        """Each with its update, or with its slice of that."""
        for parameter in parameters:
            self._gather_momentum(parameter, momentum)
        place, everything = self._place, range(len(parameters))
        if place is None or place.world == 1 or not parameters or is_sliced(parameters[0]):
            for number, update in self._orthogonal(parameters, everything, momentum):
                yield parameters[number], update
            return
        hands = dealt(parameters, place.world)
        own = dict(self._orthogonal(parameters, hands[place.rank], momentum))
        # Results of an iteration in bfloat16 are numbers of bfloat16: half the bytes.
        dtype = torch.bfloat16 if self._bf16 or parameters[0].is_cuda else parameters[0].dtype
        yield from zip(parameters, gathered(parameters, hands, own, place, dtype), strict=True)

    def _orthogonal(
        self, parameters: list[Tensor], numbers: Iterable[int], momentum: float
    ) -> Iterator[tuple[int, Tensor]]:
        """`numbers` of parameters with their updates; equal shapes go through one product."""
        for alike in by_shape(parameters, numbers):
            gradients = [(parameters[number].grad, self.state[parameters[number]]["momentum"]) for number in alike]
            mixed = [gradient.lerp(mean, momentum) for gradient, mean in gradients if gradient is not None]
            yield from zip(alike, of_whole(partial(orthogonal, bf16=self._bf16), mixed), strict=True)

    def _gather_momentum(self, parameter: Tensor, momentum: float) -> None:
        """momentum * old + (1 - momentum) * gradient, of the shape of the gradient. Its mix with the gradient is Nesterov's."""
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        assert parameter.grad is not None
        state["momentum"].lerp_(parameter.grad, 1 - momentum)


def make_optimizers(model: Decoder, config: TrainConfig, place: Place | None = None) -> list[torch.optim.Optimizer]:
    """Muon and AdamW over all parameters, each once; every group has a name, which the log uses. place: see `Muon`.

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
        Muon(hidden, config.matrix_lr, weight_decay=config.weight_decay, bf16=config.dtype == "bf16", place=place),
        torch.optim.AdamW(groups, betas=(0.8, 0.95), eps=1e-10, fused=True),
    ]
