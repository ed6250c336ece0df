"""The records of a `.pxc` file: how each is packed, and how it is read with its checksum.

docs/pxc.md describes the format byte by byte. All integers are little-endian; CRC is CRC-32
(zlib's).
A file is, in this order:

    header   _START, JSON of `Header`, CRC
    blocks   _BLOCK, CRC, payload; any number of them
    end      _END, CRC
    index    a PLACE for each block, CRC
    foot     FOOT

Only this module knows the layout of a record; the other `pxc` modules call it.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from compressors.base import Compressor
from compressors.errors import CorruptStream, FingerprintMismatch, NewerVersion

# What header, block, end record and foot begin with (the foot ends so). 0x8E is not ASCII and not the start of
# a UTF-8 character, so no text begins like a record.
MAGIC, BLOCK, END, TAIL = b"\x8ePXC", b"\x8eBLK", b"\x8eEND", b"CXP\x8e"
VERSION = 1
MAX_BLOCK = 1 << 26  # raw bytes of a block that a reader accepts; `pxc.write` makes 1 MiB
STORED, CODEC, ZSTD = 0, 1, 2  # how the payload of a block was made
METHODS = {STORED: "stored", CODEC: "codec", ZSTD: "zstd"}

_START = struct.Struct("<4sHI")  # magic, version, length of the JSON
_BLOCK = struct.Struct("<4sBIII")  # marker, method, raw length, payload length, CRC of the raw bytes
_END = struct.Struct("<4sQQ32s")  # marker, raw length, number of blocks, SHA-256 of the raw bytes
PLACE = struct.Struct("<QQ")  # file offset of a block, raw offset
FOOT = struct.Struct("<Q4s")  # file offset of the end record, tail magic
_CRC = struct.Struct("<I")
_MAX_HEADER, _MAX_DEPTH = 1 << 20, 16  # bytes of JSON, levels of nesting: a hostile header costs little

Read = Callable[[int], bytes]  # like io.RawIOBase.read: at most n bytes, b"" at the end


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the file says of the codec that wrote it."""

    codec: str
    config: dict[str, Any]
    config_version: int

    @classmethod
    def of(cls, codec: Compressor) -> Header:
        """The header that files of `codec` get."""
        config = json.loads(json.dumps(codec.stream_config()))  # as a reader will see it: tuples are lists
        return cls(codec=codec.name, config=config, config_version=codec.config_version)

    def check(self, codec: Compressor) -> None:
        """Raise `FingerprintMismatch` unless `codec` decodes what this header's codec wrote."""
        here = Header.of(codec)
        if self.codec == here.codec:
            self.check_version(here.config_version)
        if self != here:
            raise FingerprintMismatch(f"the file was written with {self}, not with {here}; give that codec")

    def check_version(self, known: int) -> None:
        """Raise `NewerVersion` if the file was written by a version of its codec that comes after the `known` one."""
        if self.config_version > known:
            raise NewerVersion(
                f"the file was written with version {self.config_version} of {self.codec}; this version of proxyc has "
                f"{known}: upgrade it"
            )

    def __str__(self) -> str:
        settings = ", ".join(f"{key}={str(value)[:12]}" for key, value in self.config.items())
        return f"{self.codec}({settings}) version {self.config_version}"


class BlockHead(NamedTuple):
    """The fixed part of a block."""

    method: int  # a key of METHODS
    raw_length: int  # bytes that the block decodes to
    length: int  # bytes of the payload
    checksum: int  # CRC-32 of the raw bytes


class End(NamedTuple):
    """The end record, with all that follows it: index and foot."""

    n_bytes: int  # raw
    n_blocks: int
    digest: bytes  # SHA-256 of the raw bytes

    @property
    def size(self) -> int:
        """Bytes from the marker of the end record to the end of the foot."""
        return END_SIZE + PLACE.size * self.n_blocks + _CRC.size + FOOT.size


def pack_header(header: Header) -> bytes:
    """The first bytes of a file."""
    text = json.dumps(vars(header), sort_keys=True, separators=(",", ":")).encode()
    return with_crc(_START.pack(MAGIC, VERSION, len(text)) + text)


