"""Two thousand of the strings of `tests.extended.fuzz_bpe`; that bench compares a million, and whole corpora."""

import pytest

from tests.extended import fuzz_bpe, fuzz_texts
from tests.extended.fuzz_bpe import Pair

SNIPPETS = fuzz_bpe.ordinary_texts()


@pytest.fixture(scope="module")
def model() -> fuzz_bpe.Spec:
    return fuzz_bpe.crossing_model(0, SNIPPETS)


def test_fuzzed_strings_have_the_ids_of_tokenizers(model: fuzz_bpe.Spec) -> None:
    rows = list(fuzz_bpe.fuzz({"crossing": model}, 2000, 1, SNIPPETS))
    assert [row.examples for row in rows] == [[]] * len(rows)
    assert sum(row.texts for row in rows) == 2000
    assert len({row.what for row in rows}) == 12


@pytest.mark.parametrize("wrong", ["gpt2", "qwen2", "o200k"])
def test_a_wrong_split_would_be_noticed(model: fuzz_bpe.Spec, wrong: str) -> None:
    pair = Pair(fuzz_bpe.variant(model, "llama3", "plain"))
    pair.ours = Pair(fuzz_bpe.variant(model, wrong, "plain")).ours
    assert len(pair.differing(fuzz_texts.strings(1).take(100))) > 20


def test_strings_are_the_same_every_time() -> None:
    one, two = (fuzz_texts.strings(7, SNIPPETS).take(50) for _ in range(2))
    assert one == two
    assert one != fuzz_texts.strings(8, SNIPPETS).take(50)
