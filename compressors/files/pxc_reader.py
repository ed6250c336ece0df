"""Reading a `.pxc` file by byte range, and what a compressed file says of itself.

`open_pxc` (`compressors.files.open`) gives a buffered, seekable file; fsspec and data loaders use
it.
`inspect` serves `proxyc inspect`. A read finds its block by bisection of the index, decodes that
block
and keeps it, so reading in order decodes every block once.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import threading
from bisect import bisect_right
from pathlib import Path
from typing import Any, BinaryIO

from compressors.base import Compressor
from compressors.errors import CorruptStream, InputError, InvalidConfig
from compressors.files import pxc
from compressors.files.byte_streams import STDIN, Reader, opened
from compressors.files.formats import PEEK, by_magic, by_suffix
from compressors.files.pxc_codec import codec_for
from compressors.files.pxc_index import Cursor, Part, Place, read_parts

Source = str | os.PathLike[str] | BinaryIO


class ByteRanges:
    """Reads from any place of a file, given by path or as a seekable file.

    It keeps no position, so threads may share it, and forked processes too where it is given by path.
    """

    def __init__(self, source: Source) -> None:
        self._lock = threading.Lock()
        if not isinstance(source, (str, os.PathLike)):
            self._file, self._own, self.size = source, False, source.seek(0, os.SEEK_END)
            return
        try:
            self._file, self._own = open(source, "rb"), hasattr(os, "pread")  # noqa: SIM115 (closed with this object)
        except OSError as error:
            raise InputError(f"cannot read {source}: {error.strerror}") from error
        self.size = os.fstat(self._file.fileno()).st_size

    def __call__(self, offset: int, n: int) -> bytes:
        """At most n bytes from `offset` on, ``b""`` only at the end."""
        # `pread` takes the offset as an argument, so threads and forked processes do not disturb
        # each other.
        if self._own:
            return os.pread(self._file.fileno(), n, offset)
        with self._lock:
            self._file.seek(offset)
            return Reader(self._file)(n)

    def close(self) -> None:
        """Close the file, also one that the caller opened."""
        self._file.close()


class PxcFile(io.RawIOBase):
    """A seekable, read-only view of the raw bytes of a `.pxc` file; only the blocks that are read are decoded.

    `source` is a path, or a seekable file that nobody else uses. Raises `InputError`, `CorruptStream` or
    `FingerprintMismatch` when it is opened, `CorruptStream` when a block is bad, and when what was read in
    order from the first byte to the last has another checksum than the whole. It may be used in forked
    processes, and is pickled as source, codec and position; threads may share `read_at`.
    """

    def __init__(self, source: Source, codec: Compressor | None = None, position: int = 0) -> None:
        self._given = os.path.abspath(source) if isinstance(source, (str, os.PathLike)) else source, codec
        self._read_at = ByteRanges(source)
        try:
            self._parts = read_parts(self._read_at, self._read_at.size)
            self.header = self._parts[0].header
            self._codecs = [codec_for(part.header, codec) for part in self._parts]
        except BaseException:
            self._read_at.close()
            raise
        # The blocks of all parts in one list. `_begins` is sorted, for the bisection.
        self._places = [place for part in self._parts for place in part.places]
        self._part_of = [number for number, part in enumerate(self._parts) for _ in part.places]
        self._begins = [place.begin for place in self._places]
        self.size = self._places[-1].end if self._places else 0
        self._position = position
        self._held: tuple[int, bytes] = (-1, b"")  # the block read last
        self._in_order, self._digest = 0, hashlib.sha256()  # the block to be read next if all were read, what they were

    def __reduce__(self) -> Any:
        """Pickle the source and the position: a worker opens the file again."""
        return type(self), (*self._given, self._position)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a raw offset, also behind the end. Raises ValueError before the beginning, like any
        file.
        """
        position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if position < 0:
            raise ValueError(f"seek to {position}: before the beginning of the file")
        self._position = position
        return position

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from one block at most; the number of bytes, 0 at the end. Raises
        `CorruptStream`.
        """
        view = memoryview(buffer).cast("B")
        if self._position >= self.size or not view:
            return 0
        number, data = self._from(self._position)
        # The next block in order goes into the checksum of the whole; blocks read out of order do not.
        if number == self._in_order:
            self._passed(number)
        view = view[: len(data)]
        view[:] = data[: len(view)]
        self._position += len(view)
        return len(view)

    def read_at(self, offset: int, n: int) -> bytes:
        """The n raw bytes from `offset` on, fewer only at the end.

        It does not move the position, so threads may share it.
        """
        parts, end = [], min(offset + n, self.size)
        while offset < end:
            _, data = self._from(offset)
            parts.append(bytes(data[: end - offset]))
            offset += len(parts[-1])
        return b"".join(parts)

    def _from(self, position: int) -> tuple[int, memoryview]:
        """The block that holds the raw byte `position`, and its bytes from there on."""
        number = bisect_right(self._begins, position) - 1
        held = self._held  # another thread may replace it meanwhile
        if held[0] != number:
            held = self._held = number, self._block(number)
        return number, memoryview(held[1])[position - self._begins[number] :]

    def _block(self, number: int) -> bytes:
        """The raw bytes of block `number`. Raises `CorruptStream` if it is not what the index says."""
        place, cursor = self._places[number], Cursor(self._read_at, self._places[number].offset)
        if pxc.exactly(cursor, len(pxc.BLOCK)) != pxc.BLOCK:
            raise CorruptStream(f"the block at byte {place.begin} of the output is damaged: it has no marker")
        head = pxc.parse_head(pxc.exactly(cursor, pxc.HEAD_SIZE), place.begin)
        if head.raw_length != place.end - place.begin or cursor.at + head.length != place.after:
            raise CorruptStream(f"the block at byte {place.begin} has another length than the index says")
        payload = pxc.exactly(cursor, head.length)
        return pxc.unpack_block(self._codecs[self._part_of[number]], head, payload, place.begin)

    def _passed(self, number: int) -> None:
        """Compare the checksum of the whole once all its blocks were read in order."""
        part = self._parts[self._part_of[number]]
        # Each of several files has a checksum: start again with its first block.
        if number == 0 or self._part_of[number] != self._part_of[number - 1]:
            self._digest = hashlib.sha256()
        self._digest.update(self._held[1])
        self._in_order += 1
        if self._places[number] == part.places[-1] and not is_whole(part, self._digest.digest()):
            raise CorruptStream(OTHER_CONTENT)

    def close(self) -> None:
        if hasattr(self, "_read_at"):
            self._read_at.close()
        super().close()


OTHER_CONTENT = "every block is sound, but length or checksum of the whole differ: blocks are of another file"


def is_whole(part: Part, digest: bytes) -> bool:
    """Are these the bytes that the end record of `part` speaks of? `digest`: SHA-256 of all its blocks."""
    n_bytes = sum(place.end - place.begin for place in part.places)
    return part.end.n_bytes == n_bytes and part.end.digest == digest


class BufferedPxcFile(io.BufferedReader):
    """A `PxcFile` with a buffer, whose methods it has."""

    raw: PxcFile

    def __init__(self, source: Source, codec: Compressor | None = None, position: int = 0) -> None:
        if isinstance(codec, str):  # as other libraries take a mode in its place
            raise InvalidConfig(
                f"codec is {codec!r}; expected a compressor, or nothing: files are opened for reading, in binary"
            )
        super().__init__(PxcFile(source, codec, position))

    @property
    def size(self) -> int:
        """Raw bytes of the whole."""
        return self.raw.size

    def read_at(self, offset: int, n: int) -> bytes:
        """As of `PxcFile`: for threads."""
        return self.raw.read_at(offset, n)

    def __reduce__(self) -> Any:
        return type(self), (*self.raw.__reduce__()[1][:2], self.tell())

    def __reduce_ex__(self, _: Any) -> Any:
        """`io` objects refuse to pickle in this method; take the way of `__reduce__`."""
        return self.__reduce__()


def open_pxc(path: Source, codec: Compressor | None = None) -> BufferedPxcFile:
    """A seekable, read-only binary file over the raw bytes of a `.pxc` file; see `PxcFile`."""
    return BufferedPxcFile(path, codec)


def inspect(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a compressed file says of itself, without decoding a block: of other formats than `.pxc` only which one.

    Raises `CorruptStream`, which names the file.
    """
    try:
        with opened(path) as file, tempfile.TemporaryFile() as copied:
            # A stream cannot be read by byte range: copy it to a temporary file first.
            if Path(path) == STDIN or not file.seekable():
                for piece in Reader(file).as_it_comes():
                    copied.write(piece)
                return _inspected(ByteRanges(copied), Path(path).name)
            return _inspected(ByteRanges(file), Path(path).name)
    except CorruptStream as error:
        raise CorruptStream(f"{path}: {error}") from error


