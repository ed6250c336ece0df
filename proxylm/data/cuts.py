"""Where the chunks of a view lie: the positions, symbols and bytes of each, which a plan needs before any id is read.

Of a view with spans this takes reading all of its symbols, so it is done shard by shard, when a plan first deals a chunk of the
shard, and kept (`proxylm.data.derived`). Of other views it is arithmetic.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from compressors.kernels import kernel
from proxylm.data.alphabet import Ints
from proxylm.data.chunks import Chunks
from proxylm.data.column import Column, ColumnShard
from proxylm.data.derived import Derived

_KEPT = 256  # shards of which the cuts are mapped
_VERSION = 1  # of how cuts are made

PLACE = np.dtype(
    [
        ("first", np.int64),  # positions of the chunk in its document, the last exclusive
        ("stop", np.int64),
        ("symbol_first", np.int64),  # its symbols in the shard, the last exclusive
        ("symbol_stop", np.int64),
        ("byte_first", np.int64),  # its first byte in the shard, where the view has bags
    ]
)


class Placer(Protocol):
    """Finds chunks in a view."""

    def place(self, chunks: npt.NDArray[np.void], here: Ints, shard: int, places: npt.NDArray[np.void]) -> None:
        """Fill in those of `places`, (n,) of `PLACE`, that are `here`: of (n,) of `CHUNK` those that lie in the shard."""
        ...


class AtShares(Placer):
    """Of a view without spans every chunk has its share of the symbols."""

    def __init__(self, column: Column) -> None:
        self._column = column

    def place(self, chunks: npt.NDArray[np.void], here: Ints, shard: int, places: npt.NDArray[np.void]) -> None:
        own, found = chunks[here], np.zeros(len(here), PLACE)
        offsets, at, i, k = self._column.shard(shard).offsets, own["in_shard"], own["chunk"], own["n_chunks"]
        begins = offsets[at]
        lengths = offsets[at + 1] - begins
        found["first"], found["stop"] = lengths * i // k, lengths * (i + 1) // k
        found["symbol_first"], found["symbol_stop"] = begins + found["first"], begins + found["stop"]
        places[here] = found


class InEvenBags(Placer):
    """Bytes in bags of one size: a chunk begins with the first bag that begins at its first byte or later."""

    def __init__(self, raw: Column, bag: int) -> None:
        self._raw, self._bag = raw, bag

    def place(self, chunks: npt.NDArray[np.void], here: Ints, shard: int, places: npt.NDArray[np.void]) -> None:
        own, found = chunks[here], np.zeros(len(here), PLACE)
        # Of the documents.
        begins, ends = own["raw_at"] - own["raw_first"], self._raw.shard(shard).offsets[own["in_shard"] + 1]
        found["first"], found["stop"] = -(-own["raw_first"] // self._bag), -(-own["raw_stop"] // self._bag)
        # Its bytes stand for symbols.
        found["symbol_first"] = found["byte_first"] = begins + found["first"] * self._bag
        found["symbol_stop"] = np.minimum(begins + found["stop"] * self._bag, ends)
        places[here] = found


class AtCuts(Placer):
    """Of a view with spans: at the first symbol that begins at the chunk's first byte or later."""

    def __init__(
        self,
        chunks: Chunks,
        column: Column,
        derived: Derived,
        name: str,
        keys: Callable[[ColumnShard], npt.NDArray[Any]],
        positions: npt.NDArray[np.int64],
        version: str = "",
    ) -> None:
        """name: of the view as it is shown. positions: that a symbol takes, by its key; keys: (symbols,) of a shard.

        version: what `positions` depends on beside the name.
        """
        self._chunks, self._column, self._derived = chunks, column, derived
        self._name, self._keys, self._positions, self._version = name, keys, positions, version
        self.cuts = lru_cache(_KEPT)(self._cuts)

    def place(self, chunks: npt.NDArray[np.void], here: Ints, shard: int, places: npt.NDArray[np.void]) -> None:
        _place(chunks, here, self.cuts(shard), self._column.shard(shard).offsets, places)

    def _cuts(self, shard: int) -> npt.NDArray[Any]:
        """(3, chunks + documents of the shard) positions, symbols, bytes of the document before each chunk, and in it."""
        raw, view = self._chunks.raw.shards[shard], self._column.shards[shard]
        source = [_VERSION, self._name, self._version, self._chunks.size, raw.offsets_digest, view.digest]
        name = f"{self._name}-{self._chunks.size}/{shard:05d}"
        made = self._derived.numbers(name, repr(source), view.n_symbols, lambda: self._made(shard).ravel())
        return made.reshape(3, -1)

    def _made(self, shard: int) -> npt.NDArray[Any]:
        raw, view = self._chunks.raw.shard(shard), self._column.shard(shard)
        before = self._chunks.before(shard)
        found = np.zeros((3, int(before[-1]) + len(before) - 1), np.int64)
        _cut(raw.offsets, before, view.offsets, view.spans, self._keys(view), self._positions, found)
        # All of it was read for once: a step needs little of it.
        self._column.shards[shard].close()
        return found.astype(np.uint32) if found.max(initial=0) < 1 << 32 else found


def table_digest(table: npt.NDArray[Any]) -> str:
    """A name for the numbers of a table."""
    return hashlib.sha256(table.tobytes()).hexdigest()


@kernel
def _cut(raw_offsets, before, offsets, spans, keys, positions, found):  # type: ignore[no-untyped-def] # a kernel
    """Write where the chunks of a shard's documents begin, and behind them where the document ends.

    raw_offsets, before, offsets (documents + 1,) bytes, chunks, symbols; spans, keys (symbols,) bytes of each symbol, and its
    place in the table `positions`; found (3, chunks + documents) positions, symbols, bytes of the document, all zero.
    """
    for d in range(len(raw_offsets) - 1):
        n, chunks = raw_offsets[d + 1] - raw_offsets[d], before[d + 1] - before[d]
        at = before[d] + d  # the entry of the document's first chunk, which begins at 0
        i, n_bytes, position = 1, 0, 0  # the next chunk, and what the symbols before this one take
        begins = n * i // chunks  # the first byte of that chunk
        for symbol in range(offsets[d], offsets[d + 1]):
            # A symbol longer than a chunk begins several at once: all but the last are empty.
            while i < chunks and n_bytes >= begins:
                found[0, at + i], found[1, at + i], found[2, at + i] = position, symbol - offsets[d], n_bytes
                i += 1
                begins = n * i // chunks
            n_bytes += spans[symbol]
            position += positions[keys[symbol]]
        # Chunks behind the last symbol are empty.
        for entry in range(at + i, at + chunks + 1):
            found[0, entry], found[1, entry], found[2, entry] = position, offsets[d + 1] - offsets[d], n_bytes


@kernel
def _place(chunks, here, cuts, offsets, places):  # type: ignore[no-untyped-def] # a kernel
    """Fill in the `places` of the chunks `here`, of one shard; cuts (3, chunks + documents), offsets (documents + 1,)."""
    for w in here:
        chunk, place = chunks[w], places[w]
        place.first, place.stop = cuts[0, chunk.cut], cuts[0, chunk.cut + 1]
        begins = offsets[chunk.in_shard]
        place.symbol_first, place.symbol_stop = begins + cuts[1, chunk.cut], begins + cuts[1, chunk.cut + 1]
        # The document's first byte, and the bytes before.
        place.byte_first = chunk.raw_at - chunk.raw_first + cuts[2, chunk.cut]
