"""Pieces of every length around a block of 16 bytes are joined exactly, at every distance from the end."""

import numpy as np
import pytest

from compressors.bpe.decoder import Gather

LENGTHS = [0, 1, 2, 7, 15, 16, 17, 31, 32, 33, 47, 48, 49, 300]
PIECES = tuple(bytes((i * 31 + k) % 256 for k in range(n)) for i, n in enumerate(LENGTHS))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_pieces_of_all_lengths_are_joined(dtype: type) -> None:
    gather = Gather(PIECES)
    random = np.random.default_rng(0)
    for n in [*range(20), 1000]:
        symbols = random.integers(0, len(PIECES), n).astype(dtype)
        expected = b"".join(PIECES[symbol] for symbol in symbols)
        assert gather(symbols, gather.n_bytes(symbols)) == expected
    for symbol, piece in enumerate(PIECES):  # alone, the last bytes of what is read and written
        assert gather(np.array([symbol], dtype), len(piece)) == piece
