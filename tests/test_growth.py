"""What the neural codec does not suit: a file grows by a header, and by what is written beside each block, and no more."""

import hashlib
import io
import json
import lzma
import marshal
import struct
import sys
import zlib
from pathlib import Path

import pytest

import compressors
from compressors import files
from compressors.files import pxc

BLOCK = 10_000  # bytes; blocks of files are 2^20, and what is beside each must be 0.1 % of that


def png_like() -> bytes:
    """Chunks as in a PNG: deflated rows, each with the byte of its filter; the picture is noise over a ramp."""
    noise = hashlib.shake_128(b"picture").digest(300 * 200)
    rows = (b"\x01" + bytes((x + noise[300 * y + x]) & 255 for x in range(300)) for y in range(200))
    pixels = zlib.compress(b"".join(rows), 9)
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", 300, 200, 8, 0, 0, 0, 0), b"IDAT" + pixels, b"IEND"]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


def binary(kind: str) -> bytes:
    source = Path(json.__file__).with_name("decoder.py").read_bytes()
    if kind == "program":
        return Path(sys.executable).read_bytes()[: 4 * BLOCK]
    return {
        "noise": hashlib.shake_128(b"noise").digest(4 * BLOCK),
        "picture": png_like(),
        "compressed": lzma.compress(source) * 8,  # which repeats: worth finding
        "bytecode": marshal.dumps(compile(source, "decoder.py", "exec")) * 2,
    }[kind]


def size(codec: compressors.Compressor, data: bytes) -> int:
    packed, out = io.BytesIO(), io.BytesIO()
    files.compress_stream(codec, io.BytesIO(data), packed)
    files.decompress_stream(io.BytesIO(packed.getvalue()), out)
    assert out.getvalue() == data
    return len(packed.getvalue())


@pytest.mark.parametrize("kind", ["noise", "picture", "compressed", "bytecode", "program"])
@pytest.mark.parametrize("preset", ["best", "fast"])
def test_a_file_grows_by_its_frame_only(monkeypatch: pytest.MonkeyPatch, preset: str, kind: str) -> None:
    monkeypatch.setattr(pxc, "BLOCK_SIZE", BLOCK)
    codec, data = compressors.get("neural", preset=preset), binary(kind)
    zstd = sum(len(compressors.get("zstd").compress(data[i : i + BLOCK])) for i in range(0, len(data), BLOCK))
    frame, blocks = size(codec, b""), -(-len(data) // BLOCK)
    found = size(codec, data)
    assert found <= frame + len(data) + 45 * blocks
    assert found <= frame + 1.01 * zstd + 45 * blocks
    assert frame + 45 < 0.001 * (1 << 19)  # so that half a block more is enough for 0.1 %
