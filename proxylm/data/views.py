"""The views of a store as a run shows them: one class a kind, and a row for each in `KINDS`.

A view gives the planner the positions of every document, and the loader its ids. A new kind is one class, one row, and one
setting of `proxylm.view_spec`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from compressors.errors import InvalidConfig
from proxylm.data import bags
from proxylm.data.alphabet import BAG, RAW_SLICE, Alphabet, HeadSlice, Ints
from proxylm.data.chunks import Chunks
from proxylm.data.column import Column, ColumnShard
from proxylm.data.store import Store
from proxylm.data.symbol_ids import FirstMerges, OwnIds
from proxylm.view_spec import RAW, ViewSpec

_CACHED = 256  # documents: the rows of a chunk follow each other


class View(Protocol):
    """A view of all documents of a store. A document is a row of positions; each has an id, or a bag of bytes."""

    head: HeadSlice
    """The softmax that predicts its positions."""
    bag: int
    """Bytes of its largest bag; 0 if its positions are not bags."""

    @property
    def lengths(self) -> Ints:
        """(documents,) positions of each document."""
        ...

    def cuts(self, chunks: Chunks) -> Ints:
        """(chunks,) the position at which each begins: at its byte where the view has spans, else at its share."""
        ...

    def ids(self, document: int, first: int, last: int) -> Ints:
        """(last - first,) ids of some positions of a document."""
        ...

    def sizes(self, document: int) -> npt.NDArray[Any] | None:
        """(positions,) bytes of each position, or None where the view does not align with bytes."""
        ...

    def bags(self, document: int, first: int, last: int) -> npt.NDArray[np.int16] | None:
        """(last - first, bag) bytes of some positions, -1 behind the last and for closing marks; None without bags."""
        ...


class Symbols(View):
    """Every symbol is a position, and has one id."""

    bag = 0

    def __init__(self, store: Store, spec: ViewSpec, alphabet: Alphabet) -> None:
        """spec: NAME. Raises `StoreError` if the store has no such view."""
        self._column, self._reader = store.column(spec.view), OwnIds(spec, alphabet, None)
        self.head = self._reader.head

    @cached_property
    def lengths(self) -> Ints:
        return self._column.lengths

    def cuts(self, chunks: Chunks) -> Ints:
        if not self._column.aligned:
            return chunks.shares(self.lengths)
        # One each.
        return _cuts(chunks, self._column, lambda shard: np.broadcast_to(np.int64(1), len(shard.spans)))

    def ids(self, document: int, first: int, last: int) -> Ints:
        return self._reader.read(self._column[document][first:last], None)[0]

    def sizes(self, document: int) -> npt.NDArray[Any] | None:
        return self._column.spans_of(document)

    def bags(self, document: int, first: int, last: int) -> None:
        """There are none."""


class Merges(View):
    """Only the first merges of the vocabulary: later ones are undone."""

    bag = 0

    def __init__(self, store: Store, spec: ViewSpec, alphabet: Alphabet) -> None:
        """Raises `InvalidConfig` if the view is not refinable, or has fewer merges."""
        self._column, self._reader = store.column(spec.view), FirstMerges(spec, alphabet, store.splits(spec.view))
        self.head = self._reader.head
        self._read = lru_cache(_CACHED)(lambda document: self._reader.read(self._column[document], None))

    @cached_property
    def lengths(self) -> Ints:
        return self._column.totals(lambda shard: self._reader.counts[shard.values])

    def cuts(self, chunks: Chunks) -> Ints:
        return _cuts(chunks, self._column, lambda shard: self._reader.counts[shard.values])

    def ids(self, document: int, first: int, last: int) -> Ints:
        return self._read(document)[0][first:last]

    def sizes(self, document: int) -> npt.NDArray[Any] | None:
        return self._read(document)[1]

    def bags(self, document: int, first: int, last: int) -> None:
        """There are none."""


class _Bags(View):
    """What both kinds of bags share: bytes of the raw text, and one id for all positions."""

    head = RAW_SLICE
    bag: int

    def __init__(self, store: Store, spec: ViewSpec) -> None:
        """spec: NAME:bags=N, of at most N bytes each."""
        assert spec.bags is not None
        self.bag, self._raw = spec.bags, store.column(RAW)

    def ids(self, document: int, first: int, last: int) -> Ints:
        return np.full(last - first, BAG, np.int64)  # their bytes say what they are

    def sizes(self, document: int) -> Ints:
        """(bags,) bytes of each bag of a document."""
        raise NotImplementedError

    def bags(self, document: int, first: int, last: int) -> npt.NDArray[np.int16]:
        sizes = self.sizes(document)
        # Positions behind the last bag are closing marks: their rows are -1 only.
        begin, end = min(first, len(sizes)), min(last, len(sizes))
        found = bags.of(self._raw[document], sizes, begin, end, self.bag)
        return np.pad(found, ((0, last - first - len(found)), (0, 0)), constant_values=-1)


class SpanBags(_Bags):
    """The spans of a view as bags of their bytes, long ones cut into several."""

    def __init__(self, store: Store, spec: ViewSpec, alphabet: Alphabet) -> None:
        """Raises `InvalidConfig` if the view has no spans."""
        super().__init__(store, spec)
        self._column = store.column(spec.view)
        if not self._column.aligned:
            raise InvalidConfig(f"mix: view {spec.view!r} has no spans to make bags of; use one that aligns with bytes")

    @cached_property
    def lengths(self) -> Ints:
        return self._column.totals(lambda shard: bags.counts(shard.spans, self.bag))

    def cuts(self, chunks: Chunks) -> Ints:
        return _cuts(chunks, self._column, lambda shard: bags.counts(shard.spans, self.bag))

    def sizes(self, document: int) -> Ints:
        spans = self._column.spans_of(document)
        assert spans is not None
        return bags.sizes(spans, self.bag)


class EvenBags(_Bags):
    """The bytes of a text in bags of one size."""

    def __init__(self, store: Store, spec: ViewSpec, alphabet: Alphabet) -> None:
        super().__init__(store, spec)

    @cached_property
    def lengths(self) -> Ints:
        return bags.counts(self._raw.lengths, self.bag)

    def cuts(self, chunks: Chunks) -> Ints:
        # The first bag that begins at the cut or later.
        return bags.counts(chunks.shares(self._raw.lengths), self.bag)

    def sizes(self, document: int) -> Ints:
        return bags.sizes(np.array([len(self._raw[document])]), self.bag)


def _cuts(chunks: Chunks, column: Column, positions: Callable[[ColumnShard], npt.NDArray[Any]]) -> Ints:
    """Cuts of a view with spans; positions: of each symbol of a shard."""
    return chunks.aligned((shard.offsets, shard.spans, positions(shard)) for shard in column.shards)


def views_of(store: Store, specs: Sequence[ViewSpec], alphabet: Alphabet) -> list[View]:
    """Views of a store. Raises `InvalidConfig` where one cannot be shown so."""
    return [KINDS[spec.kind](store, spec, alphabet) for spec in specs]


KINDS: dict[str, Callable[[Store, ViewSpec, Alphabet], View]] = {
    "symbols": Symbols,
    "merges": Merges,
    "bags": SpanBags,
    "even bags": EvenBags,
}
