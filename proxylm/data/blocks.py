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

from compressors.kernels import kernel

Ints = npt.NDArray[np.int64]
Stretches = npt.NDArray[np.void]  # (n,) with the fields below: of a file, or pieces (`proxylm.data.pieces`)
_STRETCH = np.dtype([(name, np.int64) for name in ("begin", "end", "skip", "length")])
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

    def damaged(self, data: memoryview, stretches: Stretches, here: Ints, itemsize: int, *, one_each: bool) -> bool:
        """Whether a block that stretches `here` lie in is not as it was written; checks those not seen yet.

        Of a stretch symbols begin..end-1 are meant, or with one_each only the `length` behind the first `skip`.
        """
        if not _has_unseen(stretches, here, itemsize, one_each, self.seen):
            return False
        for begin, end, skip, length in stretches[["begin", "end", "skip", "length"]][here].tolist():
            first, last = (begin + skip, begin + skip + length) if one_each else (begin, end)
            for block in range(first * itemsize // BLOCK, -(-last * itemsize // BLOCK)):
                if not self.seen[block]:
                    if zlib.crc32(data[block * BLOCK : (block + 1) * BLOCK]) != self.sums[block]:
                        return True
                    self.seen[block] = True
        return False


def stretches_of(begins: Ints, ends: Ints) -> tuple[Stretches, Ints]:
    """Symbols begins[i]..ends[i]-1 as stretches, and all their places."""
    found = np.zeros(len(begins), _STRETCH)
    found["begin"], found["end"] = begins, ends
    return found, np.arange(len(begins))


@kernel
def _has_unseen(stretches, here, itemsize, one_each, seen):  # type: ignore[no-untyped-def] # a kernel
    """Whether any block of the stretches `here` was not seen."""
    for w in here:
        stretch = stretches[w]
        first, last = stretch.begin, stretch.end
        if one_each:
            first, last = stretch.begin + stretch.skip, stretch.begin + stretch.skip + stretch.length
        for block in range(first * itemsize // BLOCK, (last * itemsize + BLOCK - 1) // BLOCK):
            if not seen[block]:
                return True
    return False