def with_crc(data: bytes) -> bytes:
    """`data` and its checksum, as it stands after header, head, end record and index."""
    return data + _CRC.pack(zlib.crc32(data))


def read_header(read: Read) -> tuple[Header, int]:
    """The header and its size in bytes.

    Raises `CorruptStream` if it is not that of a `.pxc` file, is damaged, or of a newer format.
    """
    start = exactly(read, _START.size)
    magic, version, length = _START.unpack(start)
    if magic != MAGIC:
        raise CorruptStream("not a .pxc file: it does not begin with the magic number")
    if version != VERSION:
        raise CorruptStream(f".pxc format version {version}; this version of proxyc reads {VERSION}: upgrade it")
    if length > _MAX_HEADER:
        raise CorruptStream(f"a .pxc header of {length} bytes; at most {_MAX_HEADER} are allowed")
    text = exactly(read, length)
    if exactly(read, 4) != _CRC.pack(zlib.crc32(start + text)):
        raise CorruptStream("the .pxc header is damaged: its checksum differs")
    try:
        header = Header(**json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise CorruptStream(f"the .pxc header is not understood: {error}") from error
    if (type(header.codec), type(header.config), type(header.config_version)) != (str, dict, int):
        raise CorruptStream("the .pxc header is not understood: a field has the wrong type")
    # Go down one level of nesting at a time; after _MAX_DEPTH levels only plain values may be left.
    level: list[Any] = [header.config]
    for _ in range(_MAX_DEPTH):
        level = [inner for value in level for inner in (value.values() if isinstance(value, dict) else value)]
        level = [value for value in level if isinstance(value, (dict, list))]
    if level:
        raise CorruptStream(
            f"the .pxc header is not understood: its configuration is nested {_MAX_DEPTH} deep and more"
        )
    return header, _START.size + length + _CRC.size


def pack_head(head: BlockHead) -> bytes:
    """The bytes of a block before its payload."""
    return with_crc(_BLOCK.pack(BLOCK, *head))


def parse_head(data: bytes, at: int) -> BlockHead:
    """The head of a block without its marker (17 bytes). Raises `CorruptStream`; `at` is named in the message."""
    if data[-4:] != _CRC.pack(zlib.crc32(BLOCK + data[:-4])):
        raise CorruptStream(f"the block at byte {at} of the output is damaged: the checksum of its head differs")
    head = BlockHead(*_BLOCK.unpack(BLOCK + data[:-4])[1:])
    if head.method not in METHODS or head.raw_length > MAX_BLOCK or head.length > head.raw_length:
        raise CorruptStream(f"the block at byte {at} of the output is damaged: impossible lengths or method")
    return head


END_SIZE = _END.size + _CRC.size
HEAD_SIZE = _BLOCK.size  # of a block's head after its marker: the marker's 4 bytes less, the checksum's 4 more


def parse_end(record: bytes) -> End:
    """The end record (END_SIZE bytes). Raises `CorruptStream`."""
    marker, n_bytes, n_blocks, digest = _END.unpack(record[:-4])
    if marker != END or record != with_crc(record[:-4]):
        raise CorruptStream("the end record of the .pxc file is damaged; --salvage reads what is left")
    return End(n_bytes, n_blocks, digest)


def pack_end(end: End, index: bytes, at: int) -> bytes:
    """End record, index and foot, for an end record at byte `at` of the file."""
    record = _END.pack(END, *end)
    return with_crc(record) + with_crc(index) + FOOT.pack(at, TAIL)


def exactly(read: Read, n: int) -> bytes:
    """`n` bytes, or `CorruptStream` at an early end; a hostile `n` allocates no more than there is."""
    data = bytearray()
    while len(data) < n:
        piece = read(min(n - len(data), 1 << 20))
        if not piece:
            raise CorruptStream("the .pxc file is cut short; --salvage reads what is left")
        data += piece
    return bytes(data)
