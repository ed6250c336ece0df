"""Rows of a step as arrays, and what they show."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from proxylm.data.alphabet import Ints


@dataclass
class Shares:
    """What a batch really showed, by view."""

    documents: dict[str, int] = field(default_factory=lambda: {"raw": 0, "comp": 0, "pair": 0})
    """Documents begun, or chunks of them."""
    symbols: dict[str, int] = field(default_factory=lambda: {"raw": 0, "comp": 0})
    """Positions shown, without marks."""
    n_bytes: dict[str, float] = field(default_factory=lambda: {"raw": 0.0, "comp": 0.0})
    """Bytes of text that these stand for; an estimate for views that do not align with bytes."""


@dataclass(frozen=True)
class Batch:
    """B rows of T positions."""

    inputs: Ints
    """(B, T) ids that are read."""
    targets: Ints
    """(B, T) ids that are predicted, -1 = not scored."""
    doc: npt.NDArray[np.int32]
    """(B, T) segment within the row, -1 = padding; attention stays within one."""
    mode: npt.NDArray[np.int8]
    """(B, T) whose softmax predicts the target: 0 raw, 1 + place of the view."""
    shares: Shares
    """What all rows together show."""
    documents: list[list[int]]
    """Of each row: the numbers of its documents."""
    bags: npt.NDArray[np.int16] | None = None
    """(B, T, size) bytes of each target that is a bag, -1 where there is none; None if no row of the step has one."""

    @classmethod
    def blank(cls, rows: int, length: int, bag: int) -> Batch:
        """Padding only, with room for bags of `bag` bytes; to be written into."""
        return cls(
            np.zeros((rows, length), np.int64),
            np.full((rows, length), -1, np.int64),
            np.full((rows, length), -1, np.int32),
            np.zeros((rows, length), np.int8),
            Shares(),
            [[] for _ in range(rows)],
            np.full((rows, length, bag), -1, np.int16),  # int16: a byte, or -1 for none
        )

    def parts(self, rows: int) -> Iterator[Batch]:
        """The batch, `rows` rows at a time; every part carries the shares of the whole."""
        for first in range(0, len(self.inputs), rows):
            here = slice(first, first + rows)  # the last part may have fewer
            bags = None if self.bags is None else self.bags[here]
            yield replace(
                self,
                inputs=self.inputs[here],
                targets=self.targets[here],
                doc=self.doc[here],
                mode=self.mode[here],
                documents=self.documents[here],
                bags=bags,
            )

    @property
    def checksum(self) -> int:
        """Sum of the rows' CRC-32, so that the shares of several processes add up to the same number."""
        total = 0 if self.bags is None else sum(zlib.crc32(row.astype("<i2").tobytes()) for row in self.bags)
        return total + sum(
            zlib.crc32(np.stack([a, b]).astype("<i8").tobytes()) for a, b in zip(self.inputs, self.targets, strict=True)
        )
