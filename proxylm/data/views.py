"""The views of a store as a run shows them: one class a kind, and a row for each in `KINDS`.

A view tells the planner where chunks lie (`proxylm.data.cuts`), and reads the pieces that are planned. A new kind is one class,
one row, and one setting of `proxylm.view_spec`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from compressors.errors import InvalidConfig
from compressors.kernels import kernel
from proxylm.data import bags as of_bags
from proxylm.data.alphabet import BAG, BYTE_OFFSET, RAW_SLICE, Alphabet, HeadSlice, Ints
from proxylm.data.blocks import stretches_of
from proxylm.data.chunks import Chunks, by_shard
from proxylm.data.column import ColumnShard
from proxylm.data.cuts import AtCuts, AtShares, InEvenBags, Placer
from proxylm.data.pieces import PIECE
from proxylm.data.store import Store
from proxylm.data.symbol_ids import FirstMerges
from proxylm.view_spec import RAW, ViewSpec

_NO_SPANS = np.empty(0, np.uint16)
Pieces = npt.NDArray[np.void]  # (n,) of `proxylm.data.pieces.PIECE`


class View(Protocol):
    """A view of all documents of a store. A document is a row of positions; each has an id, or a bag of bytes."""

    head: HeadSlice
    """The softmax that predicts its positions."""
    bag: int
    """Bytes of its largest bag; 0 if its positions are not bags."""
    aligned: bool
    """Whether a position stands for a whole number of bytes."""

    def placer(self, chunks: Chunks) -> Placer:
        """Finds the positions of chunks: at their bytes where the view has spans, else at their share."""
        ...

    def read(self, pieces: Pieces, here: Ints, shard: int, targets: Ints, bags: npt.NDArray[np.int16]) -> None:
        """Write the ids of the pieces `here`, of one shard, into the rows; and into each piece the bytes that it stands for.

        targets: (rows, positions) ids. bags: (rows, positions, size) bytes of each bag, -1 behind its last.
        """
        ...


class Bytes:
    """The raw text: every byte is a position."""

    def __init__(self, store: Store) -> None:
        self._column = store.column(RAW)

    def read(self, pieces: Pieces, here: Ints, shard: int, targets: Ints, bags: npt.NDArray[np.int16]) -> None:
        """See `View`."""
        values = self._column.shard(shard).values_in(pieces, here, one_each=True)
        _copy(pieces, here, values, _NO_SPANS, BYTE_OFFSET, targets)


class Symbols(View):
    """Every symbol is a position, and has one id."""

    bag = 0

    def __init__(self, store: Store, spec: ViewSpec, alphabet: Alphabet) -> None:
        """spec: NAME. Raises `StoreError` if the store has no such view."""
        self._store, self._spec = store, spec
        self._column, self._raw = store.column(spec.view), store.column(RAW)
        self.head, self.aligned = alphabet.symbol_head(spec.view), self._column.aligned
        self._first_id = int(alphabet.symbol_ids(spec.view, np.zeros(1, np.int64))[0])

    def placer(self, chunks: Chunks) -> Placer:
        if not self._column.aligned or not chunks.size:  # whole documents need no cuts
            return AtShares(self._column)
        ones = np.ones(1 << 16, np.int64)  # positions of a symbol, by its bytes
        return AtCuts(chunks, self._column, self._store.derived, str(self._spec), ones, by_span=True)

    def read(self, pieces: Pieces, here: Ints, shard: int, targets: Ints, bags: npt.NDArray[np.int16]) -> None:
        column = self._column.shard(shard)
        values = column.values_in(pieces, here, one_each=True)
        spans = column.spans_in(pieces, here, one_each=True) if column.aligned else _NO_SPANS
        _copy(pieces, here, values, spans, self._first_id, targets)
        if not column.aligned:  # their share of the text
            at = pieces["document"][here] - self._column.firsts[shard]
            symbols, n_bytes = (np.diff(c.shard(shard).offsets)[at] for c in (self._column, self._raw))
            pieces["n_bytes"][here] = pieces["length"][here] * n_bytes / symbols


class Merges(View):
    """Only the first merges of the vocabulary: later ones are undone."""

    bag, aligned = 0, True

    def __init__(self, store: Store, spec: ViewSpec, alphabet: Alphabet) -> None:
        """Raises `InvalidConfig` if the view is not refinable, or has fewer merges."""
        self._store, self._spec, self._column = store, spec, store.column(spec.view)
        self._reader = FirstMerges(spec, alphabet, store.splits(spec.view))
        self.head = self._reader.head

    def placer(self, chunks: Chunks) -> Placer:
        derived, counts = self._store.derived, self._reader.counts
        return AtCuts(chunks, self._column, derived, str(self._spec), counts, by_span=False)

    def read(self, pieces: Pieces, here: Ints, shard: int, targets: Ints, bags: npt.NDArray[np.int16]) -> None:
        symbols = self._column.shard(shard).values_in(pieces, here)
        self._reader.read_pieces(pieces, here, symbols, targets)


class SpanBags(View):
    """The spans of a view as bags of their bytes, long ones cut into several."""

    head, aligned = RAW_SLICE, True

    def __init__(self, store: Store, spec: ViewSpec, alphabet: Alphabet) -> None:
        """spec: NAME:bags=N, of at most N bytes each. Raises `InvalidConfig` if the view has no spans."""
        assert spec.bags is not None
        self._store, self._spec, self.bag = store, spec, spec.bags
        self._column, self._raw = store.column(spec.view), store.column(RAW)
        if not self._column.aligned:
            raise InvalidConfig(f"mix: view {spec.view!r} has no spans to make bags of; use one that aligns with bytes")

    def placer(self, chunks: Chunks) -> Placer:
        counts, derived = of_bags.counts(self.bag), self._store.derived
        return AtCuts(chunks, self._column, derived, str(self._spec), counts, by_span=True)

    def read(self, pieces: Pieces, here: Ints, shard: int, targets: Ints, bags: npt.NDArray[np.int16]) -> None:
        _mark(pieces, here, BAG, targets)  # their bytes say what they are
        spans = self._column.shard(shard).spans_in(pieces, here)
        of_bags.fill(pieces, here, _text(self._raw.shard(shard), pieces, here, self.bag), spans, bags[:, :, : self.bag])


class EvenBags(View):
    """The bytes of a text in bags of one size."""

    head, aligned = RAW_SLICE, True

    def __init__(self, store: Store, spec: ViewSpec, alphabet: Alphabet) -> None:
        """spec: raw:bags=N, of N bytes each but the last."""
        assert spec.bags is not None
        self.bag, self._raw = spec.bags, store.column(RAW)

    def placer(self, chunks: Chunks) -> Placer:
        return InEvenBags(self._raw, self.bag)

    def read(self, pieces: Pieces, here: Ints, shard: int, targets: Ints, bags: npt.NDArray[np.int16]) -> None:
        _mark(pieces, here, BAG, targets)
        # Each piece reads one span, its chunk.
        spans = pieces["end"] - pieces["begin"]
        pieces["begin"][here] = here
        pieces["end"][here] = here + 1
        of_bags.fill(pieces, here, _text(self._raw.shard(shard), pieces, here, self.bag), spans, bags[:, :, : self.bag])


def _text(raw: ColumnShard, pieces: Pieces, here: Ints, bag: int) -> npt.NDArray[np.uint8]:
    """The bytes of a shard, of which those of some bags are read."""
    first = pieces["byte_first"][here]
    # No bag is larger.
    last = first + (pieces["skip"] + pieces["length"])[here] * bag
    return raw.values_in(*stretches_of(first, np.minimum(last, raw.n_symbols)))


@kernel
def _copy(pieces, here, values, spans, first_id, targets):  # type: ignore[no-untyped-def] # a kernel
    """Write symbols as ids, and the bytes of each piece; values, spans (symbols,); symbol 0 has the id `first_id`.

    Without spans every symbol counts as a byte.
    """
    for p in here:
        piece = pieces[p]
        first, row = piece.begin + piece.skip, targets[piece.row]
        for i in range(piece.length):
            row[piece.at + i] = first_id + np.int64(values[first + i])
        total = np.int64(0)
        for symbol in range(first, first + piece.length if len(spans) else first):
            total += np.int64(spans[symbol])
        piece.n_bytes = total if len(spans) else piece.length


@kernel
def _mark(pieces, here, mark, targets):  # type: ignore[no-untyped-def] # a kernel
    """Write one id at all positions."""
    for p in here:
        targets[pieces[p].row, pieces[p].at : pieces[p].at + pieces[p].length] = mark


def read_chunks(
    view: View, chunks: npt.NDArray[np.void], places: npt.NDArray[np.void]
) -> tuple[list[Ints], list[npt.NDArray[np.int16]], list[npt.NDArray[np.float64]]]:
    """Of each of (n,) chunks, found by a `Layout`: (positions,) ids, (positions, bag) bytes, (positions,) bytes they stand for.

    For whoever looks at a view: every position is read as a piece, which takes longer than reading rows.
    """
    lengths = places["stop"] - places["first"]
    of, ends = np.repeat(np.arange(len(chunks)), lengths), np.cumsum(lengths)
    pieces = np.zeros(int(lengths.sum()), PIECE)
    pieces["row"], pieces["length"] = np.arange(len(pieces)), 1
    pieces["skip"] = pieces["row"] - (ends - lengths)[of]
    for name, known in (("shard", chunks), ("document", chunks), ("byte_first", places)):
        pieces[name] = known[name][of]
    pieces["begin"], pieces["end"] = places["symbol_first"][of], places["symbol_stop"][of]
    ids, bags = np.zeros((len(pieces), 1), np.int64), np.full((len(pieces), 1, view.bag), -1, np.int16)
    for shard, here in by_shard(pieces["shard"]):
        view.read(pieces, here, shard, ids, bags)
    cut = [np.split(numbers, ends[:-1]) for numbers in (ids[:, 0], bags[:, 0], pieces["n_bytes"])]
    return cut[0], cut[1], cut[2]


def views_of(store: Store, specs: Sequence[ViewSpec], alphabet: Alphabet) -> list[View]:
    """Views of a store. Raises `InvalidConfig` where one cannot be shown so."""
    return [KINDS[spec.kind](store, spec, alphabet) for spec in specs]


KINDS: dict[str, Callable[[Store, ViewSpec, Alphabet], View]] = {
    "symbols": Symbols,
    "merges": Merges,
    "bags": SpanBags,
    "even bags": EvenBags,
}
