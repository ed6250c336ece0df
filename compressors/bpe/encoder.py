"""From documents to ids with the kernels: the tables of one tokenizer, and each thread's work space.

`Encoder.encode` joins documents into chunks. For each chunk it finds added tokens, cuts the text
into
pieces and lets `_encode.encode` look up or merge every piece. A `Workspace` belongs to one thread
at a
time and keeps its cache of pieces between calls. `engine` builds an `Encoder`; `codec.BPE` calls
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from compressors.base import Ragged
from compressors.bpe import _encode, _merge
from compressors.bpe.added_tokens import AddedTokens
from compressors.bpe.cutting import Cutter, Room
from compressors.bpe.library import MOST_IDS
from compressors.bpe.sharing import side_by_side
from compressors.errors import InputError

BUCKETS = 1 << 18  # of 64 bytes: 16 MB a thread; 2^19 is 7 % faster again on 40 MB, no faster on 5
SPILL = 1 << 19  # words for ids and bytes of long pieces: 4 MB
# Bytes of text handed to the kernels at once: with 2^18 text met again takes up to 6 % longer, with 2^20 new text does.
# Several threads get up to twice as much, since they hold each other up between chunks: 240 MB of Python at 379 MB/s with
# 2^18, 445 with 2^20.
CHUNK = 1 << 19
_LEAST = 1 << 15  # bytes of the last chunks of several threads: shorter ones take longer to hand out than to encode
_PAD = bytes(64)  # the kernels read whole words and blocks beyond the end
_COPY = 1 << 24  # bytes of ids that are worth a second thread to copy
_NO_TOKENS = np.zeros(0, np.int64)

Part = tuple[npt.NDArray[Any], npt.NDArray[np.int64]]  # ids of some documents, and where those of each begin


@dataclass(frozen=True, eq=False)
class Merges:
    """A byte-level BPE as arrays: id of each byte (256), and each merge's left, right and joined id (merges,)."""

    byte_ids: npt.NDArray[np.uint32]
    left: npt.NDArray[np.uint32]
    right: npt.NDArray[np.uint32]
    joined: npt.NDArray[np.uint32]

    def tables(self) -> tuple[Any, ...]:
        """(byte_id, byte_pair, pairs, merged) as `_encode.encode` takes them."""
        # Room for two to four times as many words as merges: then a look-up rarely leaves its
        # bucket.
        pairs = np.full(1 << max(4, (2 * len(self.left)).bit_length()), ~np.uint64(0), np.uint64)
        _merge.fill_pairs(self.left, self.right, pairs)
        # Rank of the merge of each pair of single bytes, by first << 8 | second; all ones: none.
        byte_pair = np.full(1 << 16, 0xFFFFFFFF, np.uint32)
        byte_of = np.full(MOST_IDS, -1, np.int64)
        byte_of[self.byte_ids] = np.arange(256)
        ranks = np.flatnonzero((byte_of[self.left] >= 0) & (byte_of[self.right] >= 0))
        byte_pair[byte_of[self.left[ranks]] << 8 | byte_of[self.right[ranks]]] = ranks
        return self.byte_ids, byte_pair, pairs, self.joined


@dataclass(eq=False)
class Workspace:
    """What one thread needs: the piece cache, and room for a chunk of text that grows with the largest one seen.

    Shapes and meanings are those of the arguments of `_encode.encode`.
    """

    cache: npt.NDArray[np.uint64]  # (8 * BUCKETS,) see `_encode`
    dtype: np.dtype[Any]  # of ids
    spill: npt.NDArray[np.uint64] = field(default_factory=lambda: np.zeros(SPILL, np.uint64))
    used: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    work: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(198, np.uint64))
    keys: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty((128, 3), np.uint64))
    room: Room = field(default_factory=Room)

    @classmethod
    def new(cls, dtype: np.dtype[Any]) -> Workspace:
        words = np.zeros(8 * BUCKETS + 8, np.uint64)
        first = -words.ctypes.data // 8 % 8  # so that a bucket is one cache line
        return cls(words[first : first + 8 * BUCKETS], dtype)

    def twin(self) -> Workspace:
        """Another workspace that knows the same pieces: copying them is faster than merging each again."""
        twin = Workspace.new(self.dtype)
        n_words = self.used[0]
        twin.cache[:], twin.spill[:n_words], twin.used[:] = self.cache, self.spill[:n_words], self.used
        return twin


