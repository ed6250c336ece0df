"""The default `compress` of a codec: its symbols, entropy-coded by constriction under counts of the symbols
before them.

A codec that writes `vocab`, `encode` and `decode` gets files from this. The document itself is the model:
symbols are coded in blocks, each under the counts of all blocks before it, so no table is stored. A symbol
that was not seen before is an escape in its block. The symbols that were escaped follow the block: how many
binary digits each has, then the digits. The cost of a block is proportional to the document's alphabet, not
to the vocabulary.

Weights are integers that add up to what constriction distributes, so its arithmetic has nothing to round:
streams are equal on every machine. docs/reference/symbols.md describes them byte by byte.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from compressors.base import check_output
from compressors.errors import CorruptStream, InvalidConfig, MissingExtra

if TYPE_CHECKING:
    from compressors.base import Compressor, Symbols

# By the number in a stream's first byte, (weight of what was seen of late, all symbols known from the beginning): for
# steady text, for text that changes, and for symbols that are all about as likely.
KINDS = ((0, False), (64, False), (0, True))
FIRST_BLOCK = 32  # symbols of the first blocks
_TOTAL = 1 << 24  # constriction's resolution: the sum of all frequencies; it adds 1 to each weight
_MOST_SYMBOLS = 64  # symbols for each byte of a document, and as many more: a damaged stream claims no more


def compress(codec: Compressor, data: bytes) -> bytes:
    """`data` as kind, lengths, checksum and the coded symbols of ``codec.encode(data)``: the kind that gives
    the fewest.

    Raises `InvalidConfig` for vocabularies of 2^24 symbols or more, and for more than 64 symbols a byte.
    """
    size, symbols = _size(codec), codec.encode(data)
    if len(symbols) > _MOST_SYMBOLS * (len(data) + 1):
        raise InvalidConfig(
            f"{codec.name}: {len(symbols)} symbols for {len(data)} bytes; the default `compress` takes at most "
            f"{_MOST_SYMBOLS} a byte: write `compress` and `decompress` for this codec"
        )
    # Kind 2 knows all symbols from the start: worth a try only if a quarter of them occurs.
    kinds = [0, 1, 2] if 4 * len(np.unique(symbols)) >= size else [0, 1]
    coded = {kind: _encoded(symbols, size, kind) for kind in (kinds if len(symbols) > FIRST_BLOCK else [0])}
    kind = min(coded, key=lambda kind: len(coded[kind]))
    words = coded[kind].astype("<u4").tobytes()
    head = bytes([kind]) + _varint(len(data)) + _varint(len(symbols))
    return head + _checksum(data, head, words) + words


def decompress(codec: Compressor, stream: bytes, *, max_output: int | None = None) -> bytes:
    """Inverse of `compress`. Memory grows with what is decoded, whatever the stream claims.

    Raises `CorruptStream` for data that is cut, lengthened or of another codec, `OutputLimitExceeded`.
    """
    damaged = f"{codec.name}: the data is damaged, or another codec wrote it"
    if not stream or (kind := stream[0]) >= len(KINDS):
        raise CorruptStream(f"{damaged}: it begins with {stream[:1]!r}, expected a byte below {len(KINDS)}")
    n_bytes, at = _read_varint(stream, 1, damaged)
    n_symbols, end = _read_varint(stream, at, damaged)
    head, checksum, words = stream[:end], stream[end : end + 4], stream[end + 4 :]
    if len(words) % 4 or len(checksum) < 4 or n_symbols > _MOST_SYMBOLS * (n_bytes + 1):
        raise CorruptStream(f"{damaged}: {n_symbols} symbols for {n_bytes} bytes in {len(words)} bytes")
    check_output(codec.name, n_bytes, max_output)
    symbols = _decoded(np.frombuffer(words, "<u4").astype(np.uint32), n_symbols, _size(codec), kind, damaged)
    try:
        data = codec.decode(symbols.astype(codec.vocab.dtype), max_output=n_bytes)
    except CorruptStream as error:
        raise CorruptStream(f"{damaged}: {error}") from error
    if _checksum(data, head, words) != checksum:
        raise CorruptStream(f"{damaged}: its checksum differs")
    return data


def _checksum(data: bytes, head: bytes, words: bytes) -> bytes:
    """CRC-32 of the document, then of the stream but for the checksum."""
    return zlib.crc32(words, zlib.crc32(head, zlib.crc32(data))).to_bytes(4, "little")


class _Counts:
    """How often each symbol was seen. Symbol number 0 of the model is the escape, number k the k-th that was new.

    With `known` all symbols have a number from the beginning, and were seen four times.
    """

    def __init__(self, size: int, recent: int, known: bool) -> None:
        self._size, self._recent = size, recent
        self._symbols = np.arange(-1, size if known else 0, dtype=np.int32)  # (known + 1,) the symbol of each number
        self._numbers = np.arange(1, size + 1, dtype=np.int32) * known  # (size,) 0 for those not seen
        self._counts = np.full(len(self._symbols), 4, np.int64)  # (known + 1,)
        self._late = np.zeros(len(self._symbols), np.int64)  # (known + 1,) the same of late, in sixteenths
        self._bits = np.zeros(size.bit_length() + 1, np.int64)  # escaped symbols by number of bits

    @property
    def any(self) -> bool:
        """Is there a symbol with a number?"""
        return len(self._symbols) > 1

    def numbers(self, symbols: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """(n,) the number of each symbol; 0 is the escape."""
        return self._numbers[symbols]

    def symbols(self, numbers: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """(n,) the symbol of each number."""
        return self._symbols[numbers]

    def add(self, symbols: npt.NDArray[np.int32]) -> None:
        """Count a block; its new symbols are numbered in ascending order."""
        escaped = symbols[self._numbers[symbols] == 0]
        self._bits += np.bincount(_n_bits(escaped), minlength=len(self._bits))
        new = np.unique(escaped)
        self._numbers[new] = np.arange(len(self._symbols), len(self._symbols) + len(new), dtype=np.int32)
        self._symbols = np.concatenate([self._symbols, new])
        self._counts, self._late = (
            np.append(array, np.zeros(len(new), np.int64)) for array in (self._counts, self._late)
        )
        counts = np.bincount(self._numbers[symbols], minlength=len(self._symbols))
        self._counts += counts
        # A decaying count: each block adds its counts and takes a tenth of the sum away.
        self._late += 16 * counts - self._late // 10

    def weights(self) -> npt.NDArray[np.int64]:
        """(known + 1,) of the escape and of each known symbol.

        A symbol seen c times has 2c - 1 parts, and `recent` for each time of late. What is taken off is for the escape,
        but no more than one part for each symbol that is still to come (absolute discounting, as in PPMD).
        """
        known = len(self._counts) - 1
        parts = 2 * self._counts - 1 + self._recent * self._late // 16
        parts[0] = min(known, self._size - known)
        return _scaled(parts)

    def bit_weights(self) -> npt.NDArray[np.int64]:
        """(bits + 1,) of the number of bits of an escaped symbol: counts so far, and 32 more as the vocabulary
        has them.
        """
        ends = np.minimum(1 << np.arange(len(self._bits)), self._size)
        return _scaled(64 * self._bits + 1 + 2048 * np.diff(ends, prepend=0) // self._size)


def _scaled(parts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Integers in proportion to `parts` that add up to 2^24 less one for each, which constriction adds."""
    spare = _TOTAL - len(parts)
    weights: npt.NDArray[np.int64] = parts * spare // parts.sum()
    weights[np.argmax(weights)] += spare - weights.sum()  # what rounding down left
    return weights


