"""The cache of pieces in front of merging: whatever it keeps, moves and forgets, ids are the same."""

import numpy as np
import pytest

from compressors.bpe import encoder
from compressors.bpe.codec import BPE


@pytest.mark.parametrize("buckets", [2, 4, 64])
@pytest.mark.parametrize("spill", [1 << 6, 1 << 12])
def test_a_cache_of_any_size_gives_the_same_ids(monkeypatch: pytest.MonkeyPatch, buckets: int, spill: int) -> None:
    """Pieces that fall out of their bucket, lie in the one beside it, change places, or are forgotten."""
    random = np.random.default_rng(buckets)
    words = [bytes(random.integers(97, 123, n)) for n in random.integers(1, 40, 150)]
    document = b" ".join(words[i] for i in random.integers(0, len(words), 5000) ** 2 // len(words))
    expected = BPE().encode(document)
    monkeypatch.setattr(encoder, "BUCKETS", buckets)
    monkeypatch.setattr(encoder, "SPILL", spill)
    codec = BPE()
    for _ in range(2):
        assert np.array_equal(codec.encode(document), expected)
    assert codec.decode(expected) == document
