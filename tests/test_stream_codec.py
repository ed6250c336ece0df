"""Incremental decoders give all their output, in parts, whatever the ratio and the pieces of input."""

import hashlib
import struct
import tracemalloc

import pytest
import zstandard

from compressors.brotli import Brotli
from compressors.gzip import Gzip
from compressors.stream_codec import INPUT_PIECE, OUTPUT_PART, StreamCodec
from compressors.zstd import Zstd

STANDARD = [Gzip(), Zstd(), Brotli()]
NOISE = hashlib.shake_256(b"noise").digest(INPUT_PIECE)


def zeros_of_zstd(n_blocks: int) -> bytes:
    """A frame of `n_blocks` blocks, 4 bytes each, that stand for 128 KiB of zeros each; RFC 8878, 3.1.1.2."""
    blocks = [struct.pack("<I", (i == n_blocks - 1) | 1 << 1 | 1 << 20)[:3] + b"\0" for i in range(n_blocks)]
    return b"\x28\xb5\x2f\xfd\0\x38" + b"".join(blocks)


EXPANDING = {
    "zeros": bytes(5_000_000),
    "records": b'{"level": "info", "user": 1234}\n' * 60_000,
    "UTF-16": "naïve — 日本語 🙂".encode("utf-16") * 40_000,
    "noise first": NOISE * 4 + bytes(3_000_000),
    "noise last": bytes(3_000_000) + NOISE * 4,
}


@pytest.mark.parametrize("codec", [Gzip(level=9), Zstd(), Zstd(level=19), Brotli(), Brotli(quality=9)], ids=str)
@pytest.mark.parametrize("name", EXPANDING)
def test_text_that_expands_a_thousand_times_comes_back_whole(codec: StreamCodec, name: str) -> None:
    """The decoder still holds output when it has taken all its input: 2 MB and more with brotli."""
    data = EXPANDING[name]
    packed = codec.compress(data)
    assert codec.decompress(packed) == data
    assert codec.decode(codec.encode(data)) == data
    for size in (1, 5, 1000, 70_000):
        if len(packed) // size < 10_000:
            pieces = (packed[at : at + size] for at in range(0, len(packed), size))
            assert b"".join(codec.decompress_stream(pieces)) == data


@pytest.mark.parametrize("codec", STANDARD, ids=str)
@pytest.mark.parametrize("limit", [OUTPUT_PART - 1, OUTPUT_PART, OUTPUT_PART + 1, 2 * OUTPUT_PART, 3 * OUTPUT_PART])
def test_output_may_end_where_a_part_of_it_does(codec: StreamCodec, limit: int) -> None:
    data = bytes(limit)
    assert codec.decompress(codec.compress(data), max_output=limit) == data
    if codec.frames is None:
        assert codec.decompress(codec.compress(data) * 2) == data * 2


@pytest.mark.parametrize("codec", STANDARD, ids=str)
def test_a_gigabyte_of_zeros_passes_through_little_memory(codec: StreamCodec) -> None:
    """Whole, it is a hundred times the limit; that is 128 MB here, of zstd the densest frame there can be."""
    n_bytes = 1 << 27
    zero = bytes(1 << 20)
    tracemalloc.start()
    try:
        packed = b"".join(codec.compress_stream(zero for _ in range(n_bytes >> 20)))
        if codec.name == "zstd":
            packed = zeros_of_zstd(n_bytes >> 17)
        assert sum(map(len, codec.decompress_stream([packed]))) == n_bytes
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("message", ["Allocation error : not enough memory", "", "Error -4 while decompressing"])
def test_a_lack_of_memory_is_not_taken_for_damage(monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    class Poor:
        eof, unused_data, has_more = False, b"", False

        def decompress(self, data: bytes, /) -> bytes:
            raise zstandard.ZstdError(message) if message else MemoryError

    monkeypatch.setattr(Gzip, "file_decoder", lambda _: Poor())
    with pytest.raises(MemoryError):
        Gzip().decompress(b"x")
