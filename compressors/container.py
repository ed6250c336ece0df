"""The `.pxc` file: a header that says how to decode, independent checksummed blocks, a checksum of the whole.

All integers little-endian.

    header   4 bytes "\\x8ePXC" · u16 format version (1) · u32 length of the JSON · JSON · u32 CRC-32 of the JSON
             JSON: {"codec": name, "config": {...}, "config_version": n}; an artifact stands as its fingerprint
    block    u8 1 · u8 method (0 stored, 1 codec) · u32 raw length · u32 payload length · u32 CRC-32 of the raw bytes · payload
    end      u8 0 · u64 raw length of all blocks · 32 bytes SHA-256 of all raw bytes
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from compressors.base import Compressor, check_output
from compressors.errors import CorruptStream, FingerprintMismatch

MAGIC = b"\x8ePXC"
VERSION = 1
BLOCK_SIZE = 1 << 20  # large enough for ratio, small enough for memory; a block is held raw and compressed
_STORED, _CODEC = 0, 1
_HEADER, _BLOCK, _END = struct.Struct("<HI"), struct.Struct("<BIII"), struct.Struct("<Q32s")
_MAX_HEADER = 1 << 20

Read = Callable[[int], bytes]  # like io.RawIOBase.read: at most n bytes, b"" at the end


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the file says of the codec that wrote it."""

    codec: str
    config: dict[str, Any]
    config_version: int

    @classmethod
    def of(cls, codec: Compressor) -> Header:
        return cls(codec=codec.name, config=codec.config(), config_version=codec.config_version)

    def check(self, codec: Compressor) -> None:
        """Raise `FingerprintMismatch` unless `codec` decodes what this header's codec wrote."""
        here = Header.of(codec)
        if self != here:
            raise FingerprintMismatch(
                f"the file was written with {self._says()}, not with {here._says()}; give that codec"
            )

    def _says(self) -> str:
        settings = ", ".join(f"{key}={str(value)[:12]}" for key, value in self.config.items())
        return f"{self.codec}({settings}) version {self.config_version}"


def write(codec: Compressor, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of a `.pxc` file; a block that the codec does not shrink is stored."""
    text = json.dumps(vars(Header.of(codec)), sort_keys=True, separators=(",", ":")).encode()
    yield MAGIC + _HEADER.pack(VERSION, len(text)) + text + struct.pack("<I", zlib.crc32(text))
    digest, n_bytes = hashlib.sha256(), 0
    for raw in _blocks(pieces):
        payload, method = codec.compress(raw), _CODEC
        if len(payload) >= len(raw):
            payload, method = raw, _STORED
        yield b"\1" + _BLOCK.pack(method, len(raw), len(payload), zlib.crc32(raw)) + payload
        digest.update(raw)
        n_bytes += len(raw)
    yield b"\0" + _END.pack(n_bytes, digest.digest())


def read_header(read: Read) -> Header:
    """Read the header. Raises `CorruptStream` if this is no `.pxc` file, is damaged, or of a newer format."""
    if _exactly(read, 4) != MAGIC:
        raise CorruptStream("not a .pxc file: it does not begin with the magic number")
    version, length = _HEADER.unpack(_exactly(read, _HEADER.size))
    if version != VERSION:
        raise CorruptStream(f".pxc format version {version}; this version of proxyc reads {VERSION}: upgrade it")
    if length > _MAX_HEADER:
        raise CorruptStream(f"a .pxc header of {length} bytes; at most {_MAX_HEADER} are allowed")
    text = _exactly(read, length)
    if _exactly(read, 4) != struct.pack("<I", zlib.crc32(text)):
        raise CorruptStream("the .pxc header is damaged: its checksum differs")
    try:
        header = Header(**json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise CorruptStream(f"the .pxc header is not understood: {error}") from error
    kinds = (type(header.codec), type(header.config), type(header.config_version))
    if kinds != (str, dict, int) or not isinstance(header.config.get("artifact", ""), (str, type(None))):
        raise CorruptStream("the .pxc header is not understood: a field has the wrong type")
    return header


def read_blocks(codec: Compressor, read: Read, *, max_output: int | None = None) -> Iterator[bytes]:
    """The raw blocks that follow the header, each checked against its checksum, the whole against its own."""
    digest, n_bytes = hashlib.sha256(), 0
    while (marker := _exactly(read, 1)) == b"\1":
        method, raw_length, length, checksum = _BLOCK.unpack(_exactly(read, _BLOCK.size))
        if method not in (_STORED, _CODEC) or raw_length > BLOCK_SIZE or length > raw_length:
            raise CorruptStream(f"the block at byte {n_bytes} of the output is damaged: impossible lengths or method")
        payload = _exactly(read, length)
        raw = payload if method == _STORED else codec.decompress(payload, max_output=raw_length)
        if len(raw) != raw_length or zlib.crc32(raw) != checksum:
            raise CorruptStream(f"the block at byte {n_bytes} of the output is damaged: its checksum differs")
        n_bytes += len(raw)
        check_output(codec.name, n_bytes, max_output)
        digest.update(raw)
        yield raw
    if marker != b"\0":
        raise CorruptStream(f"after {n_bytes} bytes of output stands neither a block nor the end: the file is damaged")
    total, expected = _END.unpack(_exactly(read, _END.size))
    if total != n_bytes or expected != digest.digest():
        raise CorruptStream(
            f"the file is damaged: {n_bytes} bytes were read, but length or checksum of the whole differ"
        )
    if read(1):
        raise CorruptStream("bytes follow the end of the .pxc file")


def _blocks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Regroup `pieces` of any size into blocks of BLOCK_SIZE, so that the file does not depend on how it was read."""
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        while len(buffer) >= BLOCK_SIZE:
            yield bytes(buffer[:BLOCK_SIZE])
            del buffer[:BLOCK_SIZE]
    if buffer:
        yield bytes(buffer)


def _exactly(read: Read, n: int) -> bytes:
    data = bytearray()
    while len(data) < n:
        piece = read(n - len(data))
        if not piece:
            raise CorruptStream("the .pxc file is cut short")
        data += piece
    return bytes(data)
