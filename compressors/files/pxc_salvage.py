"""Rescue what is left of a damaged `.pxc` file: `proxyc decompress --salvage`.

Blocks are independent and carry checksums, so every sound block can be decoded. With a sound index
the
blocks are where it says. Without one the file is searched for markers, and a marker counts only if
the
checksum of the record behind it is right.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from compressors.base import Compressor
from compressors.errors import CorruptStream
from compressors.files import pxc
from compressors.files.byte_streams import Writer
from compressors.files.pxc_codec import codec_for
from compressors.files.pxc_format import BlockHead, End, Header
from compressors.files.pxc_index import Place, read_parts
from compressors.files.pxc_reader import OTHER_CONTENT, ByteRanges, is_whole

_MARK = re.compile(b"|".join(map(re.escape, (pxc.MAGIC, pxc.BLOCK, pxc.END))))
_WINDOW = 1 << 20  # bytes searched at once


@dataclass(frozen=True)
class Recovered:
    """What `salvage` found: a sound block, or the place where something is missing or differs."""

    data: bytes | None  # None: a gap
    at: int | None  # raw offset, where an intact index tells it
    length: int | None  # raw bytes missing, where it can be told; 0: none, but they are not those that were compressed


OTHERS = Recovered(None, None, 0)  # the last gap: every block is sound, but the whole has another checksum


def salvage(path: Path, codec: Compressor | None = None) -> Iterator[Recovered]:
    """Every undamaged block of a `.pxc` file (or of several one after the other) in order, and the gaps
    between them.

    With the index intact, the gaps are known to the byte. Without it the file is searched for the heads of
    blocks; a gap then has no known length. Where all blocks are there, length and checksum of the whole are
    compared; if they differ, a last gap of length 0 says so. Raises `CorruptStream` if not even the header
    can be read.
    """
    with open(path, "rb") as file:
        header, first = pxc.read_header(file.read)
        read_at = ByteRanges(file)
        try:
            parts = read_parts(read_at, read_at.size)
        except CorruptStream:
            yield from _scan(file, first, header, codec)
            return
        for part in parts:
            chosen, digest, sound = codec_for(part.header, codec), hashlib.sha256(), True
            for place in part.places:
                file.seek(place.offset)
                data = _try_block(file, chosen, place)
                sound = sound and data is not None
                digest.update(data or b"")
                yield Recovered(data, place.begin, place.end - place.begin)
            if sound and not is_whole(part, digest.digest()):
                yield OTHERS


def _try_block(file: io.BufferedReader, codec: Compressor, place: Place | None = None) -> bytes | None:
    """The raw bytes of the block at the file's position, or None if it is damaged, or not what the index says."""
    try:
        if pxc.exactly(file.read, 4) != pxc.BLOCK:
            return None
        head = pxc.parse_head(pxc.exactly(file.read, pxc.HEAD_SIZE), 0)
        if place and (head.raw_length, file.tell() + head.length) != (place.end - place.begin, place.after):
            return None
        return pxc.unpack_block(codec, head, pxc.exactly(file.read, head.length), 0)
    except CorruptStream:
        return None


class _Sum:
    """Whether the blocks since a header are all there, and the whole: only an end record can say that."""

    def __init__(self) -> None:
        self.n_bytes, self.digest, self.gaps = 0, hashlib.sha256(), False

    def add(self, data: bytes) -> None:
        self.n_bytes += len(data)
        self.digest.update(data)

    def differs(self, end: End) -> bool:
        """No gap was found, and yet these are not the bytes that `end` speaks of."""
        return not self.gaps and (self.n_bytes, self.digest.digest()) != (end.n_bytes, end.digest)


def _scan(file: io.BufferedReader, at: int, header: Header, given: Compressor | None) -> Iterator[Recovered]:
    """Blocks found by their marker and the checksum of their head; only an end record says that nothing is
    missing.

    A damaged block with a sound head is passed over as a whole where another head or the end follows it:
    its payload may hold a `.pxc` file, whose blocks are not ours.
    """
    # `at` is where the next record should begin; a mark before it lies within a block that was
    # taken.
    codec, seen = codec_for(header, given), _Sum()
    reported = ended = False  # was the gap at `at` given already; was the last record an end record
    for mark in _marks(file, at):
        if mark < at or (found := _begun(file, mark)) is None:
            continue
        if isinstance(found.what, Header):
            if ended and mark == at:  # a file that follows another one
                codec, seen, ended, at = codec_for(found.what, given), _Sum(), False, found.after
            continue
        file.seek(mark)
        data = None if isinstance(found.what, End) else _try_block(file, codec)
        ended = isinstance(found.what, End)
        # A gap lies before this record, or the record itself is a damaged block.
        if not reported and (mark > at or (data is None and not ended)):
            yield Recovered(None, None, None)
            reported = seen.gaps = True
        if data is not None:
            yield Recovered(data, None, len(data))
            reported = False
            seen.add(data)
        elif isinstance(found.what, End):
            if seen.differs(found.what):
                yield OTHERS
        elif _begun(file, found.after) is None:
            continue  # bytes are lost or inserted: the next block may begin within this one
        at = found.after
    if not reported and not ended:
        yield Recovered(None, None, None)


def _marks(file: io.BufferedReader, at: int) -> Iterator[int]:
    """Where a block or the end may begin, from `at` on, in one pass over the file."""
    while True:
        file.seek(at)
        window = file.read(_WINDOW)
        yield from (at + match.start() for match in _MARK.finditer(window))
        if len(window) < _WINDOW:
            return
        # Windows overlap by one byte less than a marker, so none is cut or found twice.
        at += _WINDOW - len(pxc.BLOCK) + 1


class _Begun(NamedTuple):
    """A header, a block or an end record whose checksum is right."""

    what: Header | BlockHead | End
    after: int  # file offset; of an end record that of what follows index and foot


def _begun(file: io.BufferedReader, at: int) -> _Begun | None:
    """What begins at byte `at` of the file, if anything does."""
    file.seek(at)
    try:
        marker = pxc.exactly(file.read, 4)
        if marker == pxc.MAGIC:
            file.seek(at)
            header, size = pxc.read_header(file.read)
            return _Begun(header, at + size)
        if marker == pxc.BLOCK:
            head = pxc.parse_head(pxc.exactly(file.read, pxc.HEAD_SIZE), 0)
            return _Begun(head, file.tell() + head.length)
        if marker == pxc.END:
            end = pxc.parse_end(marker + pxc.exactly(file.read, pxc.END_SIZE - 4))
            return _Begun(end, at + end.size)
    except CorruptStream:
        pass
    return None


def salvage_stream(path: Path, sink: BinaryIO, codec: Compressor | None = None) -> tuple[list[str], int]:
    """Write all sound blocks of a damaged `.pxc` file to `sink`.

    Returns (a line for each gap that says what is missing, the number of bytes written).
    """
    gaps, writer = [], Writer(sink)
    for found in salvage(path, codec):
        if found.data is not None:
            writer.write(found.data)
        elif found == OTHERS:
            gaps.append(OTHER_CONTENT)
        elif found.at is not None and found.length is not None:
            gaps.append(
                f"bytes {found.at}..{found.at + found.length - 1} are missing (after byte {writer.n_bytes} of the output)"
            )
        else:
            gaps.append(f"an unknown number of bytes is missing after byte {writer.n_bytes} of the output")
    writer.flush()
    return gaps, writer.n_bytes
