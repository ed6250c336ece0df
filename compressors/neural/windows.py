"""Windows of equal information (Lester et al., arXiv 2404.03626) as a static dictionary.

Where coder and model start again at every window, only the bytes in a window decide its symbol: the
code is a list of strings. Here it is the list of the 2^16 strings most probable at the start of a
window, all single bytes among them. It is made without a network: counts over the fitting corpus give
the probability of a string, exactly and in integers.

Symbols are in order of rank: the bytes, then strings by falling count. The beginning of a string is never less frequent
than the string, so it comes before it: a string is an earlier one and a byte, which is how it is kept; the first 2^W of
the list are the dictionary of W bits; and each is a trie all of whose nodes are symbols.

`codec.Neural` encodes and decodes with `Windows`, and `fit` makes the artifact. The walks through
the text are kernels in `_windows`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from compressors.artifact import Artifact
from compressors.base import Ragged, Symbols, Vocab, check_output
from compressors.errors import InvalidConfig

POLICIES = ("words", "dense", "word")
LARGEST = 1 << 16  # entries
_LONGEST = 64  # bytes of an entry; `_windows` keeps lengths in uint8
_MOST = 1 << 28  # bytes of text that are counted, at 8 bytes of memory each
_CHUNK = 1 << 18  # bytes of text handed to a kernel at once
ARRAYS = PARENT, LAST = "windows.parent", "windows.last"  # of an artifact: (entries - 256,) uint16, uint8


@dataclass(frozen=True, kw_only=True, eq=False)
class Windows:
    """A dictionary: entry 256 + i is entry parent[i] and the byte last[i] after it."""

    parent: npt.NDArray[np.uint16]
    last: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, artifact: Artifact, width: int) -> Windows:
        """The first 2^width entries of an artifact's dictionary. Raises `InvalidConfig` if it is damaged."""
        artifact.expect("neural", *ARRAYS)
        parent, last = artifact.arrays[PARENT], artifact.arrays[LAST]
        sound = parent.ndim == 1 and parent.shape == last.shape and len(parent) <= LARGEST - 256
        if not (sound and parent.dtype == np.uint16 and last.dtype == np.uint8):
            raise InvalidConfig("neural: the windows of the artifact are damaged; make a new one with `proxyc fit`")
        # A parent comes before its child, and no string stands twice.
        pairs = parent.astype(np.int64) << 8 | last
        if (parent >= np.arange(256, 256 + len(parent))).any() or len(np.unique(pairs)) < len(pairs):
            raise InvalidConfig("neural: the windows of the artifact are in disorder; make a new one with `proxyc fit`")
        n = (1 << width) - 256
        return cls(parent=parent[:n], last=last[:n])

    @cached_property
    def vocab(self) -> Vocab:
        """One piece for each entry; refinable, since every entry is an earlier one and a byte."""
        pieces = [bytes([byte]) for byte in range(256)]
        for parent, last in zip(self.parent.tolist(), self.last.tolist(), strict=True):
            pieces.append(pieces[parent] + pieces[last])
            if len(pieces[-1]) > _LONGEST:
                raise InvalidConfig(
                    f"neural: a window of the artifact is longer than {_LONGEST} bytes; make a new one with `proxyc fit`"
                )
        splits = np.stack([self.parent, self.last], 1).astype(np.uint32)
        return Vocab(size=len(pieces), pieces=tuple(pieces), splits=splits)

    @cached_property
    def _trie(self) -> tuple[npt.NDArray[np.uint32], npt.NDArray[Any]]:
        """(cells, symbol of each cell) as the kernels take them."""
        from compressors.neural import _windows

        n = 256 + len(self.parent)
        # Entries by parent; first[i]:first[i + 1] are the places of the children of entry i.
        children = 256 + np.argsort(self.parent, kind="stable")
        first = np.searchsorted(self.parent[children - 256], np.arange(n + 1))
        labels = np.concatenate([np.arange(256, dtype=np.uint8), self.last])
        # Entries with most children first: they are the hardest to place in the double array.
        order = np.argsort(first[:-1] - first[1:], kind="stable")[: np.count_nonzero(np.diff(first))]
        used, size = -1, 2 * n + 1024  # those of text take hardly more than n
        while used < 0:
            cells, slots = np.zeros(size, np.uint32), np.zeros(n, np.int64)
            used = _windows.fill(order, children, first, labels, cells, slots, np.full(size, -1, np.int32))
            size *= 2
        symbols = np.zeros(used, self.vocab.dtype)
        symbols[slots] = np.arange(n)
        return cells[:used].copy(), symbols

    @cached_property
    def _strings(self) -> tuple[npt.NDArray[Any], ...]:
        """(lengths, heads, starts, text) as `_windows.join` takes them."""
        from compressors.neural import _windows

        pieces, wide = self.vocab.pieces, _windows.WIDE
        assert pieces is not None
        lengths = np.fromiter(map(len, pieces), np.uint8, len(pieces))
        # The first bytes of every string, padded to one wide copy; the whole strings for those that
        # are longer.
        heads = b"".join(piece[:wide].ljust(wide, b"\0") for piece in pieces)
        starts = np.cumsum(lengths, dtype=np.int64) - lengths
        text = b"".join([*pieces, bytes(wide)])
        return lengths, np.frombuffer(heads, np.uint8), starts, np.frombuffer(text, np.uint8)

    def decode(self, symbols: Symbols, max_output: int | None = None) -> bytes:
        """The bytes of symbols, each below `vocab.size`. Raises `OutputLimitExceeded`."""
        from compressors.neural import _windows

        n_bytes = int(_windows.size(symbols, self._strings[0]))
        check_output("neural", n_bytes, max_output)
        out = np.empty(n_bytes + _windows.WIDE, np.uint8)
        _windows.join(symbols, *self._strings, out)
        return out[:n_bytes].tobytes()

    def encode_batch(self, documents: Iterable[bytes], policy: str, threads: int = 1) -> Ragged:
        """Windows of every document; equal for any number of threads."""
        chunks = _chunks(documents)
        if threads <= 1:
            parts = [self._encode(chunk, policy) for chunk in chunks]
        else:
            # Built here, or each thread would build it.
            _ = self._trie
            with ThreadPoolExecutor(threads) as pool:
                parts = list(pool.map(lambda chunk: self._encode(chunk, policy), chunks))
        if len(parts) == 1:
            return parts[0]
        # Lengths of all rows behind each other, summed again, are the offsets in the joined buffer.
        lengths = [np.zeros(1, np.int64), *(np.diff(part.offsets) for part in parts)]
        values = [np.empty(0, self.vocab.dtype), *(part.values for part in parts)]
        return Ragged(np.concatenate(values), np.cumsum(np.concatenate(lengths)))

    def _encode(self, documents: Sequence[bytes], policy: str) -> Ragged:
        """Windows of some documents with the kernel of `policy`."""
        from compressors.neural import _windows

        text, offsets = _joined(documents)
        cells, symbols = self._trie
        out, rows = np.empty(len(text), symbols.dtype), np.empty(len(offsets), np.int64)
        if policy == "dense":
            n = _windows.dense(text, offsets, cells, symbols, np.empty(len(text), np.uint16), out, rows)
        else:
            last = _windows.WORD_END if policy == "word" else _windows.RUN_END
            n = _windows.words(text, offsets, cells, symbols, last, out, rows)
        return Ragged(out[:n].copy(), rows)


