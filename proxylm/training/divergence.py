"""A run that goes wrong is stopped before its weights take the step, and the rows that did it are named."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from compressors.errors import ProxycError
from proxylm.data.batch import Batch
from proxylm.training.distributed import Place
from proxylm.training.fsdp import local


class Diverged(ProxycError, FloatingPointError):
    """The loss, a gradient or a weight is not a finite number."""


def diverged(loss: float, step: int, batch: Batch, first_row: int, row_bits: Sequence[float]) -> Diverged:
    """The error that names the three worst rows of this process and the documents in them.

    loss: bits per symbol of the step; first_row: the number of the batch's first row in the run; row_bits (rows,): bits
    per symbol of each row.
    """
    # The worst first, and before them those that are not numbers.
    order = np.argsort([-bits if math.isfinite(bits) else -math.inf for bits in row_bits], kind="stable")[:3]
    rows = "; ".join(
        f"row {first_row + i} ({row_bits[i]:.2f} bits per symbol, documents {', '.join(map(str, batch.documents[i]))})"
        for i in order.tolist()
    )
    what = "its gradient is not finite" if math.isfinite(loss) else "not a finite number"
    return Diverged(
        f"step {step}: the loss is {loss:.4g}, {what}. Worst: {rows}. Look at these documents, or lower the learning rates"
    )


@torch.no_grad()
def check_finite(model: nn.Module, place: Place, step: int) -> None:
    """Raise `Diverged` if a weight is not a finite number: such weights are never scored or saved. All processes ask."""
    wrong = sum(float(not local(p).isfinite().all()) for p in model.parameters())
    if place.summed(torch.tensor(wrong, dtype=torch.float64)).item():
        raise Diverged(
            f"step {step}: weights are not finite after it, and are not saved; lower the learning rates, and start again"
        )
