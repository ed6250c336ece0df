"""Documents in chunks: cut at the same bytes in every view that aligns with bytes, at the same share of it in the others.

Of a document of n bytes chunk i of k begins with byte n * i // k, in a view with the first symbol that begins there or later.
Chunks are numbered over all documents. What is known of them is computed shard by shard, from the offsets of the documents.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from compressors.kernels import kernel
from proxylm.data.alphabet import Ints
from proxylm.data.column import Column
from proxylm.data.derived import Derived

_KEPT = 512  # shards whose chunks are counted in memory: 4 bytes for each of their documents

CHUNK = np.dtype(
    [
        ("number", np.int64),  # among all chunks
        ("shard", np.int64),
        ("document", np.int64),  # among all documents
        ("chunk", np.int64),  # place in its document
        ("n_chunks", np.int64),  # of its document
        ("in_shard", np.int64),  # place of the document in its shard
        ("cut", np.int64),  # place among the cuts of the shard (`proxylm.data.cuts`)
        ("raw_first", np.int64),  # its bytes in the document, the last exclusive
        ("raw_stop", np.int64),
        ("raw_at", np.int64),  # its first byte in the shard
    ]
)


@dataclass(frozen=True)
class Chunks:
    """The chunks of all documents, one after the other."""

    raw: Column
    """The documents."""
    size: int
    """Bytes of a chunk at most; 0: every document is one. So is an empty one."""
    firsts: Ints
    """(shards + 1,) the first chunk of each shard, and the number of chunks."""

    @classmethod
    def of(cls, raw: Column, size: int, derived: Derived | None = None) -> Chunks:
        """Count them; `derived` keeps the counts."""
        if not size:
            return cls(raw, size, raw.firsts)

        def count() -> Ints:
            return np.array([_count(shard.offsets, size) for shard in raw.in_turn()], np.int64)

        counts = count() if derived is None else derived.numbers(f"chunks-{size}", _key(raw), len(raw), count)
        return cls(raw, size, np.concatenate([[0], np.cumsum(counts)]))

    def __len__(self) -> int:
        """Number of chunks."""
        return int(self.firsts[-1])

    def find(self, numbers: Ints) -> tuple[npt.NDArray[np.void], list[tuple[int, Ints]]]:
        """(n,) of `CHUNK`; and for each shard that they lie in, which of them do."""
        found = np.zeros(len(numbers), CHUNK)
        shards = np.searchsorted(self.firsts, numbers, side="right") - 1
        found["number"], found["shard"] = numbers, shards
        groups = by_shard(shards)
        for shard, here in groups:
            offsets, before = self.raw.shard(shard).offsets, self.before(shard)
            _locate(found, here, int(self.firsts[shard]), int(self.raw.firsts[shard]), before, offsets)
        return found, groups

    def first_of(self, documents: Ints) -> Ints:
        """(n,) the numbers of the first chunks of documents."""
        shards = np.searchsorted(self.raw.firsts, documents, side="right") - 1
        found = np.empty(len(documents), np.int64)
        for shard, here in by_shard(shards):
            found[here] = self.firsts[shard] + self.before(shard)[documents[here] - self.raw.firsts[shard]]
        return found

    @cached_property
    def before(self) -> Callable[[int], npt.NDArray[np.int32]]:
        """Of a shard: (documents + 1,) its chunks before each document."""
        return lru_cache(_KEPT)(self._before)

    def _before(self, shard: int) -> npt.NDArray[np.int32]:
        offsets = self.raw.shard(shard).offsets
        found = np.empty(len(offsets), np.int32)
        _count_before(offsets, self.size, found)
        return found


def by_shard(shards: Ints) -> list[tuple[int, Ints]]:
    """Each of the shards, and the places at which it stands among (n,) of them, rising."""
    # Short integers are sorted by radix.
    narrow = shards.astype(np.int16) if shards.max(initial=0) < 1 << 15 else shards
    order = np.argsort(narrow, kind="stable")
    in_order = narrow[order]
    begins = np.flatnonzero(in_order[1:] != in_order[:-1]) + 1
    bounds = [0, *begins.tolist(), len(shards)] if len(shards) else [0]
    return [(int(in_order[first]), order[first:last]) for first, last in itertools.pairwise(bounds)]


def _key(raw: Column) -> str:
    """What the counts depend on: the offsets of all shards."""
    return hashlib.sha256("".join(shard.offsets_digest for shard in raw.shards).encode()).hexdigest()


@kernel
def _count(offsets, size):  # type: ignore[no-untyped-def] # a kernel
    """Chunks of all documents of a shard; offsets (documents + 1,)."""
    total = 0
    for d in range(len(offsets) - 1):
        # Rounded up; an empty document has one.
        total += max((offsets[d + 1] - offsets[d] + size - 1) // size, 1)
    return total


@kernel
def _count_before(offsets, size, before):  # type: ignore[no-untyped-def] # a kernel
    """Write (documents + 1,) chunks before each document of a shard; size 0: documents are whole."""
    total = 0
    for d in range(len(offsets)):
        before[d] = total
        if d + 1 < len(offsets):
            total += max((offsets[d + 1] - offsets[d] + size - 1) // size, 1) if size else 1


@kernel
def _locate(chunks, here, first_chunk, first_document, before, offsets):  # type: ignore[no-untyped-def] # a kernel
    """Fill in the chunks `here`, of one shard, of which the numbers are known; before, offsets (documents + 1,)."""
    for w in here:
        chunk = chunks[w]
        i = chunk.number - first_chunk  # among those of the shard
        # The last document that begins at or before it.
        low, high = 0, len(before) - 1
        while high - low > 1:
            middle = (low + high) // 2
            if before[middle] <= i:
                low = middle
            else:
                high = middle
        n = offsets[low + 1] - offsets[low]
        chunk.document, chunk.in_shard, chunk.chunk = first_document + low, low, i - before[low]
        chunk.n_chunks = before[low + 1] - before[low]
        # The cuts have one more entry for each document, its end.
        chunk.cut = i + low
        chunk.raw_first = n * chunk.chunk // chunk.n_chunks
        chunk.raw_stop = n * (chunk.chunk + 1) // chunk.n_chunks
        chunk.raw_at = offsets[low] + chunk.raw_first
