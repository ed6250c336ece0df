"""Static entropy coding of symbols: table rANS in 64-bit integers.

Source: J. Duda, "Asymmetric numeral systems", arXiv 1311.2540, in F. Giesen's streaming form (arXiv 1402.3392). Integers
only, so the bytes are the same on every machine.

Stream: state (8 bytes, little-endian), then 4-byte words, in the order the decoder reads them.
"""

import math

import numba
import numpy as np
import numpy.typing as npt

from compressors.errors import CorruptStream

PRECISION = 24  # frequencies sum to 2^24, so that 2^16 symbols can each have one and the frequent ones keep their share
TOTAL = 1 << PRECISION
_LOW = np.uint64(1 << 31)  # the state stays in [2^31, 2^63)
_BITS, _MASK = np.uint64(PRECISION), np.uint64(TOTAL - 1)
_WORD, _WORD_MASK = np.uint64(32), np.uint64(0xFFFFFFFF)


def frequencies(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Integer frequencies (size,), each at least 1, summing to 2^24, in proportion to counts + 1."""
    weights = [int(count) + 1 for count in counts]  # Python integers: exact for any count
    total, spare = sum(weights), TOTAL - len(weights)
    scaled = np.array([1 + weight * spare // total for weight in weights], np.uint64)
    scaled[int(np.argmax(counts))] += np.uint64(TOTAL) - scaled.sum(dtype=np.uint64)
    return scaled


def starts(frequency: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Cumulative frequencies (size + 1,), from 0 to 2^24."""
    return np.concatenate([np.zeros(1, np.uint64), np.cumsum(frequency, dtype=np.uint64)])


def encode(symbols: npt.NDArray[np.int64], start: npt.NDArray[np.uint64]) -> bytes:
    """Code `symbols` under the cumulative table `start`."""
    words = np.empty(len(symbols), np.uint32)  # at most one word a symbol
    state, count = _encode(symbols, start, words)
    return int(state).to_bytes(8, "little") + words[:count][::-1].astype("<u4").tobytes()


def decode(data: bytes, n_symbols: int, start: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Inverse of `encode`. Raises `CorruptStream` unless exactly `n_symbols` use up all of `data`."""
    if len(data) < 8 or len(data) % 4 or n_symbols < len(data) // 4 - 2:
        raise CorruptStream(f"rANS: {len(data)} bytes cannot hold {n_symbols} symbols; the data is damaged")
    cheapest = PRECISION - math.log2(float(np.diff(start).max()))  # bits; a symbol has at least this much information
    # Rounding in the state can save at most p (1 - p) 2^24 / 2^31, less than 1/64, of a symbol's information.
    if n_symbols * cheapest * 63 / 64 > 8 * len(data):
        raise CorruptStream(f"rANS: {n_symbols} symbols do not fit into {len(data)} bytes; the data is damaged")
    symbols = np.empty(n_symbols, np.int64)
    words = np.frombuffer(data, "<u4", offset=8).astype(np.uint32)
    if not _decode(np.uint64(int.from_bytes(data[:8], "little")), words, start, symbols):
        raise CorruptStream("rANS: the coder does not end where it began; the data is damaged")
    return symbols


@numba.njit(cache=True, nogil=True)
def _encode(symbols, start, words):  # type: ignore[no-untyped-def]
    state, count = _LOW, 0
    for i in range(len(symbols) - 1, -1, -1):
        low = start[symbols[i]]
        frequency = start[symbols[i] + 1] - low
        if state >= frequency << (np.uint64(63) - _BITS):
            words[count] = state & _WORD_MASK
            count += 1
            state >>= _WORD
        state = ((state // frequency) << _BITS) + low + state % frequency
    return state, count


@numba.njit(cache=True, nogil=True)
def _decode(state, words, start, symbols):  # type: ignore[no-untyped-def]
    used = 0
    for i in range(len(symbols)):
        slot = state & _MASK
        low, high = 0, len(start) - 1  # start[low] <= slot < start[high]
        while high - low > 1:
            middle = (low + high) >> 1
            if start[middle] <= slot:
                low = middle
            else:
                high = middle
        symbols[i] = low
        state = (start[low + 1] - start[low]) * (state >> _BITS) + slot - start[low]
        if state < _LOW:
            if used == len(words):
                return False
            state = (state << _WORD) | np.uint64(words[used])
            used += 1
    return state == _LOW and used == len(words)
