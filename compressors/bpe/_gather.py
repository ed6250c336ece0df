"""Kernels that join the pieces of ids; `decoder.Gather` calls them.

starts (pieces + 1): where the bytes of each id begin in `text`, which is readable a block beyond its end.
"""

import numpy as np

from compressors._machine_words import copy_block
from compressors.kernels import kernel

BLOCK = 16  # bytes copied at once; `out` has room for as many more
_BLOCK = np.uint64(BLOCK)


@kernel
def length(symbols, starts):
    """Bytes that the symbols stand for."""
    total = np.int64(0)
    for symbol in symbols:
        total += np.int64(starts[np.int64(symbol) + 1]) - np.int64(starts[symbol])
    return total


@kernel
def gather(symbols, starts, text, out):
    """Write the pieces of the symbols to `out`, one behind the other."""
    at = np.uint64(0)
    for symbol in symbols:
        start, stop = np.uint64(starts[symbol]), np.uint64(starts[np.int64(symbol) + 1])
        copy_block(text, start, out, at)  # what is too much is overwritten by the next piece
        end = at + (stop - start)
        while at + _BLOCK < end:
            at += _BLOCK
            start += _BLOCK
            copy_block(text, start, out, at)
        at = end
