"""Which positions are of which kind, as indices that are made on the CPU.

A mask would do on a CPU. A GPU has to count what a mask selects before the next operation can begin, and the process waits for
that number; an index has its length.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from proxylm.data.alphabet import BAG, COMP_OFFSET, Alphabet
from proxylm.model import multi_token


class Selection(NamedTuple):
    """Places (N,) in a flattened grid of B rows of T positions: row * T + position. N differs for each."""

    heads: tuple[Tensor, ...]
    """Of each softmax: where it predicts a target."""
    ahead: tuple[Tensor, ...]
    """Of each extra head i = 1..: where it predicts the target i positions on."""
    bags: Tensor
    """Where a bag is read: its bytes are those of the position before."""
    merges: Tensor
    """Where a merge is read."""


def selected(
    inputs: Any, targets: Any, doc: Any, mode: Any, *, alphabet: Alphabet, n_heads: int, n_ahead: int
) -> Selection:
    """The selection of a batch of arrays (B, T), on the CPU."""
    T = inputs.shape[1]
    scored = targets >= 0  # (B, T)
    read = np.arange(T) > 0  # a bag is the target of the position before, so the first one reads none
    ahead = (multi_token.predicts(targets, doc, mode, i) for i in range(1, n_ahead + 1))  # (B, T - i) each
    return Selection(
        tuple(_places(scored & (mode == head), T) for head in range(n_heads)),
        tuple(_places(here, T) for here in ahead),
        _places((inputs == BAG) & read, T),
        _places((inputs >= COMP_OFFSET) & (inputs < COMP_OFFSET + alphabet.n_merges), T),
    )


def _places(mask: npt.NDArray[np.bool_], length: int) -> Tensor:
    """(N,) places in a grid of rows of `length`, from a mask of its first positions."""
    rows, positions = np.nonzero(mask)
    return torch.from_numpy(rows * length + positions)


def of_mask(mask: Tensor) -> Tensor:
    """(N,) places of a mask (B, T) that is a tensor: its device counts them."""
    return mask.flatten().nonzero()[:, 0]
