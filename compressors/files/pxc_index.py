"""Where the blocks of a `.pxc` file are, also of several files that stand one after the other.

Two ways lead to them. A single file has an index at its end, found through the foot: three short
reads.
Concatenated files (`cat a.pxc b.pxc`) have an index each, which counts from the start of its file:
these
are walked from block head to block head. `pxc_reader` and `pxc_salvage` call `read_parts`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

from compressors.errors import CorruptStream
from compressors.files.pxc_format import (
    BLOCK,
    END,
    END_SIZE,
    FOOT,
    HEAD_SIZE,
    MAGIC,
    PLACE,
    TAIL,
    End,
    Header,
    Read,
    exactly,
    pack_end,
    parse_end,
    parse_head,
    read_header,
    with_crc,
)

ReadAt = Callable[[int, int], bytes]  # at most n bytes from an offset on, b"" only at the end


class Place(NamedTuple):
    """A block: from where to where in the file, and of the raw bytes."""

    offset: int  # of its marker in the file
    after: int  # file offset behind its payload
    begin: int  # of its first raw byte
    end: int  # raw offset behind its last raw byte


class Part(NamedTuple):
    """One of the files that stand one after the other in a file."""

    header: Header
    places: list[Place]  # counted from the beginning of the first file
    end: End


class Cursor:
    """A `Read` that begins at an offset and moves on."""

    def __init__(self, read_at: ReadAt, at: int = 0) -> None:
        self._read_at, self.at = read_at, at

    def __call__(self, n: int) -> bytes:
        data = self._read_at(self.at, n)
        self.at += len(data)
        return data


def read_parts(read_at: ReadAt, size: int) -> list[Part]:
    """Headers and blocks of a file of `size` bytes: by the index at its end, or head by head where it holds several.

    Raises `CorruptStream` if it is not whole, or anything else stands in it.
    """
    cursor = Cursor(read_at)
    header, first = read_header(cursor)
    if (one := _one(cursor, _foot(cursor, size), first, size)) is None:
        return _walk(Cursor(read_at), size)
    index, end = one
    # The index ends with the end record, so each pair of neighbours bounds one block.
    places = [Place(at, after, begin, stop) for (at, begin), (after, stop) in itertools.pairwise(index)]
    return [Part(header, places, end)]


def read_index(tail: Read, size: int, seek: Callable[[int], object]) -> list[tuple[int, int]]:
    """(file offset, raw offset) of every block, then of the end record, from the end of a seekable file of
    `size` bytes.

    Raises `CorruptStream` also if these do not fill the file, as where several stand one after the other.
    """

    def read_at(at: int, n: int) -> bytes:
        seek(at)
        return tail(n)

    cursor = Cursor(read_at)
    _, first = read_header(cursor)
    if (one := _one(cursor, _foot(cursor, size), first, size)) is None:
        raise CorruptStream("the index of the .pxc file is not that of the whole file; --salvage reads what is left")
    return one[0]


def _foot(cursor: Cursor, size: int) -> int:
    """Where the foot says that the end record begins."""
    if size < FOOT.size:
        raise CorruptStream("the .pxc file is cut short; --salvage reads what is left")
    cursor.at = size - FOOT.size
    end_at, magic = FOOT.unpack(exactly(cursor, FOOT.size))
    if magic != TAIL or end_at > size - FOOT.size:
        raise CorruptStream(
            "the .pxc file has no index at its end: it is cut short or damaged; --salvage reads what is left"
        )
    return int(end_at)


def _one(cursor: Cursor, end_at: int, first: int, size: int) -> tuple[list[tuple[int, int]], End] | None:
    """What `read_index` gives, and the end record; None if there is none, or the file is larger than what it
    describes.
    """
    cursor.at = end_at
    try:
        end = parse_end(exactly(cursor, END_SIZE))
    except CorruptStream:
        return None
    # A single file ends with the foot of its end record; anything else is walked.
    if end_at + end.size != size:
        return None
    index = exactly(cursor, end.n_blocks * PLACE.size + 4)
    if index != with_crc(index[:-4]):
        raise CorruptStream("the index of the .pxc file is damaged; --salvage reads what is left")
    places = [*PLACE.iter_unpack(index[:-4]), (end_at, end.n_bytes)]
    # The first block follows the header, every block takes bytes of the file, and raw offsets never
    # fall.
    if places[0] != (first, 0) or any(a[0] >= b[0] or a[1] > b[1] for a, b in itertools.pairwise(places)):
        raise CorruptStream("the index of the .pxc file is out of order")
    return places, end


def _walk(cursor: Cursor, size: int) -> list[Part]:
    """The files one after the other, head by head."""
    parts: list[Part] = []
    n_bytes = 0
    while cursor.at < size:
        start, before, index, places = cursor.at, n_bytes, bytearray(), list[Place]()
        header = read_next_header(cursor) if parts else read_header(cursor)[0]
        while (marker := exactly(cursor, len(BLOCK))) == BLOCK:
            # Build the index that this file should have: offsets count from `start`, where its
            # header begins.
            index += PLACE.pack(cursor.at - len(BLOCK) - start, n_bytes - before)
            offset, head = cursor.at - len(BLOCK), parse_head(exactly(cursor, HEAD_SIZE), n_bytes)
            # Skip the payload: only heads are read.
            cursor.at += head.length
            places.append(Place(offset, cursor.at, n_bytes, n_bytes + head.raw_length))
            n_bytes += head.raw_length
        if marker != END:
            raise CorruptStream(
                f"after {n_bytes} bytes of output stands neither a block nor the end: the file is damaged"
            )
        end_at, record = cursor.at - len(END), marker + exactly(cursor, END_SIZE - len(END))
        end = parse_end(record)
        expected = pack_end(End(n_bytes - before, len(places), end.digest), bytes(index), end_at - start)
        if record + exactly(cursor, len(expected) - END_SIZE) != expected:
            raise CorruptStream("the file is damaged: length or index of the whole differ")
        parts.append(Part(header, places, end))
    return parts


def read_next_header(read: Read) -> Header:
    """The header of a file that follows another one. Raises `CorruptStream` if something else does."""
    start = read(len(MAGIC))
    if start != MAGIC:
        raise CorruptStream("bytes follow the end of the .pxc file")
    # `read_header` wants the magic number again: give it back first.
    ahead = [start]
    return read_header(lambda n: ahead.pop() if ahead else read(n))[0]
