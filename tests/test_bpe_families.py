"""Popular tokenizers give the ids of `tokenizers`, through kernels; `tests.extended.fuzz_families` compares more strings."""

import warnings

import pytest

from tests import families
from tests.extended import fuzz_bpe, fuzz_families

SNIPPETS = fuzz_bpe.ordinary_texts()


@pytest.fixture(scope="module")
def model() -> fuzz_bpe.Spec:
    return fuzz_bpe.crossing_model(0, SNIPPETS)["model"]


@pytest.mark.parametrize("name", families.FAMILIES)
def test_ids_are_those_of_tokenizers(model: fuzz_bpe.Spec, name: str) -> None:
    with warnings.catch_warnings(action="error"):  # no SlowPath
        row = fuzz_families.compare(name, model, 150, 1, SNIPPETS)
    assert row.examples == []
    assert row.texts == 150


def test_a_wrong_expression_would_be_noticed(model: fuzz_bpe.Spec) -> None:
    pair = fuzz_bpe.Pair(families.spec("Qwen3.5", model))
    pair.ours = fuzz_bpe.Pair(families.spec("Qwen2, Qwen2.5, Qwen3", model)).ours
    assert len(pair.differing(fuzz_families.strings(pair, 1, SNIPPETS).take(300))) > 5
