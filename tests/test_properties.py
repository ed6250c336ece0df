"""Round trips on whatever Hypothesis finds: bytes, and text biased to what Unicode makes hard."""

from io import BytesIO

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from compressors import Compressor, CorruptStream, files
from compressors.files import pxc
from compressors.stream_codec import StreamCodec

# Repetition is what compressors look for, and uniform bytes hardly ever repeat.
repetitive = st.builds(lambda part, n: part * n, st.binary(min_size=1, max_size=9), st.integers(1, 300))
data_of_any_kind = st.one_of(
    st.binary(max_size=400),
    repetitive,
    st.lists(st.one_of(repetitive, st.binary(max_size=20)), max_size=5).map(b"".join),
)
# Combining marks, joiners, letters that grow when their case changes, line separators, a BOM, the last code point.
hard = st.sampled_from(
    "\u0301\u200d\ufeff\u2028\u0085\u00a0\u3000\u017f\u00df\u0130\u0149한🙂\U0010ffff\0'\r\n\t I'LL 12 ١٢"
)
unicode_text = st.lists(
    st.one_of(hard, st.characters(exclude_categories=["Cs"]), st.sampled_from(" \nae0'")), max_size=80
)


@given(data=data_of_any_kind)
def test_symbols_round_trip(codec: Compressor, data: bytes) -> None:
    symbols = codec.encode(data)
    assert symbols.dtype == codec.vocab.dtype
    assert codec.decode(symbols) == data


@given(text=unicode_text.map("".join))
def test_text_round_trips_in_every_encoding(codec: Compressor, text: str) -> None:
    for data in (text.encode(), text.encode("utf-16-le"), text.encode()[1:]):
        assert codec.decode(codec.encode(data)) == data
        assert codec.decompress(codec.compress(data)) == data


@given(data=data_of_any_kind)
def test_compressed_bytes_round_trip(codec: Compressor, data: bytes) -> None:
    assert codec.decompress(codec.compress(data), max_output=len(data)) == data


@given(data=data_of_any_kind)
def test_spans_cover_the_bytes(codec: Compressor, data: bytes) -> None:
    spans = codec.spans(data)
    assert spans is None or (len(spans) == len(codec.encode(data)) and int(spans.sum()) == len(data))


@given(batch=st.lists(st.binary(max_size=40), max_size=6), threads=st.integers(1, 3))
def test_a_batch_equals_one_by_one(codec: Compressor, batch: list[bytes], threads: int) -> None:
    ragged = codec.encode_batch(batch, threads=threads)
    assert len(ragged) == len(batch)
    for row, data in zip(ragged, batch, strict=True):
        np.testing.assert_array_equal(row, codec.encode(data))


@given(data=data_of_any_kind)
def test_files_round_trip(codec: Compressor, data: bytes) -> None:
    packed, out = BytesIO(), BytesIO()
    files.compress_stream(codec, BytesIO(data), packed)
    files.decompress_stream(BytesIO(packed.getvalue()), out, codec=codec, name="x" + codec.suffix)
    assert out.getvalue() == data


@given(data=data_of_any_kind)
def test_containers_round_trip(codec: Compressor, data: bytes) -> None:
    """`.pxc` takes every codec, also those that write another file format."""
    source = BytesIO(b"".join(pxc.write(codec, [data])))
    header, size = pxc.read_header(source.read)
    header.check(codec)
    assert b"".join(pxc.read_blocks(codec, source.read, size)) == data


@given(data=st.binary(max_size=200))
def test_bytes_of_nobody_decode_or_raise(codec: Compressor, data: bytes) -> None:
    for undo in (
        codec.decompress,
        lambda x, max_output: codec.decode(np.frombuffer(x, np.uint8), max_output=max_output),
    ):
        try:
            assert len(undo(data, max_output=4096)) <= 4096
        except CorruptStream:
            assert type(codec).name != "bytes"


@given(pieces=st.lists(st.binary(max_size=60), max_size=8))
def test_a_file_does_not_depend_on_how_it_was_read(codec: Compressor, pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    if isinstance(codec, StreamCodec):
        assert codec.decompress(b"".join(codec.compress_stream(pieces))) == data
    else:
        assert list(pxc.write(codec, pieces)) == list(pxc.write(codec, [data]))
