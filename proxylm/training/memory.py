"""Too little memory, in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from compressors.errors import ProxycError
from proxylm.config import TrainConfig

# By a plain RuntimeError: of the CPU; of CUDA where it allocates without torch; of the libraries of its products.
_SAID = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


class OutOfMemory(ProxycError, MemoryError):
    """There is not enough memory for a step."""


@contextmanager
def one_line(config: TrainConfig) -> Iterator[None]:
    """Errors of torch and NumPy that mean too little memory become `OutOfMemory`."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        known = isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(said in str(error) for said in _SAID)
        if not known or isinstance(error, OutOfMemory):
            raise
        rows = config.micro_rows or config.rows  # of one forward pass
        raise OutOfMemory(
            f"not enough memory for a pass over {rows} rows of {config.row_length} positions; set train.micro_rows below {rows}, "
            "or train.recompute = true, or make the model smaller"
        ) from error
