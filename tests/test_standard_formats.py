"""`.gz .zst .br` are the standard formats: the ordinary tools and these codecs read each other."""

import hashlib
import shutil
import subprocess
import tracemalloc
import zlib
from io import BytesIO
from pathlib import Path

import brotli
import pytest
import zstandard

import compressors
from compressors import CorruptStream, OutputLimitExceeded, ProxycError, files
from compressors.brotli import Brotli
from compressors.gzip import Gzip
from compressors.stream_codec import INPUT_PIECE, StreamCodec
from compressors.zstd import Zstd

TEXT = "naïve — 日本語 🙂\r\n".encode() * 400
STANDARD = [Gzip(), Zstd(), Brotli()]
NOISE = hashlib.shake_256(b"noise").digest(INPUT_PIECE)


def _decompress(data: bytes, codec: StreamCodec, **options: int) -> bytes:
    out = BytesIO()
    files.decompress_stream(BytesIO(data), out, codec=codec, name="x" + codec.suffix, **options)
    return out.getvalue()


@pytest.mark.parametrize("codec", STANDARD, ids=str)
@pytest.mark.parametrize("data", [b"", b"\0", TEXT], ids=["empty", "NUL", "text"])
def test_the_ordinary_tool_agrees(codec: StreamCodec, data: bytes) -> None:
    tool = shutil.which(codec.name)
    if tool is None:
        pytest.skip(f"no {codec.name} here")
    theirs = subprocess.run([tool, "-c"], input=data, capture_output=True, check=True).stdout
    assert _decompress(theirs, codec) == data
    assert subprocess.run([tool, "-dc"], input=codec.compress(data), capture_output=True, check=True).stdout == data


@pytest.mark.parametrize("codec", STANDARD, ids=str)
def test_streams_without_a_tool_agree_with_the_library(codec: StreamCodec) -> None:
    undo = {
        "gzip": lambda x: zlib.decompress(x, 31),
        "zstd": zstandard.ZstdDecompressor().decompressobj().decompress,
        "brotli": brotli.decompress,
    }
    assert undo[codec.name](codec.compress(TEXT)) == TEXT


def test_gzip_files_carry_no_time_and_no_name() -> None:
    assert Gzip().compress(TEXT)[3:8] == bytes(5)  # FLG, MTIME (RFC 1952, section 2.3)


@pytest.mark.parametrize("codec", [Gzip(), Zstd()], ids=str)
def test_concatenated_files_are_one_file(codec: StreamCodec) -> None:
    parts = [b"first", b"", TEXT, b"\0" * 9000]
    assert _decompress(b"".join(map(codec.compress, parts)), codec) == b"".join(parts)


def test_zstd_skippable_frames_are_skipped() -> None:
    skippable = b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"user"
    assert _decompress(Zstd().compress(b"one") + skippable + Zstd().compress(b"two"), Zstd()) == b"onetwo"
    assert Zstd().decompress(skippable + Zstd().compress(b"one")) == b"one"


@pytest.mark.parametrize("extra", [b"\0", b"x", b"\xff" * 5000, brotli.compress(b"second")], ids=["0", "x", "ff", "br"])
def test_a_brotli_file_holds_one_stream(extra: bytes) -> None:
    """Whatever its length: also where what follows begins a new piece of input."""
    lengths = []
    for n in range(INPUT_PIECE - 20, INPUT_PIECE):
        coded = Brotli().compress(NOISE[:n])
        lengths.append(len(coded))
        with pytest.raises(CorruptStream):
            Brotli().decompress(coded + extra)
    assert INPUT_PIECE in lengths


def test_a_brotli_file_may_begin_like_gzip() -> None:
    """RFC 7932 gives the first bytes no fixed value: here window 2^24 and a last block of 140 bytes give 1f 8b."""
    coded = brotli.compress(bytes(range(140)), lgwin=24)
    assert coded[:2] == b"\x1f\x8b"
    assert _decompress(coded, Brotli()) == bytes(range(140))


@pytest.mark.parametrize("codec", STANDARD, ids=str)
def test_truncation_at_every_byte_is_noticed(codec: StreamCodec) -> None:
    packed = codec.compress(TEXT)
    for n in range(len(packed)):
        with pytest.raises(CorruptStream):
            _decompress(packed[:n], codec)


