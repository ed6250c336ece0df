"""What an evaluation found, and the bootstrap that all intervals come from. Torch is not needed to compare results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Result:
    """Per-document sums; figures in bits."""

    n_bytes: npt.NDArray[np.int64]  # (documents,)
    text_bits: npt.NDArray[np.float64]  # (documents,) the symbols of the document
    end_bits: npt.NDArray[np.float64]  # (documents,) its closing mark and eos
    n_symbols: int  # scored, of all documents

    @property
    def bits_per_byte(self) -> float:
        """All bits, the end of the documents included, over all bytes."""
        return float((self.text_bits.sum() + self.end_bits.sum()) / self.n_bytes.sum())

    def over(self, times: npt.NDArray[np.int64]) -> float:
        """Bits per byte with document i counted `times[i]` times."""
        return float((self.text_bits + self.end_bits) @ times / max(int(self.n_bytes @ times), 1))

    def interval(self) -> tuple[float, float]:
        """95 % interval of `bits_per_byte` from a bootstrap over documents."""
        low, high = np.percentile([self.over(times) for times in resampled(len(self.n_bytes))], [2.5, 97.5])
        return float(low), float(high)

    def difference(self, before: Result) -> tuple[float, float]:
        """95 % interval of how many more bits per byte this is than `before`, of the same documents (paired bootstrap)."""
        # Both are drawn alike: the bootstrap is paired.
        differences = [self.over(times) - before.over(times) for times in resampled(len(self.n_bytes))]
        low, high = np.percentile(differences, [2.5, 97.5])
        return float(low), float(high)

    def to_json(self) -> dict[str, Any]:
        """The figures of all documents together."""
        return {
            "bits_per_byte": self.bits_per_byte,
            "interval_95": self.interval(),
            "end_bits_per_document": float(self.end_bits.mean()),
            "documents": len(self.n_bytes),
            "bytes": int(self.n_bytes.sum()),
            "bytes_per_symbol": float(self.n_bytes.sum() / max(self.n_symbols, 1)),
        }


def resampled(n_documents: int, resamples: int = 1000, seed: int = 0) -> Iterator[npt.NDArray[np.int64]]:
    """(documents,) how often each document is drawn, for each resample of a bootstrap: the same for every result."""
    draw = np.random.RandomState(seed)  # its stream is frozen, unlike that of `default_rng`
    for _ in range(resamples):
        yield np.bincount(draw.randint(0, n_documents, n_documents), minlength=n_documents)
