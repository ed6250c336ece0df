"""One id space for all views: the only place that adds an offset.

Ids 0-63 are specials, 64-319 the bytes, 320.. the symbols of the compressed views. The merges that are read as bags of bytes
come first, then the symbols that have one id each; these never share an id with a raw byte (arXiv 2602.04289, section 3),
while merges stand among the bytes themselves. How specials stand around a text: `proxylm.data.frame`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

# Specials: numbers that checkpoints and exported models depend on, so they never change.
BOS, EOS = 1, 2
RAW_OPEN, RAW_CLOSE, COMP_OPEN, COMP_CLOSE = 12, 13, 14, 15
BAG = 16  # stands where a bag of bytes is read (see `proxylm.data.bags`)
N_SPECIALS = 64  # most are spare
BYTE_OFFSET = N_SPECIALS
RAW_SIZE = N_SPECIALS + 256  # specials and bytes: the raw head, and all that the deployed model knows
COMP_OFFSET = RAW_SIZE
# What generation may draw: the end of the text, or a byte.
ALLOWED: list[int] = [RAW_CLOSE, *range(BYTE_OFFSET, RAW_SIZE)]


@dataclass(frozen=True)
class HeadSlice:
    """What one softmax runs over: ids below `common`, then rows first..last-1 of the compressed symbols."""

    common: int
    """64: specials only; 320: specials and bytes."""
    first: int = 0
    last: int = 0
    """Rows of the compressed head, the last exclusive; none where both are equal."""

    def __len__(self) -> int:
        """Number of logits."""
        return self.common + self.last - self.first


RAW_SLICE = HeadSlice(RAW_SIZE)


def byte_ids(text: npt.NDArray[np.uint8]) -> Ints:
    """(n,) ids of raw bytes."""
    return text.astype(np.int64) + BYTE_OFFSET


@dataclass(frozen=True)
class Alphabet:
    """The vocabularies of the compressed views that a run shows, in the order of their ids."""

    symbols: Mapping[str, int] = field(default_factory=dict)
    """By view: the size of its vocabulary, where each symbol has one id."""
    merges: Mapping[str, int] = field(default_factory=dict)
    """By view: the merges of its vocabulary, where they are shown as such; their ids come first."""

    @property
    def n_merges(self) -> int:
        """Merges of all views together."""
        return sum(self.merges.values())

    @property
    def comp_size(self) -> int:
        """Rows that the symbols of all compressed views need together."""
        return self.n_merges + sum(self.symbols.values())

    @property
    def size(self) -> int:
        """Number of ids."""
        return RAW_SIZE + self.comp_size

    def symbol_ids(self, view: str, symbols: npt.NDArray[Any]) -> Ints:
        """Ids of symbols of `view`."""
        first = COMP_OFFSET + self.n_merges + _before(view, self.symbols)  # id of symbol 0
        return symbols.astype(np.int64) + first

    def merge_ids(self, view: str, symbols: npt.NDArray[Any]) -> Ints:
        """Ids of symbols of a refinable `view`, of which the first 256 are the bytes themselves."""
        wide, first = symbols.astype(np.int64), COMP_OFFSET + _before(view, self.merges)
        # Symbols below 256 are the ids of their bytes, and symbol 256 + m is merge m.
        return np.where(wide < 256, wide + BYTE_OFFSET, wide + (first - 256))

    def symbol_head(self, view: str) -> HeadSlice:
        """The softmax over the symbols of `view`."""
        # Merges of all views come before symbols.
        first = self.n_merges + _before(view, self.symbols)
        return HeadSlice(N_SPECIALS, first, first + self.symbols[view])

    def merge_head(self, view: str, merges: int) -> HeadSlice:
        """The softmax over the bytes and the first `merges` merges of `view`."""
        first = _before(view, self.merges)
        return HeadSlice(RAW_SIZE, first, first + merges)


def _before(view: str, sizes: Mapping[str, int]) -> int:
    """Rows of the views that stand before `view`."""
    names = list(sizes)
    return sum(sizes[name] for name in names[: names.index(view)])
