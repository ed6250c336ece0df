"""The bootstrap that all intervals come from. Torch is not needed to compare results."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt


def resampled(n_documents: int, resamples: int = 1000, seed: int = 0) -> Iterator[npt.NDArray[np.int64]]:
    """(documents,) how often each document is drawn, for each resample of a bootstrap: the same for every result."""
    draw = np.random.RandomState(seed)
    for _ in range(resamples):
        yield np.bincount(draw.randint(0, n_documents, n_documents), minlength=n_documents)
