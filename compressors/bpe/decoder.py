"""From ids to bytes: a gather of pieces out of one buffer.

`codec.BPE.decode` keeps one `Gather` for its vocabulary.
"""

import numpy as np

from compressors.base import Symbols
from compressors.bpe import _gather


class Gather:
    """Joins the pieces of ids; `pieces`: the bytes of every id."""

    def __init__(self, pieces: tuple[bytes, ...]) -> None:
        self._starts = np.zeros(len(pieces) + 1, np.uint32)
        np.cumsum([len(piece) for piece in pieces], out=self._starts[1:])
        self._text = np.frombuffer(b"".join([*pieces, bytes(_gather.BLOCK)]), np.uint8)

    def n_bytes(self, symbols: Symbols) -> int:
        """Bytes that `symbols`, each below the number of pieces, stand for."""
        return int(_gather.length(symbols, self._starts))

    def __call__(self, symbols: Symbols, n_bytes: int) -> bytes:
        """The `n_bytes` bytes of `symbols`, each below the number of pieces."""
        out = np.empty(n_bytes + _gather.BLOCK, np.uint8)
        _gather.gather(symbols, self._starts, self._text, out)
        return out[:n_bytes].tobytes()
