"""One id space for all views: the only place that adds an offset.

Ids 0-63 are specials, 64-319 the bytes, 320.. the symbols of the compressed views one after the other, so a symbol
never shares an id with a raw byte (arXiv 2602.04289, section 3), unless the alphabet is `shared`: then the first 256
symbols of every view, which a refinable vocabulary has for the bytes, are the bytes themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

BOS, EOS = 1, 2
RAW_OPEN, RAW_CLOSE, COMP_OPEN, COMP_CLOSE = 12, 13, 14, 15
BAG = 16  # stands where a bag of bytes is read (see `proxylm.data.bags`)
N_SPECIALS = 64
BYTE_OFFSET = N_SPECIALS
RAW_SIZE = N_SPECIALS + 256  # specials and bytes: the raw head, and all that the deployed model knows
COMP_OFFSET = RAW_SIZE
ALLOWED: list[int] = [
    RAW_CLOSE,
    *range(BYTE_OFFSET, RAW_SIZE),
]  # what generation may draw: the end of the text, or a byte


@dataclass(frozen=True)
class HeadSlice:
    """What one softmax runs over: ids below `common`, then rows first..last-1 of the compressed symbols."""

    common: int
    first: int = 0
    last: int = 0

    def __len__(self) -> int:
        return self.common + self.last - self.first


RAW_SLICE = HeadSlice(RAW_SIZE)


@dataclass(frozen=True)
class Alphabet:
    """Sizes of the compressed views' vocabularies, in the order of their ids."""

    views: Mapping[str, int]
    shared: bool = False

    @property
    def comp_size(self) -> int:
        """Rows that the symbols of all compressed views need together."""
        return sum(self._rows(view) for view in self.views)

    @property
    def size(self) -> int:
        return RAW_SIZE + self.comp_size

    def _rows(self, view: str) -> int:
        return self.views[view] - (256 if self.shared else 0)

    def _first(self, view: str) -> int:
        names = list(self.views)
        return sum(self._rows(name) for name in names[: names.index(view)])

    def ids(self, view: str, symbols: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """Ids of symbols of `view` ("raw" or a compressed view)."""
        found = symbols.astype(np.int64)
        if view == "raw":
            return found + BYTE_OFFSET
        first = COMP_OFFSET + self._first(view)
        if not self.shared:
            return found + first
        return np.where(found < 256, found + BYTE_OFFSET, found + (first - 256))

    def marks(self, view: str) -> tuple[int, int]:
        """The ids that stand before and behind what is shown of `view`."""
        return (RAW_OPEN, RAW_CLOSE) if view == "raw" else (COMP_OPEN, COMP_CLOSE)

    def head(self, view: str, level: int | None = None) -> HeadSlice:
        """The softmax for `view`, of its first `level` symbols only."""
        if view == "raw":
            return RAW_SLICE
        symbols = min(level or self.views[view], self.views[view]) - (256 if self.shared else 0)
        first = self._first(view)
        return HeadSlice(RAW_SIZE if self.shared else N_SPECIALS, first, first + symbols)
