"""A batch on the device of a process, with all that a step needs of it: nothing has to be counted there."""

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


def shipped(batch: Batch, alphabet: Alphabet, n_heads: int, n_ahead: int, device: torch.device) -> Shipped:
    """`batch` on `device`. To a GPU it goes from pinned memory, while the process continues."""

    def there(array: Any) -> Tensor:
        tensor = array if isinstance(array, Tensor) else torch.from_numpy(array)
        if device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(device, non_blocking=True)

    arrays = (batch.inputs, batch.targets, batch.doc, batch.mode)
    chosen = selected(*arrays, alphabet=alphabet, n_heads=n_heads, n_ahead=n_ahead)
    heads, ahead = tuple(map(there, chosen.heads)), tuple(map(there, chosen.ahead))
    ids, targets, doc, mode = map(there, arrays)
    bags = None if batch.bags is None else there(batch.bags)
    return Shipped(ids, targets, doc, mode, bags, Selection(heads, ahead, there(chosen.bags), there(chosen.merges)))
