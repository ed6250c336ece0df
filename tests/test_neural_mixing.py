"""The mixing of the neural streams: its start, its contexts, its memory, and the coder of before."""

from dataclasses import replace

import numpy as np
import pytest

import compressors
from compressors.neural import first_coder, fit_mixing, histories, mixing
from compressors.neural import model as models

TEXT = b"def area(width, height):\n    return width * height\n\n\nclass Box:\n    def __init__(self, width):\n" * 3


@pytest.fixture(scope="module", params=["best", "fast"])
def codec(request: pytest.FixtureRequest) -> compressors.Compressor:
    return compressors.get("neural", preset=request.param)


def test_streams_of_before_are_read_and_not_written(codec: compressors.Compressor) -> None:
    """Method 0 is the first coder's. The frozen ones are in test_golden."""
    model = codec._model
    old = first_coder.encode(model, TEXT)
    assert old is not None
    length = 4 * len(TEXT)
    assert codec.decompress(bytes([length & 127 | 128, length >> 7]) + old) == TEXT
    assert codec.compress(TEXT)[0] & 3 == 3


def test_a_network_of_before_takes_the_start_of_the_package() -> None:
    """And one that brings its start does not."""
    artifact = compressors.get("neural", preset="fast").artifact
    assert not any(name.startswith("mix_") for name in artifact.arrays)
    model = models.Model.of(artifact.settings, artifact.arrays)
    assert not model.own_start
    plain = mixing.Start.plain(mixing.LAYOUTS["fast"])
    other = models.Model.of(artifact.settings, {**artifact.arrays, **plain.arrays()})
    assert other.own_start
    assert model.encode(TEXT) != other.encode(TEXT)
    damaged = {**artifact.arrays, **plain.arrays(), "mix_final": plain.final[:3]}
    with pytest.raises(compressors.InvalidConfig, match="mix_final"):
        models.Model.of(artifact.settings, damaged)


def test_a_start_is_fitted_on_documents() -> None:
    artifact = compressors.get("neural", preset="fast").artifact
    plain = mixing.Start.plain(mixing.LAYOUTS["fast"])
    model = models.Model.of(artifact.settings, {**artifact.arrays, **plain.arrays()})
    document = b"".join(b"item %d of %d\n" % (i, i * i) for i in range(300))
    fitted = replace(model, start=fit_mixing.fit(model, [document] * 6, 20_000))
    assert len(fitted.encode(document) or b"") < len(model.encode(document) or b"")
    assert fitted.decode(fitted.encode(document) or b"", len(document)) == document
    assert fit_mixing.fit(model, [], 100) is model.start


def test_binary_data_has_contexts_of_its_own() -> None:
    """Records of 12 bytes: columns are seen, and the flag is in the stream."""
    rows = np.arange(3000, dtype="<u4")
    data = np.stack([rows * 37 % 501, rows // 7, rows * rows % 257], 1).astype("<u4").tobytes()
    assert mixing.is_binary(data)
    assert not mixing.is_binary(TEXT)
    assert not mixing.is_binary(b"")
    model = compressors.get("neural", preset="best")._model
    sizes = [len(model.encode(data, binary) or data) for binary in (False, True)]
    assert sizes[1] < sizes[0]


def test_damaged_streams_are_refused_or_bounded(codec: compressors.Compressor) -> None:
    """A stream has no checksum (files have): what is cut or flipped decodes to as many bytes, or is refused."""
    stream = codec.compress(TEXT)
    for damaged in (stream[:-3], stream[:4] + bytes([stream[4] ^ 16]) + stream[5:], stream + b"x"):
        assert len(codec.decompress(damaged)) == len(TEXT)
    with pytest.raises(compressors.OutputLimitExceeded):
        codec.decompress(stream, max_output=len(TEXT) - 1)
    huge = b"\xff\xff\xff\xff\xff\x7f"  # 2^39 bytes of the coder in none
    with pytest.raises(compressors.CorruptStream, match="damaged"):
        codec.decompress(huge)


@pytest.mark.parametrize("n_bytes", [0, 1000, 1 << 20, 1 << 26])
def test_memory_grows_with_the_document_and_is_bounded(n_bytes: int) -> None:
    """Pages that are not touched cost nothing, so this is the most."""
    for name, layout in mixing.LAYOUTS.items():
        model = compressors.get("neural", preset=name)._model
        memory = model.parts(n_bytes, False)[5]
        size = sum(part.nbytes for part in memory)
        assert size <= 400_000 + min(160 * n_bytes, 100_000_000), layout
        assert memory.histories.ctypes.data % 64 == 0


def test_bit_histories_are_closed() -> None:
    after, names = histories.transitions().tolist(), histories.states()
    assert len(names) == len(set(names)) == 251
    assert max(after) < len(names)
    assert histories.states()[after[1]] == (0, 1, 1)
    for bit in (0, 1):  # many of one bit, then one of the other: the first are discounted
        state = 0
        for _ in range(60):
            state = after[2 * state + bit]
        assert names[state][bit] == 40
        zeros, ones, last = names[after[2 * state + 1 - bit]]
        assert (max(zeros, ones), min(zeros, ones), last) == (7, 1, 1 - bit)
