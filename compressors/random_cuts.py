"""`random-cuts`: pieces of random length, cut without a look at the text: the control of a view that a compressor makes.

A cut stands behind every byte with probability 1 / `length`, so pieces have `length` bytes on average. The draws depend on
the document's CRC-32 and the place, and on nothing else: a word is cut in other places each time it comes. A symbol is a hash
of its piece. Different pieces share one, so it is a one-way view. As bags of bytes (`cuts:bags=16`) only the cuts are random.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from compressors.base import Compressor, Spans, Symbols, Vocab, check_range
from compressors.errors import InvalidConfig

_U64 = npt.NDArray[np.uint64]
# Of splitmix64 (Steele, Lea, Flood 2014): the step between states, and the two products that mix one.
_STEP, _FIRST, _SECOND = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
_BASE = np.uint64(0x100000001B3)  # of the polynomial in the bytes of a piece: the prime of FNV-1a


@dataclass(frozen=True, kw_only=True)
class RandomCuts(Compressor):
    """Pieces of `length` bytes on average, each a symbol of `width` bits: a one-way view, without `decode` and files."""

    name: ClassVar[str] = "random-cuts"
    lossless: ClassVar[bool] = False
    length: float = 3.2
    width: int = 12

    def __post_init__(self) -> None:
        is_number = isinstance(self.length, (int, float)) and not isinstance(self.length, bool)
        if not is_number or not 1 <= self.length <= 1000:
            raise InvalidConfig(f"{self.name}: length is {self.length!r}; expected bytes of a piece, 1 to 1000")
        object.__setattr__(self, "length", float(self.length))  # 3 and 3.0 are one configuration
        check_range(self.name, "width", self.width, 1, 16)

    @property
    def vocab(self) -> Vocab:
        return Vocab(size=1 << self.width)

    def encode(self, data: bytes) -> Symbols:
        begins = self._begins(data)
        if not len(begins):
            return np.empty(0, self.vocab.dtype)
        # Place of each byte in its piece, 0 for the first.
        places = np.arange(len(data)) - np.repeat(begins, np.diff(begins, append=len(data)))
        powers = np.cumprod(np.full(places.max() + 1, _BASE))  # (longest,) wraps at 2^64
        terms = (np.frombuffer(data, np.uint8).astype(np.uint64) + np.uint64(1)) * powers[places]
        # The upper bits of a mixed product are the best ones.
        hashed = _mixed(np.add.reduceat(terms, begins)) >> np.uint64(64 - self.width)
        return hashed.astype(self.vocab.dtype)

    def spans(self, data: bytes) -> Spans:
        return np.diff(self._begins(data), append=len(data)).astype(np.int64)

    def _begins(self, data: bytes) -> npt.NDArray[np.int64]:
        """(pieces,) the byte with which each begins; nothing of nothing."""
        if not data:
            return np.empty(0, np.int64)
        seed = np.uint64(zlib.crc32(data) << 32)  # places are below 2^32
        drawn = _mixed((np.arange(1, len(data), dtype=np.uint64) + seed) * _STEP)
        limit = min(int(2**64 / self.length), 2**64 - 1)
        return np.concatenate([[0], 1 + np.flatnonzero(drawn <= np.uint64(limit))]).astype(np.int64)


def _mixed(states: _U64) -> _U64:
    """(n,) the finalizer of splitmix64: every bit of a state moves half the bits of the number."""
    states = (states ^ (states >> np.uint64(30))) * _FIRST
    states = (states ^ (states >> np.uint64(27))) * _SECOND
    return states ^ (states >> np.uint64(31))


__all__ = ["RandomCuts"]
