"""Span superposition: a position stands for a bag of bytes instead of a symbol with one id.

It is shown as the mean of its bytes' embeddings (each times a learnt vector for its place in the bag) and predicts the bytes
of the next bag through the byte head, by the mean of their cross-entropies. So one embedding and one head serve both
views, and any compressor with spans is a proxy view. Bags of a fixed size are token superposition (arXiv 2605.06546).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


def counts(spans: npt.NDArray[Any], largest: int) -> Ints:
    """(symbols,) bags that each symbol of `spans` bytes makes; an empty symbol makes none."""
    return -(-spans.astype(np.int64) // largest)


def sizes(spans: npt.NDArray[Any], largest: int) -> Ints:
    """(bags,) bytes in each bag of a document: its spans, those above `largest` cut into several."""
    lengths = spans.astype(np.int64)
    lengths = lengths[lengths > 0]  # symbols without bytes have no bag
    parts = counts(lengths, largest)  # bags of each span
    found = np.full(parts.sum(), largest, np.int64)
    # cumsum(parts) - 1 is the last bag of each span.
    found[np.cumsum(parts) - 1] = lengths - (parts - 1) * largest  # the last of each span has what is left
    return found


def of(data: npt.NDArray[np.uint8], bag_sizes: Ints, first: int, last: int, largest: int) -> npt.NDArray[np.int16]:
    """(last - first, largest) bytes of the bags first..last-1 of a document, -1 behind the last byte of each."""
    ends = np.cumsum(bag_sizes)  # the byte behind each bag
    begin = int(ends[first - 1]) if first else 0  # first byte that is wanted
    end = int(ends[last - 1]) if last else 0  # the byte behind the last
    # (end - begin,) the bag of each byte.
    rows = np.repeat(np.arange(last - first), bag_sizes[first:last])
    places = np.arange(begin, end) - (ends - bag_sizes)[first:last][rows]  # and its place in it
    found = np.full((last - first, largest), -1, np.int16)
    found[rows, places] = data[begin:end]
    return found
