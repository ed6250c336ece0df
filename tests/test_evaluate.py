"""Bits per byte against a slow reading of the definition."""

import numpy as np
import pytest
import torch

import compressors
from compressors.errors import InputError
from proxylm import alphabet as ids
from proxylm.alphabet import Alphabet
from proxylm.config import ModelConfig
from proxylm.evaluate import evaluate
from proxylm.model import Decoder

DOCUMENTS = [b"", b"a", b"short document\n", b"a longer one, " * 9, b"0123456789" * 13, b"\xff\x00"]


@pytest.fixture(scope="module")
def model(bpe):
    torch.manual_seed(1)
    made = Decoder(ModelConfig(d_model=32, n_layers=2, n_heads=2), Alphabet({"bpe": bpe.vocab.size}))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


def slow_bits(model, document, window):
    """One byte at a time: the context is the window of the definition, from the latest cut at or before the byte."""
    bits = 0.0
    body = [*(b + 64 for b in document), ids.RAW_CLOSE, ids.EOS]
    half = window // 2
    for i, target in enumerate(body):
        at = min(i, len(document))  # both closing ids belong to the window that ends the document
        # Windows begin at 0, half, 2 half ...; the first that scores up to and beyond byte `at` is used.
        start = 0
        while at >= start + window and not (at == len(document) == start + window):
            start += half
        context = [ids.BOS, ids.RAW_OPEN, *body[start:i]]
        log_p = torch.log_softmax(model.heads.raw_logits(model(torch.tensor([context]))[0, -1]), 0)
        bits -= log_p[target].item() / np.log(2)
    return bits


@pytest.mark.parametrize("window", [16, 40, 1000])
def test_raw_bits_equal_the_slow_definition(model, window):
    result = evaluate(model, DOCUMENTS, window=window)
    slow = [slow_bits(model, document, window) for document in DOCUMENTS]
    np.testing.assert_allclose(result.text_bits + result.end_bits, slow, rtol=1e-4)
    assert result.bits_per_byte == pytest.approx(sum(slow) / sum(map(len, DOCUMENTS)), rel=1e-4)
    assert result.n_bytes.tolist() == [len(d) for d in DOCUMENTS]
    assert (result.end_bits > 0).all()


def test_uniform_model_scores_every_symbol_once(model, bpe):
    uniform = Decoder(model.config, Alphabet({"bpe": bpe.vocab.size}))
    torch.nn.init.zeros_(uniform.heads.raw)
    torch.nn.init.zeros_(uniform.heads.comp)
    for window in (2, 7, 50):
        raw = evaluate(uniform, DOCUMENTS, window=window)
        np.testing.assert_allclose(raw.text_bits, [len(d) * np.log2(320) for d in DOCUMENTS], rtol=1e-5)
        np.testing.assert_allclose(raw.end_bits, 2 * np.log2(320), rtol=1e-5)
        for codec in (bpe, compressors.get("gzip")):  # gzip does not align: windows in equal parts
            comp = evaluate(uniform, DOCUMENTS, window=window, codec=codec)
            symbols = [len(codec.encode(d)) for d in DOCUMENTS]
            np.testing.assert_allclose(comp.text_bits, np.multiply(symbols, np.log2(64 + bpe.vocab.size)), rtol=1e-5)


def test_interval_holds_the_figure_and_nothing_to_score_is_an_error(model):
    result = evaluate(model, DOCUMENTS, window=64)
    low, high = result.interval()
    assert low < result.bits_per_byte < high
    with pytest.raises(InputError, match="no document has a byte"):
        evaluate(model, [b"", b""], window=64)
