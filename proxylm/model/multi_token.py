"""Extra heads: bytes beyond the next one, predicted from the same hidden state, for faster generation (`proxylm.generation`).

Head i (from 1) is a residual block, as in Medusa (arXiv 2401.10774), and behind it the head of raw bytes. They
are trained with the model from the start and their gradient flows into it, as in multi-token prediction (arXiv
2404.19737), at raw positions only: generation writes raw bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Ahead(nn.Module):
    """n_ahead blocks x + SiLU(W x), W (d, d), zero at first: every head begins as the main one."""

    def __init__(self, d_model: int, n_ahead: int) -> None:
        super().__init__()
        self.blocks = nn.ParameterList(torch.zeros(d_model, d_model) for _ in range(n_ahead))

    def forward(self, hidden: Tensor, n: int | None = None) -> Tensor:
        """(..., n, d) what the raw head makes the first `n` guesses of, or all; hidden (..., d)."""
        return torch.stack([_block(hidden, w) for w in self.blocks[:n]], -2)

    def examples(self, hidden: Tensor, targets: Tensor, places: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """For each head (N, d) what the raw head reads, and (N,) the ids it is to find there.

        hidden (B, T, d); targets (B, T); places: of each head (N,), where in the flattened grid it predicts.
        """
        flat, ids = hidden.flatten(0, 1), targets.flatten()
        for i, (w, here) in enumerate(zip(self.blocks, places, strict=True), 1):
            yield _block(flat[here], w), ids[here + i]


def _block(x: Tensor, w: Tensor) -> Tensor:
    """(..., d) from x (..., d) and w (d, d)."""
    return x + F.silu(F.linear(x, w))


def predicts(targets: Any, doc: Any, mode: Any, i: int) -> Any:
    """(B, T - i) whether head i has a target: positions t to t + i all predict scored raw ids, and of one segment.

    targets, doc, mode (B, T): tensors or arrays.
    """
    raw, T = (targets >= 0) & (mode == 0), targets.shape[1]
    here = doc[:, : T - i] == doc[:, i:]  # position t and position t + i
    for between in range(i + 1):
        here = here & raw[:, between : T - i + between]
    return here


def counts(targets: Any, doc: Any, mode: Any, n_ahead: int) -> list[int]:
    """(n_ahead,) targets of each head; targets, doc, mode (B, T): tensors or arrays."""
    return [int(predicts(targets, doc, mode, i).sum()) for i in range(1, n_ahead + 1)]
