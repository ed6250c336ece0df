"""Documents in chunks: cut at the same bytes in every view that aligns with bytes, at the same share of it in the others.

Of a document of n bytes chunk i of k begins with byte n * i // k, in a view with the first symbol that begins there or later.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from compressors.kernels import kernel

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Chunks:
    """The chunks of all documents, one after the other."""

    raw_lengths: Ints
    """(documents,) bytes."""
    before: Ints
    """(documents + 1,) chunks of all documents before each; the last: of all."""

    @classmethod
    def of(cls, raw_lengths: Ints, size: int) -> Chunks:
        """Of `size` bytes at most; 0: every document is one. So is an empty one."""
        # Rounded up.
        counts = np.maximum(-(-raw_lengths // size), 1) if size else np.ones_like(raw_lengths)
        return cls(raw_lengths, np.concatenate([[0], np.cumsum(counts)]))

    @cached_property
    def _documents(self) -> Ints:
        """(chunks,) the document of each."""
        return np.repeat(np.arange(len(self.raw_lengths)), np.diff(self.before))

    def shares(self, lengths: Ints) -> Ints:
        """(chunks,) where each begins in documents of `lengths` (documents,) positions: each of k has the k-th part."""
        # Number of each chunk in its document: its number among all, less those of the documents before.
        i = np.arange(len(self._documents)) - self.before[self._documents]
        return lengths[self._documents] * i // np.diff(self.before)[self._documents]

    def aligned(self, shards: Iterable[tuple[Ints, npt.NDArray[np.uint16], npt.NDArray[Any]]]) -> Ints:
        """(chunks,) where each begins in a view with spans. Of each shard: (documents + 1,) offsets of its symbols, their
        bytes, and the positions that each takes.
        """
        found, first = np.zeros(len(self._documents), np.int64), 0
        for offsets, n_bytes, taken in shards:
            last = first + len(offsets) - 1
            _cut(self.raw_lengths[first:last], self.before[first : last + 1], offsets, n_bytes, taken, found)
            first = last
        return found


@kernel
def _cut(raw_lengths, before, offsets, spans, positions, found):  # type: ignore[no-untyped-def] # a kernel
    """Write where the chunks of a shard's documents begin, but the first of each, which is at 0.

    raw_lengths (documents,) bytes; before (documents + 1,) chunks; offsets (documents + 1,) symbols; spans, positions
    (symbols,) bytes and positions of each symbol; found (chunks of all shards,).
    """
    for document in range(len(raw_lengths)):
        chunks = before[document + 1] - before[document]  # of this document
        i, n_bytes, position = 1, 0, 0  # the next chunk, and what the symbols before this one take
        for symbol in range(offsets[document], offsets[document + 1]):
            if i == chunks:  # every chunk has begun
                break
            # A symbol longer than a chunk begins several at once: all but the last are empty.
            while i < chunks and n_bytes >= raw_lengths[document] * i // chunks:
                found[before[document] + i] = position
                i += 1
            n_bytes += spans[symbol]
            position += positions[symbol]
        # Chunks behind the last symbol are empty.
        found[before[document] + i : before[document] + chunks] = position
