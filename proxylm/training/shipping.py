"""A batch as tensors, with all that a step needs of it: nothing has to be counted on the device."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from proxylm.data.alphabet import Alphabet
from proxylm.data.batch import Batch
from proxylm.model.selection import Selection, selected


class Shipped(NamedTuple):
    """The arrays of a `Batch`, as tensors."""

    ids: Tensor
    targets: Tensor
    doc: Tensor
    mode: Tensor
    bags: Tensor | None
    selection: Selection

    def to(self, device: torch.device) -> Shipped:
        """On `device`; from pinned memory while the process continues."""
        moved: Shipped = _each(self, lambda tensor: tensor.to(device, non_blocking=True))
        return moved


def packed(batch: Batch, alphabet: Alphabet, n_heads: int, n_ahead: int, device: torch.device) -> Shipped:
    """`batch` in main memory, in pages that a GPU reads by itself if `device` is one."""
    arrays = (batch.inputs, batch.targets, batch.doc, batch.mode)
    selection = selected(*arrays, alphabet=alphabet, n_heads=n_heads, n_ahead=n_ahead)
    bags = None if batch.bags is None else torch.from_numpy(batch.bags)
    ids, targets, doc, mode = map(torch.from_numpy, arrays)
    tensors = Shipped(ids, targets, doc, mode, bags, selection)
    pinned: Shipped = _each(tensors, Tensor.pin_memory) if device.type == "cuda" else tensors
    return pinned


def _each(found: Any, change: Any) -> Any:
    """`found` with every tensor changed, in tuples of tuples."""
    if isinstance(found, Tensor):
        return change(found)
    if found is None:
        return None
    parts = [_each(part, change) for part in found]
    return type(found)(*parts) if hasattr(found, "_fields") else tuple(parts)