def _inspected(read_at: ByteRanges, name: str) -> dict[str, Any]:
    """The facts of `inspect`, by name; `name` tells brotli, which has no magic number."""
    start = Cursor(read_at, 0)(PEEK)
    if not start.startswith(pxc.MAGIC) and (other := by_magic(start) or by_suffix(name)):
        return {"format": other.name, "codec": other.name, "file_bytes": read_at.size}
    parts = read_parts(read_at, read_at.size)
    header, places = parts[0].header, [place for part in parts for place in part.places]
    methods = dict.fromkeys(pxc.METHODS.values(), 0)
    for place in places:
        methods[pxc.METHODS[_method(read_at, place)]] += 1
    return {
        "format": f".pxc version {pxc.VERSION}",
        "codec": header.codec,
        "config": header.config,
        "config_version": header.config_version,
        "raw_bytes": places[-1].end if places else 0,
        "file_bytes": read_at.size,
        "blocks": len(places),
        "block_methods": methods,
    } | ({"files": len(parts)} if len(parts) > 1 else {})


def _method(read_at: ByteRanges, place: Place) -> int:
    """How the block at `place` was compressed: a key of `pxc.METHODS`. Reads its head only."""
    cursor = Cursor(read_at, place.offset + len(pxc.BLOCK))
    return pxc.parse_head(pxc.exactly(cursor, pxc.HEAD_SIZE), place.begin).method
