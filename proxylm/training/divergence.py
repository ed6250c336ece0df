"""A run that goes wrong is stopped before its weights take the step, and the rows that did it are named."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from compressors.errors import ProxycError
from proxylm.data.loader import Batch


class Diverged(ProxycError, FloatingPointError):
    """The loss is not a number."""


def diverged(loss: float, step: int, batch: Batch, first_row: int, row_bits: Sequence[float]) -> Diverged:
    """The error that names the three worst rows of this process and the documents in them.

    loss: bits per symbol of the step; first_row: the number of the batch's first row in the run; row_bits (rows,): bits
    per symbol of each row.
    """
    order = np.argsort([-bits if math.isfinite(bits) else -math.inf for bits in row_bits], kind="stable")[:3]
    rows = "; ".join(
        f"row {first_row + i} ({row_bits[i]:.2f} bits per symbol, documents {', '.join(map(str, batch.documents[i]))})"
        for i in order.tolist()
    )
    return Diverged(
        f"step {step}: the loss is {loss}. Worst: {rows}. Look at these documents, or lower the learning rates"
    )
