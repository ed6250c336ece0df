"""From ids to bytes: a gather of pieces out of one buffer.

`codec.BPE.decode` keeps one `Gather` for its vocabulary.
"""

import numpy as np

from compressors._machine_words import copy_block
from compressors.base import Symbols
from compressors.kernels import kernel

_BLOCK = np.uint64(16)  # bytes copied at once


class Gather:
    """Joins the pieces of ids; `pieces`: the bytes of every id."""

    def __init__(self, pieces: tuple[bytes, ...]) -> None:
        self._starts = np.zeros(len(pieces) + 1, np.uint32)
        np.cumsum([len(piece) for piece in pieces], out=self._starts[1:])
        self._text = np.frombuffer(b"".join([*pieces, bytes(int(_BLOCK))]), np.uint8)

    def n_bytes(self, symbols: Symbols) -> int:
        """Bytes that `symbols`, each below the number of pieces, stand for."""
        return int(_length(symbols, self._starts))

    def __call__(self, symbols: Symbols, n_bytes: int) -> bytes:
        """The `n_bytes` bytes of `symbols`, each below the number of pieces."""
        out = np.empty(n_bytes + int(_BLOCK), np.uint8)
        _gather(symbols, self._starts, self._text, out)
        return out[:n_bytes].tobytes()


@kernel
def _length(symbols, starts):  # type: ignore[no-untyped-def] # a kernel
    total = np.int64(0)
    for symbol in symbols:
        total += np.int64(starts[np.int64(symbol) + 1]) - np.int64(starts[symbol])
    return total


@kernel
def _gather(symbols, starts, text, out):  # type: ignore[no-untyped-def] # a kernel
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
