"""Checksums of the blocks of a file, so that a few bytes of a large one are checked without reading all of it.

STORE/00000/bpe.crc holds, for each file of the view in the order of their suffixes: SHA-256 of the file, then CRC-32 of each 16 KiB
of it, u32. Fingerprints do not cover it. A file without, or with one of another content, is checked as a whole.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BLOCK = 1 << 14
_DIGEST = 32  # bytes


def packed(files: Iterable[tuple[str, memoryview]]) -> bytes:
    """The content of such a file, of (SHA-256, bytes) of each file."""
    return b"".join(bytes.fromhex(digest) + sums_of(data).astype("<u4").tobytes() for digest, data in files)


def sums_of(data: memoryview) -> npt.NDArray[np.uint32]:
    """(blocks,) CRC-32 of each."""
    return np.array([zlib.crc32(data[at : at + BLOCK]) for at in range(0, len(data), BLOCK)], np.uint32)


@dataclass
class Blocks:
    """The blocks of one file, and which of them were found to be as they were written."""

    sums: npt.NDArray[np.uint32]
    """(blocks,)"""
    seen: npt.NDArray[np.bool_]
    """(blocks,)"""

    @classmethod
    def unpacked(cls, data: bytes, files: Iterable[tuple[str, int]]) -> list[Blocks] | None:
        """What `packed` made, for (SHA-256, size) of each file; None if it was made of others."""
        found, at = [], 0
        for digest, size in files:
            n = -(-size // BLOCK)
            begin, end = at + _DIGEST, at + _DIGEST + 4 * n
            if data[at:begin] != bytes.fromhex(digest) or len(data) < end:
                return None
            found.append(cls(np.frombuffer(data[begin:end], "<u4"), np.zeros(n, np.bool_)))
            at = end
        return found if at == len(data) else None

    def damaged(self, data: memoryview, begins: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> bool:
        """Whether a block that bytes begins[i]..ends[i]-1 lie in is not as it was written; checks those not seen yet."""
        first, last = begins // BLOCK, (np.maximum(ends, begins + 1) - 1) // BLOCK
        if (last - first).max() <= 1 and self.seen[first].all() and self.seen[last].all():
            return False
        for begin, end in zip(first.tolist(), last.tolist(), strict=True):
            for block in range(begin, end + 1):
                if not self.seen[block]:
                    if zlib.crc32(data[block * BLOCK : (block + 1) * BLOCK]) != self.sums[block]:
                        return True
                    self.seen[block] = True
        return False