def _n_bits(symbols: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """(n,) binary digits of each symbol; 0 has none."""
    return np.searchsorted(1 << np.arange(25), symbols, side="right").astype(np.int32)


def _encoded(symbols: Symbols, size: int, kind: int) -> npt.NDArray[np.uint32]:
    """(words,) the symbols coded."""
    coding, seen = _constriction(), _Counts(size, *KINDS[kind])
    coder = coding.queue.RangeEncoder()
    for begin, end in _blocks(len(symbols)):
        block = symbols[begin:end].astype(np.int32)
        numbers = seen.numbers(block)
        if seen.any:
            coder.encode(numbers, _categorical(coding, seen.weights()))
        escaped = block[numbers == 0]
        if len(escaped):
            n_bits = _n_bits(escaped)
            coder.encode(n_bits, _categorical(coding, seen.bit_weights()))
            long = n_bits > 1
            # The first binary digit is 1: only the others are coded, each number below 2^(bits -
            # 1).
            halves = 1 << n_bits[long] - 1
            coder.encode(escaped[long] - halves, coding.model.Uniform(), halves)
        seen.add(block)
    words: npt.NDArray[np.uint32] = coder.get_compressed()
    return words


def _decoded(
    words: npt.NDArray[np.uint32], n_symbols: int, size: int, kind: int, damaged: str
) -> npt.NDArray[np.int32]:
    """(n_symbols,) what `_encoded` was given. Raises `CorruptStream` for words that no encoder writes."""
    coding, seen = _constriction(), _Counts(size, *KINDS[kind])
    coder = coding.queue.RangeDecoder(words)
    blocks = [np.zeros(0, np.int32)]
    try:
        for begin, end in _blocks(n_symbols):
            numbers = np.zeros(end - begin, np.int32)
            if seen.any:
                numbers = coder.decode(_categorical(coding, seen.weights()), end - begin)
            block, escapes = seen.symbols(numbers), numbers == 0
            if n_escapes := int(escapes.sum()):
                n_bits = coder.decode(_categorical(coding, seen.bit_weights()), n_escapes)
                escaped = 1 << n_bits >> 1  # the highest digit, 0 for 0
                long = n_bits > 1
                escaped[long] += coder.decode(coding.model.Uniform(), escaped[long])
                if int(escaped.max()) >= size:
                    raise CorruptStream(f"{damaged}: symbol {escaped.max()} of {size}")
                block[escapes] = escaped
            seen.add(block)
            blocks.append(block)
    except (AssertionError, ValueError) as error:  # constriction's, for a word outside every interval
        raise error if isinstance(error, CorruptStream) else CorruptStream(f"{damaged}: {error}") from error
    return np.concatenate(blocks)


def _blocks(n_symbols: int) -> Iterator[tuple[int, int]]:
    """(begin, end) of every block: the longer the document, the longer its blocks."""
    begin = 0
    while begin < n_symbols:
        end = begin + max(FIRST_BLOCK, min(512, begin // 32), begin // 512)
        yield begin, min(end, n_symbols)
        begin = end


def _categorical(coding: Any, weights: npt.NDArray[np.int64]) -> Any:
    """The model of integer weights. Their sum is the one that constriction scales to: the factor is exactly 1."""
    return coding.model.Categorical(weights.astype(np.float64), perfect=False)


def _size(codec: Compressor) -> int:
    """Symbols of the vocabulary, at least 2, as constriction wants them."""
    if codec.vocab.size >= _TOTAL:
        raise InvalidConfig(
            f"{codec.name}: a vocabulary of {codec.vocab.size} symbols; the default `compress` takes fewer than {_TOTAL}: "
            "write `compress` and `decompress` for this codec"
        )
    return max(2, codec.vocab.size)


def _constriction() -> Any:
    """The module `constriction.stream`. Raises `MissingExtra` with the pip command."""
    try:
        import constriction
    except ImportError as error:
        raise MissingExtra(
            "files of codecs that do not define `compress` need constriction: pip install constriction (on Linux for "
            "Arm and with musl it has no wheel: it is built from source, with a Rust compiler)"
        ) from error
    return constriction.stream


def _varint(value: int) -> bytes:
    """`value` in base 128, low digits first; the high bit says that more follow."""
    digits = bytearray()
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])


def _read_varint(data: bytes, at: int, damaged: str) -> tuple[int, int]:
    """(value, position after it). Raises `CorruptStream`."""
    value = 0
    for i, digit in enumerate(data[at : at + 9]):
        value |= (digit & 127) << 7 * i
        if digit < 128:
            return value, at + i + 1
    raise CorruptStream(f"{damaged}: it ends within its lengths")


__all__ = ["compress", "decompress"]
