"""The `.pxc` file: a header that says how to decode, independent checksummed blocks, an index, a checksum of the whole.

docs/pxc.md describes the format byte by byte. All integers are little-endian; CRC is CRC-32 (zlib's).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from compressors.base import Compressor, check_output
from compressors.errors import CorruptStream, FingerprintMismatch, ProxycError, VerifyError

MAGIC, BLOCK, END, TAIL = b"\x8ePXC", b"\x8eBLK", b"\x8eEND", b"CXP\x8e"
VERSION = 1
BLOCK_SIZE = 1 << 20  # large enough for ratio, small enough for memory; a block is held raw and compressed
MAX_BLOCK = 1 << 26  # what a reader accepts
STORED, CODEC, ZSTD = 0, 1, 2
METHODS = {STORED: "stored", CODEC: "codec", ZSTD: "zstd"}

_START = struct.Struct("<4sHI")  # magic, version, length of the JSON
_BLOCK = struct.Struct("<4sBIII")  # marker, method, raw length, payload length, CRC of the raw bytes
_END = struct.Struct("<4sQQ32s")  # marker, raw length, number of blocks, SHA-256 of the raw bytes
_PLACE = struct.Struct("<QQ")  # file offset of a block, raw offset
_FOOT = struct.Struct("<Q4s")  # file offset of the end record, tail magic
_CRC = struct.Struct("<I")
_MAX_HEADER, _MAX_DEPTH = 1 << 20, 16

Read = Callable[[int], bytes]  # like io.RawIOBase.read: at most n bytes, b"" at the end


@dataclass(frozen=True, kw_only=True)
class Header:
    """What the file says of the codec that wrote it."""

    codec: str
    config: dict[str, Any]
    config_version: int

    @classmethod
    def of(cls, codec: Compressor) -> Header:
        config = json.loads(json.dumps(codec.stream_config()))  # as a reader will see it: tuples are lists
        return cls(codec=codec.name, config=config, config_version=codec.config_version)

    def check(self, codec: Compressor) -> None:
        """Raise `FingerprintMismatch` unless `codec` decodes what this header's codec wrote."""
        here = Header.of(codec)
        if self != here:
            raise FingerprintMismatch(f"the file was written with {self}, not with {here}; give that codec")

    def __str__(self) -> str:
        settings = ", ".join(f"{key}={str(value)[:12]}" for key, value in self.config.items())
        return f"{self.codec}({settings}) version {self.config_version}"


class BlockHead(NamedTuple):
    """The fixed part of a block."""

    method: int
    raw_length: int
    length: int
    checksum: int


# -- writing -----------------------------------------------------------------------------------------------------------


