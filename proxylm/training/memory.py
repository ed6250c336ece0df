"""Too little memory, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from compressors.errors import ProxycError
from proxylm.config import TrainConfig


class OutOfMemory(ProxycError, MemoryError):
    """There is not enough memory for a step."""


@contextmanager
def one_line(config: TrainConfig) -> Iterator[None]:
    """Errors of torch and NumPy that mean too little memory become `OutOfMemory`."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        # On a CPU torch says it as a plain RuntimeError.
        known = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "can't allocate memory" in str(error)
        if not known or isinstance(error, OutOfMemory):
            raise
        rows = config.micro_rows or config.rows  # of one forward pass
        raise OutOfMemory(
            f"not enough memory for a pass over {rows} rows of {config.row_length} positions; set train.micro_rows below {rows}, "
            "or train.recompute = true, or make the model smaller"
        ) from error
