"""From ids to bytes: a gather of pieces out of one buffer.

`codec.BPE.decode` keeps one `Gather` for its vocabulary.
"""

import numpy as np

from compressors.base import Symbols
from compressors.kernels import kernel

_WIDE = 16  # bytes copied at once; longer pieces take a second loop


class Gather:
    """Joins the pieces of ids; `pieces`: the bytes of every id."""

    def __init__(self, pieces: tuple[bytes, ...]) -> None:
        self._starts = np.zeros(len(pieces) + 1, np.int64)
        np.cumsum([len(piece) for piece in pieces], out=self._starts[1:])
        self._text = np.frombuffer(b"".join([*pieces, bytes(_WIDE)]), np.uint8)

    def __call__(self, symbols: Symbols, n_bytes: int) -> bytes:
        """The `n_bytes` bytes of `symbols`, each below the number of pieces."""
        out = np.empty(n_bytes + _WIDE, np.uint8)
        _gather(symbols, self._starts, self._text, out)
        return out[:n_bytes].tobytes()


@kernel
def _gather(symbols, starts, text, out):  # type: ignore[no-untyped-def] # a kernel
    at = 0
    for i in range(len(symbols)):
        start, stop = starts[symbols[i]], starts[np.int64(symbols[i]) + 1]
        n = stop - start
        for k in range(_WIDE):  # a fixed count becomes one wide copy; what is too much is overwritten by the next piece
            out[at + k] = text[start + k]
        for k in range(_WIDE, n):
            out[at + k] = text[start + k]
        at += n