def write(
    codec: Compressor, pieces: Iterable[bytes], *, threads: int = 1, verify: bool = False, block_size: int = 0
) -> Iterator[bytes]:
    """The bytes of a `.pxc` file. Blocks of `block_size` bytes (0: BLOCK_SIZE; at most MAX_BLOCK) are compressed by
    `threads` at once; the bytes do not depend on how many.

    verify: decode every block before it is written and raise `VerifyError` on a difference (always on where the codec
    asks for it).
    """
    header = pack_header(Header.of(codec))
    yield header
    offset, n_bytes, digest, index = len(header), 0, hashlib.sha256(), bytearray()
    for raw, block in _in_order(
        codec, _blocks(pieces, min(block_size or BLOCK_SIZE, MAX_BLOCK)), threads, verify or codec.verify_on_write
    ):
        index += _PLACE.pack(offset, n_bytes)
        yield block
        digest.update(raw)
        offset, n_bytes = offset + len(block), n_bytes + len(raw)
    end = _END.pack(END, n_bytes, len(index) // _PLACE.size, digest.digest())
    yield _with_crc(end) + _with_crc(bytes(index)) + _FOOT.pack(offset, TAIL)


def pack_header(header: Header) -> bytes:
    """The first bytes of a file."""
    text = json.dumps(vars(header), sort_keys=True, separators=(",", ":")).encode()
    return _with_crc(_START.pack(MAGIC, VERSION, len(text)) + text)


def _with_crc(data: bytes) -> bytes:
    return data + _CRC.pack(zlib.crc32(data))


def _in_order(codec: Compressor, blocks: Iterator[bytes], threads: int, verify: bool) -> Iterator[tuple[bytes, bytes]]:
    """(raw, packed) of every block in order, a few at a time."""
    with _pool(threads) as pool:
        waiting: list[tuple[bytes, Future[bytes]]] = []
        for raw in blocks:
            waiting.append((raw, pool.submit(_pack_block, codec, raw, verify)))
            if len(waiting) > 2 * threads:
                first, packed = waiting.pop(0)
                yield first, packed.result()
        for raw, packed in waiting:
            yield raw, packed.result()


@contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads for blocks, also where it is one: the caller can be interrupted while a block takes its ten seconds.

    Blocks that have not begun when the caller fails or is interrupted are dropped.
    """
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _pack_block(codec: Compressor, raw: bytes, verify: bool) -> bytes:
    """The codec's payload, or zstd's, or the raw bytes: the first that is smaller than what follows it."""
    payload, method = codec.compress(raw), CODEC
    if verify and codec.decompress(payload, max_output=len(raw)) != raw:
        raise VerifyError(
            f"{codec.name}: a block of {len(raw)} bytes does not decode to what was compressed; please report it"
        )
    if len(payload) >= len(raw):
        payload, method = _zstd().compress(raw), ZSTD
    if len(payload) >= len(raw):
        payload, method = raw, STORED
    return _with_crc(_BLOCK.pack(BLOCK, method, len(raw), len(payload), zlib.crc32(raw))) + payload


def _zstd() -> Compressor:
    from compressors.zstd import Zstd

    return Zstd()


def _blocks(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Regroup `pieces` of any size into blocks of `size`, so that the file does not depend on how it was read."""
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        while len(buffer) >= size:
            yield bytes(buffer[:size])
            del buffer[:size]
    if buffer:
        yield bytes(buffer)


# -- reading -----------------------------------------------------------------------------------------------------------


def read_header(read: Read) -> tuple[Header, int]:
    """The header and its size in bytes. Raises `CorruptStream` if this is no `.pxc` file, is damaged, or of a newer format."""
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
    level: list[Any] = [header.config]
    for _ in range(_MAX_DEPTH):
        level = [inner for value in level for inner in (value.values() if isinstance(value, dict) else value)]
        level = [value for value in level if isinstance(value, (dict, list))]
    if level:
        raise CorruptStream(
            f"the .pxc header is not understood: its configuration is nested {_MAX_DEPTH} deep and more"
        )
    return header, _START.size + length + _CRC.size


def read_blocks(
    codec: Compressor, read: Read, offset: int, *, threads: int = 1, max_output: int | None = None
) -> Iterator[bytes]:
    """The raw blocks that follow a header of `offset` bytes, each checked against its checksum, the whole against its own."""
    digest, n_bytes, index = hashlib.sha256(), 0, bytearray()
    marker = exactly(read, 4)
    with _pool(threads) as pool:
        while marker == BLOCK:
            # As many blocks as there are threads are decoded at once, and no more are held.
            batch: list[Future[bytes]] = []
            while marker == BLOCK and len(batch) < threads:
                head = parse_head(exactly(read, HEAD_SIZE), n_bytes)
                index += _PLACE.pack(offset, n_bytes)
                check_output(codec.name, n_bytes + head.raw_length, max_output)
                batch.append(pool.submit(unpack_block, codec, head, exactly(read, head.length), n_bytes))
                offset, n_bytes = offset + _BLOCK.size + 4 + head.length, n_bytes + head.raw_length
                marker = exactly(read, 4)
            for raw in (future.result() for future in batch):
                digest.update(raw)
                yield raw
    if marker != END:
        raise CorruptStream(f"after {n_bytes} bytes of output stands neither a block nor the end: the file is damaged")
    end = _END.pack(END, n_bytes, len(index) // _PLACE.size, digest.digest())
    expected = _with_crc(end) + _with_crc(bytes(index)) + _FOOT.pack(offset, TAIL)
    if exactly(read, len(expected) - 4) != expected[4:]:
        raise CorruptStream(
            f"the file is damaged: {n_bytes} bytes were read, but length, checksum or index of the whole differ"
        )
    if read(1):
        raise CorruptStream("bytes follow the end of the .pxc file")


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


def unpack_block(codec: Compressor, head: BlockHead, payload: bytes, at: int) -> bytes:
    """The raw bytes of a block. Raises `CorruptStream` if they do not have the recorded length and checksum."""
    damaged = f"the block at byte {at} of the output is damaged"
    try:
        if head.method != STORED:
            payload = (codec if head.method == CODEC else _zstd()).decompress(payload, max_output=head.raw_length)
    except CorruptStream as error:
        raise CorruptStream(f"{damaged}: {error}") from error
    except (ProxycError, MemoryError):
        raise
    except Exception as error:  # a plugin may say it in any way
        raise CorruptStream(f"{damaged}: {codec.name} says {error!r}") from error
    if len(payload) != head.raw_length or zlib.crc32(payload) != head.checksum:
        raise CorruptStream(f"{damaged}: its checksum differs")
    return payload


def read_index(tail: Read, size: int, seek: Callable[[int], object]) -> list[tuple[int, int]]:
    """(file offset, raw offset) of every block, then of the end record, from the end of a seekable file of `size` bytes."""
    if size < _FOOT.size:
        raise CorruptStream("the .pxc file is cut short; --salvage reads what is left")
    seek(size - _FOOT.size)
    end_at, magic = _FOOT.unpack(exactly(tail, _FOOT.size))
    if magic != TAIL or end_at > size - _FOOT.size:
        raise CorruptStream(
            "the .pxc file has no index at its end: it is cut short or damaged; --salvage reads what is left"
        )
    seek(end_at)
    n_bytes, n_blocks = parse_end(exactly(tail, END_SIZE))
    if n_blocks * _PLACE.size > size:
        raise CorruptStream(f"the end record of the .pxc file speaks of {n_blocks} blocks, for which it is too small")
    index = exactly(tail, n_blocks * _PLACE.size + 4)
    if index != _with_crc(index[:-4]):
        raise CorruptStream("the index of the .pxc file is damaged; --salvage reads what is left")
    places = [*_PLACE.iter_unpack(index[:-4]), (end_at, n_bytes)]
    if any(a[0] >= b[0] or a[1] > b[1] for a, b in itertools.pairwise(places)):
        raise CorruptStream("the index of the .pxc file is out of order")
    return places


def parse_end(record: bytes) -> tuple[int, int]:
    """Raw bytes and number of blocks, from the end record (END_SIZE bytes). Raises `CorruptStream`."""
    marker, n_bytes, n_blocks, _ = _END.unpack(record[:-4])
    if marker != END or record != _with_crc(record[:-4]):
        raise CorruptStream("the end record of the .pxc file is damaged; --salvage reads what is left")
    return n_bytes, n_blocks


def exactly(read: Read, n: int) -> bytes:
    """`n` bytes, or `CorruptStream` at an early end; a hostile `n` allocates no more than there is."""
    data = bytearray()
    while len(data) < n:
        piece = read(min(n - len(data), 1 << 20))
        if not piece:
            raise CorruptStream("the .pxc file is cut short; --salvage reads what is left")
        data += piece
    return bytes(data)
