"""Threads tell each other the pieces that they learn, and give the ids of one thread."""

import numpy as np
import pytest

from compressors.bpe import encoder
from compressors.bpe.codec import BPE
from compressors.bpe.encoder import Encoder, Workspace

LETTERS = [bytes([97 + i // 676, 97 + i // 26 % 26, 97 + i % 26]) for i in range(2000)]
# Short pieces, long ones (their ids and bytes lie in `spill`), and some of more than six ids.
TEXT = b" ".join(b"qx%sv %s" % (one, b"zq" * (2 + i % 12) + one) for i, one in enumerate(LETTERS))


def two_workspaces() -> tuple[Encoder, Workspace, Workspace]:
    codec = BPE()
    codec.encode_batch([b"a"], threads=2)
    one, two = codec._engine._all
    return codec._engine, one, two


def ids_by(engine: Encoder, workspace: Workspace, text: bytes) -> list[int]:
    """Ids of `text`, encoded with this workspace."""
    engine._workspaces[:] = [workspace]
    found: list[int] = engine._chunk([text])[0].tolist()
    return found


def test_a_thread_knows_what_another_has_learnt() -> None:
    engine, one, two = two_workspaces()
    ids = ids_by(engine, one, TEXT)
    assert one.learnt[0] > 2000
    assert ids_by(engine, two, TEXT) == ids
    assert two.learnt[0] < one.learnt[0] // 10  # a piece is lost where a later one took its place in the bucket


@pytest.mark.parametrize("spill", [1 << 10, 1 << 13, 1 << 15])
def test_news_survive_a_spill_that_starts_again(monkeypatch: pytest.MonkeyPatch, spill: int) -> None:
    """The words of long pieces fit into neither thread's `spill`, so offsets in it are used again."""
    expected = BPE().encode(TEXT).tolist()
    monkeypatch.setattr(encoder, "SPILL", spill)
    engine, one, two = two_workspaces()
    for _ in range(3):
        half = TEXT.index(b" ", len(TEXT) // 2)
        assert ids_by(engine, one, TEXT[:half]) + ids_by(engine, two, TEXT[half:]) == expected
        assert ids_by(engine, two, TEXT) == ids_by(engine, one, TEXT) == expected


def test_threads_give_the_ids_of_one() -> None:
    documents = [TEXT[i : i + 5000] for i in range(0, len(TEXT), 5000)]
    one = BPE().encode_batch(documents)
    codec = BPE()
    for _ in range(3):
        many = codec.encode_batch(documents, threads=3)
        assert np.array_equal(many.values, one.values)
        assert np.array_equal(many.offsets, one.offsets)


def test_news_stop_before_they_fill_the_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder, "TOLD", 100)
    engine, one, two = two_workspaces()
    one.told = 100
    ids_by(engine, one, TEXT)
    assert one.learnt[0] > 2000
    assert not two.inbox