@pytest.mark.parametrize("codec", [Gzip(), Zstd()], ids=str)
def test_no_flipped_bit_gives_other_output(codec: StreamCodec) -> None:
    """Some bits have no meaning (the operating system in gzip); brotli has no checksum at all."""
    packed = codec.compress(TEXT)
    for bit in range(8 * len(packed)):
        bad = bytearray(packed)
        bad[bit // 8] ^= 1 << bit % 8
        try:
            assert _decompress(bytes(bad), codec) == TEXT
        except ProxycError:
            continue


@pytest.mark.parametrize("codec", STANDARD, ids=str)
def test_bombs_are_stopped(codec: StreamCodec) -> None:
    bomb = codec.compress(bytes(1 << 24))
    assert len(bomb) < 1 << 15
    with pytest.raises(OutputLimitExceeded):
        _decompress(bomb, codec, max_output=1 << 16)


@pytest.mark.parametrize("codec", [Gzip(), Brotli()], ids=str)
def test_a_bomb_does_not_fill_the_memory_first(codec: StreamCodec) -> None:
    """With brotli 100 bytes stand for 64 MiB: the limit has to bound what the library makes at once."""
    bomb = codec.compress(bytes(1 << 26))
    tracemalloc.start()
    try:
        with pytest.raises(OutputLimitExceeded):
            codec.decompress(bomb, max_output=1 << 16)
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


def test_a_dictionary_is_asked_for() -> None:
    documents = [f"record {i} of the set {i % 7}\n".encode() * 3 for i in range(2000)]
    codec = Zstd.fit(documents, dictionary_size=1024)
    packed = codec.compress(documents[0])
    assert len(packed) < len(Zstd().compress(documents[0]))
    with pytest.raises(ProxycError):
        compressors.get("zstd").decompress(packed)
    with pytest.raises(ProxycError):
        Zstd.fit(documents[1000:], dictionary_size=1200).decompress(packed)


def test_zero_padding_after_gzip_members_is_taken_as_gzip_does() -> None:
    codec = compressors.get("gzip")
    member = codec.compress(b"text")
    assert codec.decompress(member + b"\0" * 5000 + member + b"\0" * 9) == b"texttext"
    with pytest.raises(CorruptStream):
        codec.decompress(member + b"\0\0x")


def test_skippable_zstd_frames_are_skipped() -> None:
    skippable = b"\x5a\x2a\x4d\x18" + (7).to_bytes(4, "little") + b"comment"
    packed = compressors.get("zstd").compress(b"text")
    for data in (skippable + packed, packed + skippable, skippable + packed + skippable + packed):
        assert _decompress(data, Zstd()) == b"text" * data.count(packed)


def test_a_missing_dictionary_is_named(zstd_with_dictionary: Zstd) -> None:
    packed = zstd_with_dictionary.compress(b"import asyncio " * 20)
    assert zstandard.get_frame_parameters(packed).dict_id
    with pytest.raises(CorruptStream, match="--codec zstd=FILE"):
        compressors.get("zstd").decompress(packed)


def test_a_raw_dictionary_may_look_like_an_artifact(tmp_path: Path) -> None:
    """Its ninth byte is a brace, as in safetensors, but its first eight are not a length that fits."""
    lines = b'{"log": {"level": "info", "user": 1234}}' * 20
    (tmp_path / "s.json").write_bytes(lines)
    codec = compressors.parse(f"zstd={tmp_path}/s.json")
    assert codec.artifact is not None
    assert codec.artifact.arrays["dictionary"].tobytes() == lines
    for name in ("cut", "cut.pxa"):
        Zstd.fit([b"%d text " % i * 9 for i in range(900)], dictionary_size=1024).save(tmp_path / name)
    whole = (tmp_path / "cut.pxa").read_bytes()
    for name, size in (("cut", 300), ("cut.pxa", 20)):
        (tmp_path / name).write_bytes(whole[:size])
        with pytest.raises(compressors.InvalidConfig, match="not a proxyc artifact"):
            compressors.parse(f"zstd={tmp_path}/{name}")


@pytest.mark.parametrize("trained", [True, False])
def test_dictionaries_of_the_zstd_tool(zstd_with_dictionary: Zstd, tmp_path: Path, trained: bool) -> None:
    """A file that is none may be given as one, too: it is then looked at as if it stood before the text."""
    content = TEXT * 20
    if trained:
        assert zstd_with_dictionary.artifact is not None
        content = zstd_with_dictionary.artifact.arrays["dictionary"].tobytes()
    (tmp_path / "dictionary").write_bytes(content)
    codec = compressors.parse(f"zstd={tmp_path}/dictionary")
    theirs = zstandard.ZstdCompressor(dict_data=zstandard.ZstdCompressionDict(content)).compress(TEXT)
    assert codec.decompress(theirs) == TEXT
    if not trained:
        assert len(codec.compress(TEXT)) < len(Zstd().compress(TEXT))
    with pytest.raises(CorruptStream):
        Zstd().decompress(codec.compress(TEXT))
    codec.save(tmp_path / "x.pxa")
    assert compressors.load(tmp_path / "x.pxa") == codec


def test_a_window_beyond_the_limit_has_a_remedy() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=28)
    encoder = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(CorruptStream, match=r"larger than 128 MB.*--long=31"):
        Zstd().decompress(encoder.compress(TEXT) + encoder.flush())
