"""What is left of a damaged `.pxc` file."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from compressors.base import Compressor
from compressors.errors import CorruptStream
from compressors.files import pxc
from compressors.files.byte_streams import Writer
from compressors.files.pxc_reader import codec_for

_MARK = re.compile(b"|".join(map(re.escape, (pxc.BLOCK, pxc.END))))
_WINDOW = 1 << 20


@dataclass(frozen=True)
class Recovered:
    """What `salvage` found: a sound block, or the place where something is missing."""

    data: bytes | None  # None: a gap
    at: int | None  # raw offset, where an intact index tells it
    length: int | None  # raw bytes missing, where it can be told


def salvage(path: Path, codec: Compressor | None = None) -> Iterator[Recovered]:
    """Every undamaged block of a `.pxc` file in order, and the gaps between them.

    With the index intact, the gaps are known to the byte. Without it the file is searched for the heads of blocks; a gap
    then has no known length. Raises `CorruptStream` if not even the header can be read.
    """
    with open(path, "rb") as file:
        header, first = pxc.read_header(file.read)
        codec = codec_for(header, codec)
        try:
            places = pxc.read_index(file.read, path.stat().st_size, file.seek)
        except CorruptStream:
            yield from _scan(file, first, codec)
            return
        for (offset, begin), (_, end) in itertools.pairwise(places):
            file.seek(offset)
            data = _try_block(file, codec)
            yield Recovered(data, begin, end - begin)


def _try_block(file: io.BufferedReader, codec: Compressor) -> bytes | None:
    """The raw bytes of the block at the file's position, or None if it is damaged."""
    try:
        if pxc.exactly(file.read, 4) != pxc.BLOCK:
            return None
        head = pxc.parse_head(pxc.exactly(file.read, pxc.HEAD_SIZE), 0)
        return pxc.unpack_block(codec, head, pxc.exactly(file.read, head.length), 0)
    except CorruptStream:
        return None


def _scan(file: io.BufferedReader, at: int, codec: Compressor) -> Iterator[Recovered]:
    """Blocks found by their marker and the checksum of their head; only an end record says that nothing is missing.

    A damaged block with a sound head is passed over as a whole where another head or the end follows it: its payload may
    hold a `.pxc` file, whose blocks are not ours.
    """
    told = ended = False  # `told`: of the gap at `at`, where something should begin
    for mark in _marks(file, at):
        if mark < at or (found := _begun(file, mark)) is None:
            continue
        file.seek(mark)
        data, ended, after = _try_block(file, codec), found.is_end, found.after
        if not told and (mark > at or (data is None and not ended)):
            yield Recovered(None, None, None)
            told = True
        if data is not None:
            yield Recovered(data, None, len(data))
            told = False
        elif not ended and _begun(file, after) is None:
            continue  # bytes are lost or inserted: the next block may begin within this one
        at = after
    if not told and not ended:
        yield Recovered(None, None, None)


def _marks(file: io.BufferedReader, at: int) -> Iterator[int]:
    """Where a block or the end may begin, from `at` on, in one pass over the file."""
    while True:
        file.seek(at)
        window = file.read(_WINDOW)
        yield from (at + match.start() for match in _MARK.finditer(window))
        if len(window) < _WINDOW:
            return
        at += _WINDOW - len(pxc.BLOCK) + 1


class _Begun(NamedTuple):
    """A block or an end record whose checksum of its own is right."""

    is_end: bool
    after: int  # file offset


def _begun(file: io.BufferedReader, at: int) -> _Begun | None:
    """What begins at byte `at` of the file, if anything does."""
    file.seek(at)
    try:
        marker = pxc.exactly(file.read, 4)
        if marker == pxc.BLOCK:
            head = pxc.parse_head(pxc.exactly(file.read, pxc.HEAD_SIZE), 0)
            return _Begun(False, file.tell() + head.length)
        if marker == pxc.END:
            pxc.parse_end(marker + pxc.exactly(file.read, pxc.END_SIZE - 4))
            return _Begun(True, file.tell())
    except CorruptStream:
        pass
    return None


def salvage_stream(path: Path, sink: BinaryIO, codec: Compressor | None = None) -> tuple[list[str], int]:
    """Write all sound blocks of a damaged `.pxc` file to `sink`; what is missing, a line for each gap, and the bytes written."""
    gaps, writer = [], Writer(sink)
    for found in salvage(path, codec):
        if found.data is not None:
            writer.write(found.data)
        elif found.at is not None and found.length is not None:
            gaps.append(
                f"bytes {found.at}..{found.at + found.length - 1} are missing (after byte {writer.n_bytes} of the output)"
            )
        else:
            gaps.append(f"an unknown number of bytes is missing after byte {writer.n_bytes} of the output")
    writer.flush()
    return gaps, writer.n_bytes
