"""Where the chunks of a view lie: the positions, symbols and bytes of each, which a plan needs before any id is read.

Of a view with spans this takes reading its symbols. Shard by shard all chunks are cut, once, and kept (`proxylm.data.derived`);
but as long as a plan deals few chunks of a large shard, only their documents are read. Of other views it is arithmetic.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from compressors.kernels import kernel
from proxylm.data.alphabet import Ints
from proxylm.data.blocks import stretches_of
from proxylm.data.chunks import Chunks
from proxylm.data.column import Column
from proxylm.data.derived import WORTH, Derived

_KEPT = 256  # shards of which the cuts are mapped
_SINGLY = 0.25  # of the symbols of a shard are read chunk by chunk, before it is cut
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
        positions: npt.NDArray[np.int64],
        *,
        by_span: bool,
    ) -> None:
        """name: of the view as it is shown. positions: that a symbol takes, by its bytes if by_span, else by its number."""
        self._chunks, self._column, self._derived = chunks, column, derived
        self._name, self._positions, self._by_span = name, positions, by_span
        self._version = hashlib.sha256(positions.tobytes()).hexdigest()
        self._cuts = lru_cache(_KEPT)(self._cuts_of)
        # Symbols of each shard that were read for single chunks.
        self._read: dict[int, int] = {}

    def place(self, chunks: npt.NDArray[np.void], here: Ints, shard: int, places: npt.NDArray[np.void]) -> None:
        view = self._column.shard(shard)
        own = chunks["in_shard"][here]
        begins, ends = view.offsets[own], view.offsets[own + 1]
        read = self._read.get(shard, 0) + int((ends - begins).sum())
        # Of a shard that few chunks are dealt of, only their documents are read; the others are cut once, for all runs.
        if view.n_symbols >= WORTH and read < view.n_symbols * _SINGLY and not self._derived.has(self._file(shard)):
            self._read[shard] = read
            stretches = stretches_of(begins, ends)
            spans = view.spans_in(*stretches)
            keys = spans if self._by_span else view.values_in(*stretches)
            _place_singly(chunks, here, view.offsets, spans, keys, self._positions, places)
        else:
            _place(chunks, here, self._cuts(shard), view.offsets, places)

    def _file(self, shard: int) -> str:
        """The name of what is kept of a shard."""
        return f"{self._name}-{self._chunks.size}/{shard:05d}"

    def _cuts_of(self, shard: int) -> npt.NDArray[Any]:
        """(3, chunks + documents of the shard) positions, symbols, bytes of the document before each chunk, and in it."""
        raw, view = self._chunks.raw.shards[shard], self._column.shards[shard]
        source = [_VERSION, self._name, self._version, self._chunks.size, raw.offsets_digest, view.digest]
        made = self._derived.numbers(self._file(shard), repr(source), view.n_symbols, lambda: self._made(shard).ravel())
        return made.reshape(3, -1)

    def _made(self, shard: int) -> npt.NDArray[Any]:
        raw, view = self._chunks.raw.shard(shard), self._column.shard(shard)
        before, keys = self._chunks.before(shard), view.spans if self._by_span else view.values
        found = np.zeros((3, int(before[-1]) + len(before) - 1), np.int64)
        _cut(raw.offsets, before, view.offsets, view.spans, keys, self._positions, found)
        # All of it was read for once: a step needs little of it.
        view.close()
        return found.astype(np.uint32) if found.max(initial=0) < 1 << 32 else found


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


@kernel
def _place_singly(chunks, here, offsets, spans, keys, positions, places):  # type: ignore[no-untyped-def] # a kernel
    """Fill in the `places` of the chunks `here`, of one shard, as `_cut` and `_place` do, from the symbols of their documents."""
    for w in here:
        chunk, place = chunks[w], places[w]
        begins, ends = offsets[chunk.in_shard], offsets[chunk.in_shard + 1]
        is_first, is_last = chunk.chunk == 0, chunk.chunk + 1 == chunk.n_chunks
        n_bytes, position, symbol = 0, 0, begins
        while not is_first and symbol < ends and n_bytes < chunk.raw_first:
            n_bytes += spans[symbol]
            position += positions[keys[symbol]]
            symbol += 1
        place.first, place.symbol_first = position, symbol
        # The document's first byte, and the bytes before.
        place.byte_first = chunk.raw_at - chunk.raw_first + n_bytes
        while symbol < ends and (is_last or n_bytes < chunk.raw_stop):
            n_bytes += spans[symbol]
            position += positions[keys[symbol]]
            symbol += 1
        place.stop, place.symbol_stop = position, symbol
