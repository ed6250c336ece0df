"""Corpora that spoil a fit: holes and rules that become pieces, and text without blanks."""

import random

import pytest

from compressors.bpe import train
from compressors.bpe.codec import BPE


@pytest.mark.parametrize("run", ["\0", " ", "-", "ab"])
def test_no_piece_is_longer_than_a_store_takes(run: str) -> None:
    corpus = [b"def f(x):\n    return x\n" * 200, b"start\n" + run.encode() * 100_000 + b"\nend"]
    codec = BPE.fit(corpus, vocab_size=2000)
    assert 64 <= max(map(len, codec.vocab.pieces)) <= train.LONGEST


def test_no_word_of_the_trainer_is_longer_than_its_limit() -> None:
    rng = random.Random(1)
    text = "".join(rng.choice("acgt") for _ in range(70_000)) + " " * 3000 + "x\n" * 9 + "日" * 2500
    parts = list(train._texts([text.encode()]))
    assert "".join(parts) == text
    assert max(len(word) for part in parts for word in part.split()) <= train.WORD
    assert max(len(part) - len(part.strip()) for part in parts) <= train.WORD


def test_ordinary_text_is_not_cut(documents: list[bytes]) -> None:
    short = [document for document in documents if len(document) < train.TEXT]
    assert list(train._texts(short)) == [part for document in short for part in (document.decode(),)]
