"""Entropy coding of BPE ids in context: what the document said before, then what the fitting corpus said.

After the symbol ranking of C. Bloom ("Solving the problems of context modeling", 1998). Each symbol is looked for in

1. what followed the last two symbols, and then the last one, where the document had them before: at most four each, the
   latest first; each is the symbol or not, by a yes/no under an adaptive probability, whose context is the place in
   the list, how long the list is, and how often the symbol has been met there;
2. the corpus's row of the last symbol, if it has the symbol (yes/no likewise), under fixed frequencies;
3. the whole vocabulary, under frequencies that begin with the corpus's and count what was coded in this way.

Without a corpus (an imported tokenizer) the rows are empty, and all symbols begin equal. docs/pxc.md
has the stream byte by byte. All arithmetic is in integers: the bytes are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from compressors.bpe import _id_coder
from compressors.errors import CorruptStream, InvalidConfig, OutputLimitExceeded

Arrays = dict[str, npt.NDArray[Any]]
# Names of the arrays in an artifact, with dtypes
ARRAYS = {
    "counts": np.uint32,  # (vocab_size,) documents that have the symbol
    "row_lengths": np.uint32,  # (vocab_size + 1,) pairs in the row of each symbol, and of the beginning of a document
    "row_symbols": np.uint32,  # (pairs,) what follows, ascending within a row
    "row_counts": np.uint16,  # (pairs,) how often, 1 or more
    "row_classes": np.uint8,  # (vocab_size + 1,) -2 log2 of the share of what followed that the row lacks
    "odds": np.uint32,  # (N_CONTEXTS,) the probabilities at the beginning of a document, as in `_id_coder`
}
_MOST_CONTEXTS = 1 << 18  # of two symbols that are kept in a document, and of one: bounds memory at 8 MB a call
_FIRST_PART = 1 << 16  # symbols; the output grows as it is decoded, whatever the stream claims


class Model:
    """The coder of one vocabulary; `arrays` from `fit_id_coder.fit`, or {} for one that only knows the
    document.

    Thread-safe: what adapts belongs to one call at a time. Raises `InvalidConfig` if the arrays are not for
    `vocab_size`.
    """

    def __init__(self, arrays: Arrays, vocab_size: int) -> None:
        if arrays:
            _check(arrays, vocab_size)
        else:
            arrays = _nothing_known(vocab_size)
        self.vocab_size = vocab_size
        self._odds = arrays["odds"].astype(np.int32)
        # Copies, as Numba would compile once more for arrays that may not be written.
        nexts, classes = arrays["row_symbols"].astype(np.uint32), arrays["row_classes"].astype(np.uint8)
        self._rows = _sums(arrays["row_lengths"]), nexts, _sums(arrays["row_counts"]), classes
        self._tree, self._total = _tree(arrays["counts"])
        self._spare: list[tuple[npt.NDArray[np.uint32], npt.NDArray[np.int32]]] = []

    def encode(self, symbols: npt.NDArray[Any]) -> bytes:
        """Code `symbols` (n,). Raises `CorruptStream` unless each is below `vocab_size`."""
        if len(symbols) and int(symbols.max()) >= self.vocab_size:
            raise CorruptStream(f"bpe: symbol {int(symbols.max())} is outside 0..{self.vocab_size - 1}")
        return self.encode_with(symbols, self._odds.copy())

    def encode_with(self, symbols: npt.NDArray[Any], odds: npt.NDArray[np.int32]) -> bytes:
        """`encode` that adapts `odds` in place: fitting goes from document to document with them."""
        symbols = symbols.astype(np.uint32)
        words = np.empty(6 * len(symbols) + 4, np.uint32)  # a symbol costs at most 9 answers of 16 bits and one of 30
        with self._memory(len(symbols)) as (state, recent, tree):
            n = _id_coder.code(symbols, 0, False, state, words, odds, *self._rows, recent, tree)
        return _varint(len(symbols)) + _ended(words[:n], int(state[_id_coder.LOW]), int(state[_id_coder.RANGE]))

    def decode(self, data: bytes, *, max_symbols: int | None = None) -> npt.NDArray[np.uint32]:
        """Inverse of `encode`. Raises `OutputLimitExceeded` beyond `max_symbols`.

        Raises `CorruptStream` unless the symbols use up the data exactly and end where a coder would have ended.
        """
        n_symbols, begin = _read_varint(data)
        if max_symbols is not None and n_symbols > max_symbols:
            raise OutputLimitExceeded(f"bpe: {n_symbols} symbols exceed the limit of {max_symbols}")
        # Big-endian words of 4 bytes; zeros fill up the last one.
        words = np.frombuffer(data[begin:] + bytes((begin - len(data)) % 4), ">u4").astype(np.uint32)
        symbols, odds = np.empty(0, np.uint32), self._odds.copy()
        with self._memory(n_symbols) as (state, recent, tree):
            state[_id_coder.CODE] = _eight(data, begin)
            while len(symbols) < n_symbols:
                done = len(symbols)
                more = np.zeros(min(n_symbols, max(2 * done, _FIRST_PART)), np.uint32)
                more[:done] = symbols
                if _id_coder.code(more, done, True, state, words, odds, *self._rows, recent, tree) < 0:
                    raise CorruptStream(f"bpe: {len(data)} bytes do not hold {n_symbols} symbols; the data is damaged")
                symbols = more
        # LOW of the encoder is what the decoder has read less CODE: so it can make the ending that
        # is due, and compare.
        end = begin + 4 * int(state[_id_coder.USED])
        low = (_eight(data, end) - int(state[_id_coder.CODE])) % (1 << 64)
        if end > len(data) or data[end:] != _ending(low, int(state[_id_coder.RANGE]))[0]:
            raise CorruptStream("bpe: the coder does not end where the data does; the data is damaged")
        return symbols

    @contextmanager
    def _memory(self, n_symbols: int) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]]:
        """(state, recent, tree) at the beginning of a document; their size follows the document's, up to a limit.

        They are used again, as fresh memory for each small document would cost as much as coding it.
        """
        try:
            recent, tree = self._spare.pop()
        except IndexError:
            recent = np.empty((2 * _MOST_CONTEXTS, _id_coder.WAYS), np.uint32)
            tree = np.empty_like(self._tree)
        state = np.zeros(_id_coder.N_STATE, np.uint64)
        state[_id_coder.RANGE], state[_id_coder.TOTAL] = (1 << 64) - 1, self._total
        # A power of two from 32 to 2^19 rows: half for contexts of one symbol, half for two.
        n_used = 2 << max(min(n_symbols, _MOST_CONTEXTS) - 1, 15).bit_length()
        recent[:n_used], tree[:] = 0, self._tree
        yield state, recent[:n_used], tree
        self._spare.append((recent, tree))


def _nothing_known(vocab_size: int) -> Arrays:
    """The arrays of a model without a corpus: empty rows, equal counts, probabilities of one half."""
    arrays = {name: np.zeros(0, dtype) for name, dtype in ARRAYS.items()}
    arrays["counts"] = np.zeros(vocab_size, np.uint32)
    arrays["row_lengths"], arrays["row_classes"] = np.zeros((2, vocab_size + 1), np.uint8)
    return arrays | {"odds": np.full(_id_coder.N_CONTEXTS, 1 << 23, np.uint32)}


def _check(arrays: Arrays, vocab_size: int) -> None:
    """Raise `InvalidConfig` unless shapes, dtypes and values of the arrays are such that coding cannot
    fail.
    """
    if missing := set(ARRAYS) - set(arrays):
        raise InvalidConfig(f"bpe: the artifact lacks {', '.join(sorted(missing))}; make a new one with `proxyc fit`")
    n_pairs, symbols = len(arrays["row_symbols"]), arrays["row_symbols"].astype(np.int64)
    lengths, odds = arrays["row_lengths"].astype(np.int64), arrays["odds"]
    n_each = dict.fromkeys(ARRAYS, vocab_size + 1) | {"counts": vocab_size, "odds": _id_coder.N_CONTEXTS}
    n_each |= {"row_symbols": n_pairs, "row_counts": n_pairs}
    sound = (
        all(arrays[name].shape == (n_each[name],) and arrays[name].dtype == dtype for name, dtype in ARRAYS.items())
        and int(lengths.sum()) == n_pairs < 1 << 24
        and int(symbols.max(initial=0)) < vocab_size
        and bool((np.diff(np.repeat(np.arange(vocab_size + 1), lengths) * vocab_size + symbols) > 0).all())
        and int(arrays["row_counts"].min(initial=1)) > 0
        and int(arrays["row_counts"].sum(dtype=np.uint64)) < 1 << 32
        and int(arrays["row_classes"].max()) < _id_coder.N_CLASSES
        and 0 < int(odds.min()) >> 8 <= int(odds.max()) >> 8 < 1 << 16
    )
    if not sound:
        raise InvalidConfig(
            f"bpe: the tables for `compress` in this artifact do not fit a vocabulary of {vocab_size}; fit it again "
            "with `proxyc fit bpe`"
        )


def _sums(counts: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
    """(n + 1,) sums of the first 0, 1, ..., n."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.uint64)]).astype(np.uint32)


