"""Span superposition: a position stands for a bag of bytes instead of a symbol with one id.

It is shown as the mean of its bytes' embeddings (each times a learnt vector for its place in the bag) and predicts the bytes
of the next bag through the byte head, by the mean of their cross-entropies. So one embedding and one head serve both
views, and any compressor with spans is a proxy view. Bags of a fixed size are token superposition (arXiv 2605.06546).

A span of more bytes than a bag holds is cut into several bags, of which the last has what is left. A span of none has none.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from compressors.kernels import kernel

Ints = npt.NDArray[np.int64]


def counts(largest: int) -> Ints:
    """(65536,) bags that a symbol makes, by its bytes."""
    return -(-np.arange(1 << 16) // largest)


def fill(
    pieces: npt.NDArray[np.void],
    here: Ints,
    data: npt.NDArray[np.uint8],
    spans: npt.NDArray[Any],
    found: npt.NDArray[np.int16],
) -> None:
    """Write the bags of the pieces `here`, of one shard (`proxylm.data.pieces`), and the bytes of each piece.

    data: the bytes of the shard. spans: (symbols,) bytes of its symbols. found: (rows, positions, largest) bytes of each bag, -1
    in all places beforehand.
    """
    _fill(pieces, here, data, spans, found)


@kernel
def _fill(pieces, here, data, spans, found):  # type: ignore[no-untyped-def] # a kernel
    """See `fill`."""
    largest = found.shape[2]
    for p in here:
        piece = pieces[p]
        bag, at, n_bytes = 0, piece.byte_first, 0  # the next bag of the chunk, its first byte, and what was written
        last = piece.skip + piece.length
        for symbol in range(piece.begin, piece.end):
            left = np.int64(spans[symbol])
            while left > 0 and bag < last:
                size = min(left, largest)
                if bag >= piece.skip:
                    place = piece.at + bag - piece.skip
                    for i in range(size):
                        found[piece.row, place, i] = data[at + i]
                    n_bytes += size
                bag, at, left = bag + 1, at + size, left - size
            if bag >= last:
                break
        piece.n_bytes = n_bytes
