"""Bits per byte against a slow reading of the definition."""

import numpy as np
import pytest
import torch

import compressors
from compressors.errors import InputError, InvalidConfig
from proxylm.config import MixConfig, ModelConfig, Phase, RunConfig, TrainConfig
from proxylm.data import alphabet as ids
from proxylm.data.alphabet import Alphabet
from proxylm.evaluation import perturb
from proxylm.evaluation.bits_per_byte import deltas, evaluate, trained_spec
from proxylm.model.decoder import Decoder
from proxylm.view_spec import ViewSpec

DOCUMENTS = [b"", b"a", b"short document\n", b"a longer one, " * 9, b"0123456789" * 13, b"\xff\x00"]


@pytest.fixture(scope="module")
def model(bpe):
    torch.manual_seed(1)
    made = Decoder(ModelConfig(d_model=32, n_layers=2, n_heads=2), Alphabet({"bpe": bpe.vocab.size}))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


def slow_bits(model, document, window, codec=None):
    """One symbol at a time: the context is the window of the definition, from the latest cut that scores its first byte."""
    plain = ids.byte_ids(np.frombuffer(document, np.uint8))
    symbols = plain if codec is None else model.alphabet.symbol_ids("bpe", codec.encode(document))
    spans = np.ones(len(symbols), int) if codec is None else codec.spans(document)
    begins = (np.cumsum(spans) - spans).tolist()
    opened, closed = (ids.RAW_OPEN, ids.RAW_CLOSE) if codec is None else (ids.COMP_OPEN, ids.COMP_CLOSE)
    head, bits = ids.RAW_SLICE if codec is None else model.alphabet.symbol_head("bpe"), 0.0
    body = [*symbols.tolist(), closed, ids.EOS]
    for i, target in enumerate(body):
        at = [*begins, 0][min(i, max(len(begins) - 1, 0))]  # both closing ids belong to the last symbol's window
        start = 0  # windows begin at 0, half, 2 half ...
        while at >= start + window:
            start += window // 2
        seen = [s for s, begin in zip(body, begins, strict=False) if begin >= start]
        context = [ids.BOS, opened, *seen[: len(seen) - len(begins) + min(i, len(begins))], *body[len(begins) : i]]
        hidden = model(torch.tensor([context]))[0, -1:]
        bits += model.heads.token_nats(hidden, torch.tensor([target]), head).item() / np.log(2)
    return bits


@pytest.mark.parametrize("window", [16, 40, 1000])
@pytest.mark.parametrize("comp", [False, True])
def test_bits_equal_the_slow_definition(model, bpe, window, comp):
    codec = bpe if comp else None
    result = evaluate(model, DOCUMENTS, window=window, codec=codec)
    slow = [slow_bits(model, document, window, codec) for document in DOCUMENTS]
    np.testing.assert_allclose(result.text_bits + result.end_bits, slow, rtol=1e-4)
    assert result.bits_per_byte == pytest.approx(sum(slow) / sum(map(len, DOCUMENTS)), rel=1e-4)
    assert result.n_bytes.tolist() == [len(d) for d in DOCUMENTS]
    assert (result.end_bits > 0).all()


def test_no_mass_leaks_from_raw_positions_to_symbols(model):
    """All that the raw softmax runs over, scored one by one, has probability one."""
    hidden = model(torch.tensor([[ids.BOS, ids.RAW_OPEN, 161]]))[0, -1:].expand(320, -1)
    nats = model.heads.token_nats(hidden, torch.arange(320), ids.RAW_SLICE)
    assert torch.exp(-nats).sum().item() == pytest.approx(1, abs=1e-5)


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


def test_deltas_compare_with_the_unchanged_text_and_repeat(model, documents):
    texts = [document[:400] for document in documents[:8]]
    before = evaluate(model, texts, window=200)
    found = deltas(model, texts, before, window=200)
    assert list(found) == ["deletion", "case", "white_space", "renamed"]
    for name, after in found.items():
        again = evaluate(model, perturb.changed(texts, name), window=200)
        assert after["bits_per_byte"] == again.bits_per_byte != before.bits_per_byte
        low, high = after["delta_interval_95"]
        assert low <= after["delta"] <= high
        assert high - low < before.interval()[1] - before.interval()[0]  # paired: what documents share cancels out
    nothing = deltas(model, [b"\n\n"] * 3, evaluate(model, [b"\n\n"] * 3, window=16), window=16)["renamed"]
    assert (nothing["delta"], nothing["delta_interval_95"]) == (0, (0, 0))


def test_a_view_without_ids_is_refused(model, bpe):
    bags = Decoder(model.config, Alphabet({}), 4)
    for wrong, view in (
        (bags, None),
        (bags, ViewSpec("bpe")),
        (model, ViewSpec("other")),
        (model, ViewSpec("bpe", merges=9)),
    ):
        with pytest.raises(InvalidConfig, match="read raw bytes"):
            evaluate(wrong, DOCUMENTS, window=16, codec=bpe, view=view)


def test_merges_are_scored_as_the_run_was_shown_them(bpe):
    few = Decoder(ModelConfig(d_model=32, n_layers=1, n_heads=2), Alphabet({}, {"bpe": bpe.vocab.size - 256}))
    torch.nn.init.zeros_(few.heads.raw)
    torch.nn.init.zeros_(few.heads.comp)
    text = [DOCUMENTS[-1] * 3 + b"the same text in symbols"]
    result = evaluate(few, text, window=64, codec=bpe, view=ViewSpec("bpe", merges=20))
    undone = views_symbols(bpe, text[0], 256 + 20)
    assert result.n_symbols == len(undone) > len(bpe.encode(text[0]))
    # A uniform model: every symbol, and the two at the end, cost the logarithm of the softmax that was trained.
    assert result.text_bits[0] == pytest.approx(len(undone) * np.log2(320 + 20), rel=1e-5)
    mix = MixConfig(phases=(Phase(until=0.5, start=1.0, end=1.0, views={"bpe:merges=20": 1.0}),
                            Phase(until=1.0, start=1.0, end=1.0, views={"bpe:bags=4": 1.0})))  # fmt: skip
    config = RunConfig(train=TrainConfig(steps=1), mix=mix)
    assert trained_spec(config, "bpe") == trained_spec(config) == ViewSpec("bpe", merges=20)
    with pytest.raises(InvalidConfig, match=r"the run was shown bpe:merges=20, bpe:bags=4, and has no ids for zstd"):
        trained_spec(config, "zstd")
    torch.nn.init.constant_(few.heads.raw, float("nan"))
    with pytest.raises(InputError, match="weights of the model are not finite"):
        evaluate(few, text, window=64)


def views_symbols(bpe, text, size):
    def undone(symbol):
        return [symbol] if symbol < size else [p for s in bpe.vocab.splits[symbol - 256] for p in undone(int(s))]

    return [part for symbol in bpe.encode(text).tolist() for part in undone(symbol)]