class Encoder:
    """Encodes with one way of cutting text and one set of `Merges`; several threads may share it."""

    def __init__(
        self, cut: Cutter, merges: Merges, pieces: Sequence[bytes], *, ignore_merges: bool = False,
        added: AddedTokens | None = None,
    ) -> None:  # fmt: skip
        """Make the tables of `merges`, and the texts that fill a new cache.

        `cut`: cuts text into pieces. `pieces`: the bytes of every id. `added`: the added tokens, if any.
        `ignore_merges`: a piece that is an id becomes it, whatever merging gives.
        """
        self._cut, self._added = cut, added
        self._dtype = np.dtype(np.min_scalar_type(len(pieces) - 1))
        self._tables = (*merges.tables(), np.zeros(1, np.uint64))
        self._whole = np.zeros((0, 4), np.uint64)
        self._workspaces: list[Workspace] = []  # not in use; `list.pop` and `append` are atomic
        # What fills a new cache: frequent ids, the early ones, come last and stay.
        self._known = _packed([piece for piece in pieces if piece][::-1])
        if ignore_merges:
            self._take_whole(pieces)

    def _take_whole(self, pieces: Sequence[bytes]) -> None:
        """Note the ids that merging does not give."""
        # Encode the bytes of every id: where that does not give the id back, merging never makes
        # it.
        symbols = [symbol for symbol, piece in enumerate(pieces) if piece]
        text, starts = _packed([pieces[symbol] for symbol in symbols])
        ids, rows = self._ids(self._new(), text, starts, np.arange(len(symbols) + 1))
        wrong = [symbol for i, symbol in enumerate(symbols) if ids[rows[i] : rows[i + 1]].tolist() != [symbol]]
        if not wrong:
            return
        text, starts = _packed([pieces[i] for i in wrong])
        # A hash table at most half full, and the bytes of each piece in whole words.
        whole = np.zeros((1 << (2 * len(wrong)).bit_length(), 4), np.uint64)
        kept = np.zeros(len(text) // 8 + len(wrong) + 1, np.uint64)
        _encode.fill_whole(text, starts, np.array(wrong, np.int64), whole, kept)
        self._whole, self._tables = whole, (*self._tables[:4], kept)

    def encode(self, documents: Iterable[bytes], threads: int = 1) -> Ragged:
        """Ids of every document, in order; equal for any number of threads."""
        if threads <= 1:
            with self._workspaces_of(1) as (workspace,):
                parts = [self._chunk(workspace, chunk) for chunk in _chunks(documents, CHUNK)]
            return _joined(parts, self._dtype, 1)
        documents = list(documents)
        shares = _shares(np.fromiter(map(len, documents), np.int64, len(documents)), threads)
        with self._workspaces_of(threads) as workspaces:
            parts = side_by_side(
                lambda thread, i: self._chunk(workspaces[thread], documents[shares[i]]), len(shares), threads
            )
        return _joined(parts, self._dtype, threads)

    def _chunk(self, workspace: Workspace, documents: list[bytes]) -> Part:
        """(ids, rows) of some documents; rows (documents + 1,) says where the ids of each begin.

        Raises `InputError` for 4 GiB or more: offsets in the kernels have 32 bits.
        """
        data = b"".join([*documents, _PAD])
        text = np.frombuffer(data, np.uint8)
        offsets = np.zeros(len(documents) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, documents), np.int64, len(documents)), out=offsets[1:])
        if offsets[-1] >= 1 << 32:
            raise InputError(f"bpe: a document of {offsets[-1]} bytes; expected less than 4 GiB: cut it into several")
        # Most chunks hold no added token: a search for two bytes says so, and each document is
        # one segment.
        if self._added is None or not self._added.may_be_in(data):
            return self._ids(workspace, text, *self._cut(text, offsets, workspace.room))
        # `_encode` takes each segment for a document; then the rows of real documents are
        # picked out.
        segments, tokens = self._added.find(text, offsets, workspace.room)
        ids, rows = self._ids(workspace, text, *self._cut(text, segments, workspace.room), tokens)
        return ids, rows[np.searchsorted(segments, offsets)]

    def _ids(self, w: Workspace, text: Any, starts: Any, first_piece: Any, tokens: Any = _NO_TOKENS) -> Part:
        """Ids of the pieces, and where those of each document begin; `tokens`: ids of documents that are a
        token, or -1.
        """
        # Room for the longest piece: of a usual chunk for all of the text, as memory that is not touched costs nothing.
        n_bytes = int(starts[-1])
        longest = max(n_bytes, 1) if n_bytes <= 2 * CHUNK else int(np.diff(starts).max())
        links, heap = w.room.array("links", (longest, 3), np.int64), w.room.array("heap", (3 * longest,), np.uint64)
        out = w.room.array("out", (n_bytes + 8,), w.dtype)
        rows = np.empty(len(first_piece), np.int64)
        count = _encode.encode(
            text, starts, first_piece, tokens, self._tables, self._whole, w.cache, w.spill, w.used, w.work, links, heap,
            out, rows, w.keys,
        )  # fmt: skip
        return out[:count].copy(), rows

    @contextmanager
    def _workspaces_of(self, threads: int) -> Iterator[list[Workspace]]:
        """A workspace for each thread, which no other uses. The same ones in the same order if no other call is running."""
        taken: list[Workspace] = []
        try:
            while len(taken) < threads:
                try:
                    taken.append(self._workspaces.pop())
                except IndexError:
                    taken.append(taken[0].twin() if taken else self._new())
            yield taken
        finally:
            self._workspaces += reversed(taken)

    def _new(self) -> Workspace:
        """A workspace that knows the bytes of every id."""
        workspace = Workspace.new(self._dtype)
        text, starts = self._known
        self._ids(workspace, text, starts, np.array([0, len(starts) - 1], np.int64))
        return workspace