def _tree(counts: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int32], int]:
    """The sums that `_id_coder._any` starts with, of frequencies in proportion to counts + 1, and their total."""
    weights = counts.astype(np.uint64) + np.uint64(1)
    spare = np.uint64((1 << _id_coder.PRECISION) - len(weights))
    # Proportional to counts + 1, and at least 1, with a sum of at most 2^PRECISION.
    frequencies = weights * spare // weights.sum() + np.uint64(1)  # 32 + 24 bits
    place = np.arange(len(weights) + 1)
    sums = np.concatenate([[0], np.cumsum(frequencies.astype(np.int64))])
    # Fenwick: node i holds the sum of the frequencies from i with its lowest bit cleared up to i.
    return (sums - sums[place & (place - 1)]).astype(np.int32), int(sums[-1])


def _eight(data: bytes, begin: int) -> int:
    """The number in 8 bytes; zeros follow the data."""
    return int.from_bytes(data[begin : begin + 8].ljust(8, b"\0"), "big")


def _ended(words: npt.NDArray[np.uint32], low: int, width: int) -> bytes:
    """The words and their ending."""
    head = words.astype(">u4").tobytes()
    tail, carry = _ending(low, width)
    # The ending passed 2^64: add the carry to the words before it.
    if carry:
        head = (int.from_bytes(head, "big") + 1).to_bytes(len(head), "big")
    return head + tail


def _ending(low: int, width: int) -> tuple[bytes, int]:
    """The shortest bytes that stay in [low, low + width) if zeros follow, at most 4 as width >= 2^32; and the carry."""
    for n_bytes in range(5):
        unit = 1 << (64 - 8 * n_bytes)
        value = -(-low // unit) * unit
        if value < low + width:
            break
    return (value % (1 << 64)).to_bytes(8, "big").rstrip(b"\0"), value >> 64


def _varint(n: int) -> bytes:
    """`n` in base 128, low digits first; the high bit says that more follow."""
    out = bytearray()
    while n >= 128:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def _read_varint(data: bytes) -> tuple[int, int]:
    """(number, bytes it takes). Raises `CorruptStream`."""
    value = 0
    for i, byte in enumerate(data[:8]):
        value |= (byte & 127) << 7 * i
        if byte < 128:
            if byte == 0 and i:
                break
            return value, i + 1
    raise CorruptStream(f"bpe: {len(data)} bytes do not begin with a number of symbols; the data is damaged")