def _joined(documents: Sequence[bytes]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """(text, offsets) of the documents one after the other."""
    offsets = np.zeros(len(documents) + 1, np.int64)
    np.cumsum([len(document) for document in documents], out=offsets[1:])
    return np.frombuffer(b"".join(documents), np.uint8), offsets


def _chunks(documents: Iterable[bytes]) -> Iterable[list[bytes]]:
    """Consecutive documents, each time about _CHUNK bytes of them; one empty list if there are none."""
    chunk: list[bytes] = []
    size, n_chunks = 0, 0
    for document in documents:
        chunk.append(document)
        size += len(document)
        if size >= _CHUNK:
            yield chunk
            chunk, size, n_chunks = [], 0, n_chunks + 1
    if chunk or n_chunks == 0:
        yield chunk


# -- making the dictionary ---------------------------------------------------------------------------------------------


def fit(documents: Sequence[bytes]) -> Artifact:
    """The dictionary of `documents` (of every k-th, if they are more than 2^28 bytes), and its card.

    Raises `InvalidConfig` for an empty corpus, and for a document too large to be counted (4 GiB).
    """
    began, n_bytes = time.monotonic(), sum(map(len, documents))
    counted = documents[:: max(1, -(-n_bytes // _MOST))]
    if not 0 < sum(map(len, counted)) < 1 << 32:
        raise InvalidConfig(
            f"neural: {len(documents)} documents of {n_bytes} bytes; expected some text, in smaller documents"
        )
    arrays = _most_frequent(counted)
    digest = hashlib.sha256(b"".join(hashlib.sha256(document).digest() for document in documents)).hexdigest()
    card = {"documents": len(documents), "bytes": n_bytes, "sha256": digest, "documents_counted": len(counted)}
    card["seconds"] = round(time.monotonic() - began)
    return Artifact(codec="neural", settings={}, arrays=arrays, card=card)


def _most_frequent(documents: Sequence[bytes]) -> dict[str, npt.NDArray[Any]]:
    """The arrays of the dictionary of `documents`: the most frequent strings of at most 64 bytes within a run
    of words.

    A string counts where it starts a word four times what it counts within one: `words`, whose windows
    mostly start with words, then finds longer ones, and the others find enough. Strings grow a byte at a
    time; only those that are among the 2^16 most frequent so far grow on, and nothing is lost thereby:
    longer ones are never more frequent.
    """
    from compressors.neural import _windows

    text, offsets = _joined(documents)
    starts, nodes, left = np.arange(len(text), dtype=np.uint32), np.zeros(len(text), np.int32), len(text)
    # All strings found so far, in the order of their finding; the bytes outrank the others.
    parent, last, count = np.full(256, -1), np.arange(256), np.full(256, np.iinfo(np.int64).max)
    longest, ids = np.arange(256), np.arange(256, dtype=np.int32)[None]
    for depth in range(1, _LONGEST):
        # counts[row, byte]: weight of the string `row` of `depth` bytes followed by `byte`.
        counts = np.zeros((len(longest), 256), np.int64)
        left = _windows.grow(text, offsets, starts, nodes, left, depth, ids, counts)
        rows, labels = np.nonzero(counts)
        n = len(parent)
        parent, last = np.append(parent, longest[rows]), np.append(last, labels)
        count = np.append(count, counts[rows, labels])
        # Keep the most frequent of old and new strings, in the order of their finding: ties go to
        # the older one.
        kept = np.sort(np.argsort(-count, kind="stable")[:LARGEST])
        # New numbers: place[old] is the number among those kept, -1 for a dropped one.
        place = np.full(len(count), -1)
        place[kept] = np.arange(len(kept))
        parent = np.where(kept < 256, -1, place[parent[kept]])
        last, count, new = last[kept], count[kept], place[n:]
        # For the next round: the row of each new string that was kept.
        ids = np.full(counts.shape, -1, np.int32)
        ids[rows[new >= 0], labels[new >= 0]] = np.arange(np.count_nonzero(new >= 0))
        longest = new[new >= 0]
    # Rank by count. A beginning is found before its continuation and counts as much or more, so it
    # ranks before it.
    order = np.argsort(-count, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return {PARENT: rank[parent[order[256:]]].astype(np.uint16), LAST: last[order[256:]].astype(np.uint8)}