def _packed(pieces: Sequence[bytes]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint32]]:
    """Pieces as (text, starts) for `_encode`."""
    starts = np.zeros(len(pieces) + 1, np.uint32)
    np.cumsum([len(piece) for piece in pieces], out=starts[1:])
    return np.frombuffer(b"".join([*pieces, _PAD]), np.uint8), starts


def _joined(parts: list[Part], dtype: np.dtype[Any], threads: int) -> Ragged:
    """The chunks' ids one after another; large ones are copied by several threads.

    New memory costs more than copying into it: 115 MB of ids take 0.26 s on one core, of 0.85 s with two threads.
    """
    if len(parts) == 1:
        return Ragged(*parts[0])
    ends = np.cumsum([len(ids) for ids, _ in parts], dtype=np.int64)
    values = np.empty(ends[-1] if parts else 0, dtype)

    def put(_: int, i: int) -> npt.NDArray[np.int64]:
        """Copy the ids of part i to their place; where its documents end there."""
        ids, rows = parts[i]
        values[ends[i] - len(ids) : ends[i]] = ids
        moved: npt.NDArray[np.int64] = rows[1:] + (ends[i] - len(ids))
        return moved

    moved = side_by_side(put, len(parts), threads if values.nbytes > _COPY else 1)
    return Ragged(values, np.concatenate([np.zeros(1, np.int64), *moved]))


def _chunks(documents: Iterable[bytes], n_bytes: int) -> Iterator[list[bytes]]:
    """Consecutive documents, each time about `n_bytes` of them."""
    chunk: list[bytes] = []
    size = 0
    for document in documents:
        chunk.append(document)
        size += len(document)
        if size >= n_bytes:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _shares(sizes: npt.NDArray[np.int64], threads: int) -> list[slice]:
    """Consecutive documents for several threads: in each run of 1/threads of the text, chunks of half of what is left.

    Few chunks, since threads hold each other up between two; small ones at the end, so that threads end together.
    """
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    run, least = max(total // threads, 1), max(min(_LEAST, total // (8 * threads)), 1)
    shares, first, done = [], 0, 0
    while first < len(sizes):
        wanted = min(2 * CHUNK, max((run - done % run) // 2, least))
        last = min(int(np.searchsorted(ends, done + wanted)), len(sizes) - 1)
        shares.append(slice(first, last + 1))
        first, done = last + 1, int(ends[last])
    return shares
