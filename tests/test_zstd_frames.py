"""One zstd frame at a time, in parts: the input is cut where the library would."""

import gc
import random

import zstandard

from compressors.zstd_frames import FrameDecoder


def test_frames_of_every_form_are_cut_where_the_library_cuts_them() -> None:
    """Blocks of all kinds, flushed anywhere; with and without size, checksum, magic number; in pieces of any size."""
    drawn = random.Random(0)
    for _ in range(60):
        magicless = drawn.random() < 0.3
        format_ = zstandard.FORMAT_ZSTD1_MAGICLESS if magicless else zstandard.FORMAT_ZSTD1
        parts = [
            drawn.choice([drawn.randbytes, bytes, lambda n: b"ab" * n])(drawn.choice([0, 1, 9, 300, 140_000, 700_000]))
            for _ in range(drawn.randrange(5))
        ]
        data = b"".join(parts)
        chosen = zstandard.ZstdCompressionParameters(
            compression_level=drawn.choice([-5, 1, 3, 13]),
            write_checksum=drawn.random() < 0.5, write_content_size=drawn.random() < 0.5, format=format_,
        )  # fmt: skip
        encoder = zstandard.ZstdCompressor(compression_params=chosen)
        flushing = encoder.compressobj(size=drawn.choice([-1, len(data)]))
        packed = b"".join(flushing.compress(part) + flushing.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK) for part in parts)
        packed += flushing.flush()
        follows = drawn.randbytes(drawn.randrange(9))
        decoder = FrameDecoder(zstandard.ZstdDecompressor(format=format_), has_magic=not magicless)
        out, at, size = b"", 0, max(drawn.choice([1, 2, 7, 1000, 1 << 20]), len(packed) // 2000)
        while not decoder.eof:
            if decoder.has_more:
                out += decoder.decompress(b"")
            else:
                assert at < len(packed)
                out += decoder.decompress((packed + follows)[at : at + size])
                at += size
        assert out == data
        assert decoder.unused_data + (packed + follows)[at:] == follows


def test_decoders_go_when_nobody_holds_them() -> None:
    """They hold a window each, and a `.pxc` file makes one for each of its blocks: 1 GB of zeros took 254 MB."""
    gc.collect()
    gc.disable()
    try:
        packed = zstandard.compress(b"text" * 1000)
        for _ in range(10):
            decoder = FrameDecoder(zstandard.ZstdDecompressor())
            assert decoder.decompress(packed) == b"text" * 1000
            assert decoder.another().decompress(packed) == b"text" * 1000
        del decoder
        assert not [found for found in gc.get_objects() if type(found) is FrameDecoder]
    finally:
        gc.enable()
