"""The published windows, for comparison: cut where the network is uncertain, each coded by itself, and not decodable."""

import math

import numpy as np
import pytest

import compressors
from compressors import testing
from compressors.neural import entropy_windows
from compressors.neural.codec import Neural
from compressors.neural.entropy_windows import EntropyWindows, PublishedWindows
from compressors.neural.model import Model

TEXT = b"def area(width, height):\n    return width * height\n\n\nclass Box:\n    def __init__(self, width):\n" * 2
# Symbols of the first 25 bytes. They never change: other ones are another codec.
FROZEN = [26600, 64972, 29419, 10902, 58942, 3848, 58399, 22945, 58841]


@pytest.fixture(scope="module")
def codec() -> PublishedWindows:
    return PublishedWindows()


@pytest.fixture(scope="module")
def model(codec: PublishedWindows) -> Model:
    return Model.of(codec.artifact.settings, codec.artifact.arrays)


def test_symbols_are_frozen(codec: PublishedWindows) -> None:
    assert codec.encode(TEXT[:25]).tolist() == FROZEN


def test_a_window_is_a_function_of_its_bytes(codec: PublishedWindows, model: Model) -> None:
    symbols, spans = codec.encode(TEXT), codec.spans(TEXT)
    assert symbols.dtype == codec.vocab.dtype == np.uint16
    assert len(spans) == len(symbols)
    assert spans.sum() == len(TEXT)
    fresh = EntropyWindows(model, 16)
    for symbol, end, n in zip(symbols.tolist(), np.cumsum(spans).tolist(), spans.tolist(), strict=True):
        assert fresh._segment(TEXT[end - n : end]) == [(symbol, n)]


def test_windows_begin_wherever_the_network_is_uncertain(codec: PublishedWindows, model: Model) -> None:
    begins = set(np.cumsum(codec.spans(TEXT)).tolist())
    uncertain = np.flatnonzero(EntropyWindows(model, 16)._entropies(TEXT) > entropy_windows.THRESHOLD)
    assert len(uncertain) > 3
    assert {i for i in uncertain.tolist() if i > 0} <= begins


def test_the_entropy_is_that_of_the_256_bytes(model: Model) -> None:
    """Of the first byte: nothing is known of the document, so only the network decides; computed here in floats."""
    from compressors.neural.model import features

    rows = features(model.shape, np.zeros(1, np.uint8))[0]
    starts, widths = model.shape.starts[:-1] + rows * model.shape.widths, model.shape.widths
    x = np.concatenate([model.table[s : s + w] for s, w in zip(starts, widths, strict=True)]).astype(np.int64)
    hidden = np.clip((model.weight1.astype(np.int64) @ x + model.bias1 + 8) >> 4, 0, 127)
    logits = (model.weight2.astype(np.int64) @ hidden + model.bias2) / 1024 * model.mixer[0, 0] / 65536
    logits, likely = np.clip(logits, -11, 11), [1.0]
    for depth in range(8):
        nodes = 1 / (1 + np.exp(-logits[1 << depth : 2 << depth]))
        likely = [share for p, q in zip(likely, nodes, strict=True) for share in (p * (1 - q), p * q)]
    expected = -sum(p * math.log2(p) for p in likely)
    assert EntropyWindows(model, 16)._entropies(b"x")[0] / 256 == pytest.approx(expected, abs=0.05)


def test_the_entropy_of_a_decision_is_right_to_a_hundredth_of_a_bit() -> None:
    p = (np.arange(4096) + 0.5) / 4096
    assert np.abs(entropy_windows._binary_entropy() / 256 + p * np.log2(p) + (1 - p) * np.log2(1 - p)).max() < 0.01


@pytest.mark.parametrize("data", [b"", b"\x00", bytes(range(256)), b"\xff\xfe" * 50])
@pytest.mark.parametrize("width", [8, 12, 16])
def test_any_bytes_have_windows(data: bytes, width: int) -> None:
    codec = PublishedWindows(width=width)
    symbols, spans = codec.encode(data), codec.spans(data)
    assert len(symbols) == len(spans)
    assert spans.sum() == len(data)
    assert (spans > 0).all()
    assert codec.vocab.size == 1 << width
    assert symbols.size == 0 or symbols.max() < codec.vocab.size


def test_it_keeps_the_laws_of_a_one_way_view(codec: PublishedWindows) -> None:
    testing.check(codec, [b"", b"a", TEXT, b"\xff\xfe" * 9], processes=True)


def test_the_old_policy_names_the_view_that_replaced_it() -> None:
    with pytest.raises(compressors.InvalidConfig, match="one-way view now: entropy-windows"):
        Neural(preset="fast", policy="entropy")
