"""Every regrouping of the paper's code, lossless at every length and tail."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import compressors
from compressors import CorruptStream, FingerprintMismatch, InvalidConfig, testing
from compressors.files.pxc_reader import codec_for
from compressors.pack import Pack


@pytest.mark.parametrize("bits", [1, 3, 4, 8, 12, 16])
@pytest.mark.parametrize("inner", ["bytes", "gzip", "bpe"])
@pytest.mark.parametrize("gray", [0, 1])
def test_laws(inner, bits, gray, bpe):
    testing.check(Pack(codec=bpe if inner == "bpe" else inner, bits=bits, gray=gray))


def by_hand(symbols, width, bits):
    """The definition in words of 0 and 1."""
    text = "".join(format(symbol, f"0{width}b") for symbol in symbols)
    groups = [text[i : i + bits] for i in range(0, len(text), bits)]
    step, begin, tails = np.gcd(width, bits), 1 << bits, {}
    for n in range(step, bits, step):
        tails[n] = begin
        begin += 1 << n
    return [int(group, 2) + (0 if len(group) == bits else tails[len(group)]) for group in groups]


@given(data=st.binary(max_size=40), bits=st.integers(1, 16))
def test_symbols_equal_the_definition(data, bits):
    codec = Pack(codec="bytes", bits=bits)
    assert codec.encode(data).tolist() == by_hand(data, 8, bits)
    assert codec.decode(codec.encode(data)) == data


def test_views_of_the_paper(bpe):
    assert Pack(codec="bytes", bits=4).encode(b"\x1f").tolist() == [1, 15]
    assert Pack(codec="bytes", bits=16).encode(b"ab\0").tolist() == [0x6162, 65536]
    ids = bpe.encode(b"def main():")
    pairs = Pack(codec=bpe, bits=8).encode(b"def main():").reshape(-1, 2)
    assert (pairs[:, 0].astype(int) * 256 + pairs[:, 1]).tolist() == ids.tolist()


def test_gray_neighbours_differ_in_one_bit():
    codes = [Pack(codec="bytes", bits=8, gray=1).encode(bytes([i]))[0] for i in range(256)]
    assert sorted(codes) == list(range(256))
    assert all(bin(int(a) ^ int(b)).count("1") == 1 for a, b in itertools.pairwise(codes))


def test_spans():
    assert Pack(codec="bytes", bits=16).spans(b"abcde").tolist() == [2, 2, 1]
    assert Pack(codec="bytes", bits=4).spans(b"abc") is None
    assert Pack(codec="gzip", bits=16).spans(b"abc") is None


def test_a_cut_or_misplaced_tail_is_corrupt():
    codec = Pack(codec="bytes", bits=3)
    symbols = codec.encode(b"abcdefg").astype(np.int64)
    for bad in (symbols[:-1], symbols[::-1], symbols[1:]):
        with pytest.raises(CorruptStream):
            codec.decode(bad)


def test_settings(bpe, tmp_path):
    bpe.save(tmp_path / "b.pxa")
    codec = compressors.parse(f"pack:codec=bpe={tmp_path / 'b.pxa'},bits=8,gray=1")
    assert codec == Pack(codec=bpe, bits=8, gray=1)
    assert codec.fingerprint == Pack(codec=bpe, bits=8, gray=1).fingerprint != Pack(codec=bpe, bits=8).fingerprint
    assert compressors.get("pack", **Pack(codec="zstd:level=7", bits=16).config()).codec.level == 7
    for spec, message in (
        ("pack", "needs codec"),
        ("pack:codec=pack:codec=bytes", "another codec"),
        ("pack:codec=bytes,bits=17", "bits is 17"),
    ):
        with pytest.raises(InvalidConfig, match=message):
            compressors.parse(spec)


def test_a_file_names_the_artifact_of_the_inner_codec(bpe):
    from compressors.files.pxc import Header

    header = Header.of(Pack(codec=bpe))
    assert codec_for(header, Pack(codec=bpe)) == Pack(codec=bpe)
    with pytest.raises(FingerprintMismatch, match=bpe.artifact.fingerprint[:12]):
        codec_for(header)
