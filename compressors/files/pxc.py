"""Writing a `.pxc` file, and reading it from one end to the other.

The layout: a header that says how to decode, independent checksummed blocks, an end record with the
checksum of the whole, an index of the blocks, a foot that says where the end record is.
`pxc_format` has
the records byte by byte. `whole` calls `write` and `read_blocks`; `pxc_reader` uses `unpack_block`.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from compressors.base import Compressor, check_output
from compressors.errors import CorruptStream, ProxycError, VerifyError
from compressors.files.pxc_format import (
    BLOCK,
    CODEC,
    END,
    END_SIZE,
    HEAD_SIZE,
    MAGIC,
    MAX_BLOCK,
    METHODS,
    PLACE,
    STORED,
    TAIL,
    VERSION,
    ZSTD,
    BlockHead,
    End,
    Header,
    Read,
    exactly,
    pack_end,
    pack_head,
    pack_header,
    parse_end,
    parse_head,
    read_header,
)
from compressors.files.pxc_index import read_index

BLOCK_SIZE = 1 << 20  # large enough for ratio, small enough for memory; a block is held raw and compressed


# -- writing -------------------------------------------------------------------------------------------------------------


def write(
    codec: Compressor, pieces: Iterable[bytes], *, threads: int = 1, verify: bool = False, block_size: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Iterator[bytes]:  # fmt: skip
    """The bytes of a `.pxc` file. Blocks are compressed by `threads` at once; the bytes do not depend on how many.

    block_size: bytes of input in each, at most MAX_BLOCK; 0: BLOCK_SIZE.

    verify: decode every block before it is written and raise `VerifyError` on a difference (always on where the codec
    asks for it). `progress` is told the bytes of each block that is done.
    """
    header = pack_header(Header.of(codec))
    yield header
    # `offset` counts bytes of the file, `n_bytes` raw bytes: one pair of them for each block is the
    # index.
    offset, n_bytes, digest, index = len(header), 0, hashlib.sha256(), bytearray()
    for raw, block in _in_order(
        codec, _blocks(pieces, min(block_size or BLOCK_SIZE, MAX_BLOCK)), threads, verify or codec.verify_on_write
    ):
        index += PLACE.pack(offset, n_bytes)
        yield block
        digest.update(raw)
        offset, n_bytes = offset + len(block), n_bytes + len(raw)
        # `bool` stands in for no progress: it takes a number and does nothing.
        (progress or bool)(len(raw))
    yield pack_end(End(n_bytes, len(index) // PLACE.size, digest.digest()), bytes(index), offset)


def _in_order(codec: Compressor, blocks: Iterator[bytes], threads: int, verify: bool) -> Iterator[tuple[bytes, bytes]]:
    """(raw, packed) of every block in order, a few at a time."""
    with _pool(threads) as pool:
        waiting: list[tuple[bytes, Future[bytes]]] = []
        for raw in blocks:
            waiting.append((raw, pool.submit(_pack_block, codec, raw, verify)))
            # Two blocks a thread keep every thread busy while the oldest block is written.
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
    # At worst a block grows by its head: raw bytes are stored where neither codec makes them
    # smaller.
    payload, method = codec.compress(raw), CODEC
    if verify and codec.decompress(payload, max_output=len(raw)) != raw:
        raise VerifyError(
            f"{codec.name}: a block of {len(raw)} bytes does not decode to what was compressed; please report it"
        )
    if len(payload) >= len(raw):
        payload, method = _zstd().compress(raw), ZSTD
    if len(payload) >= len(raw):
        payload, method = raw, STORED
    return pack_head(BlockHead(method, len(raw), len(payload), zlib.crc32(raw))) + payload


def _zstd() -> Compressor:
    """The codec of blocks that the file's codec does not make smaller. Imported late: most files need
    none.
    """
    from compressors.zstd import Zstd

    return Zstd()


def _blocks(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """`pieces` regrouped into blocks of `size`: the file does not depend on how its source was read."""
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        while len(buffer) >= size:
            yield bytes(buffer[:size])
            del buffer[:size]
    if buffer:
        yield bytes(buffer)


# -- reading -----------------------------------------------------------------------------------------------------------


def read_blocks(
    codec: Compressor, read: Read, offset: int, *, threads: int = 1, max_output: int | None = None, before: int = 0
) -> Iterator[bytes]:
    """The raw blocks that follow a header of `offset` bytes, each checked against its checksum, the whole
    against its own.

    `max_output` bounds them together with `before` bytes that came of other files. Reads to the end of the
    foot.
    """
    digest, n_bytes, index = hashlib.sha256(), 0, bytearray()
    marker = exactly(read, 4)
    with _pool(threads) as pool:
        while marker == BLOCK:
            # As many blocks as there are threads are decoded at once, and no more are held.
            batch: list[Future[bytes]] = []
            while marker == BLOCK and len(batch) < threads:
                head = parse_head(exactly(read, HEAD_SIZE), n_bytes)
                index += PLACE.pack(offset, n_bytes)
                check_output(codec.name, before + n_bytes + head.raw_length, max_output)
                batch.append(pool.submit(unpack_block, codec, head, exactly(read, head.length), n_bytes))
                offset, n_bytes = offset + len(BLOCK) + HEAD_SIZE + head.length, n_bytes + head.raw_length
                marker = exactly(read, 4)
            for raw in (future.result() for future in batch):
                digest.update(raw)
                yield raw
    if marker != END:
        raise CorruptStream(f"after {n_bytes} bytes of output stands neither a block nor the end: the file is damaged")
    # The end of a sound file follows from its blocks: pack it again and compare it byte by byte.
    expected = pack_end(End(n_bytes, len(index) // PLACE.size, digest.digest()), bytes(index), offset)
    # The marker, the first 4 bytes, has been read already.
    if exactly(read, len(expected) - 4) != expected[4:]:
        raise CorruptStream(
            f"the file is damaged: {n_bytes} bytes were read, but length, checksum or index of the whole differ"
        )


def unpack_block(codec: Compressor, head: BlockHead, payload: bytes, at: int) -> bytes:
    """The raw bytes of a block. Raises `CorruptStream` if they do not have the recorded length and checksum."""
    # `max_output` keeps a damaged payload from growing beyond the recorded length.
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


__all__ = [
    "BLOCK",
    "BLOCK_SIZE",
    "END",
    "END_SIZE",
    "HEAD_SIZE",
    "MAGIC",
    "MAX_BLOCK",
    "METHODS",
    "STORED",
    "TAIL",
    "VERSION",
    "ZSTD",
    "Header",
    "exactly",
    "pack_header",
    "parse_end",
    "parse_head",
    "read_blocks",
    "read_header",
    "read_index",
    "unpack_block",
    "write",
]
