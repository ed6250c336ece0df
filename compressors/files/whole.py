"""Whole files and streams: `compress_file`, `decompress_file`, `check_file` and what they are made of.

A stream codec (zstd, gzip, brotli, a plugin's) writes its standard format; every other codec writes
`.pxc`. Outputs are written by `atomic.atomic_file`: the input and an older output survive whatever
happens. The command line calls these functions, and adds only names and messages.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, TypedDict

from compressors import registry
from compressors.atomic import atomic_file
from compressors.base import Compressor, check_lossless
from compressors.errors import CorruptStream
from compressors.files import pxc
from compressors.files.byte_streams import STDIN, Progress, Reader, opened, size_left, sized, write_all
from compressors.files.formats import PEEK, PXC, format_of
from compressors.files.pxc_codec import codec_for
from compressors.stream_codec import StreamCodec

if TYPE_CHECKING:
    from typing_extensions import Unpack

AnyPath: TypeAlias = "str | os.PathLike[str]"


class Keywords(TypedDict, total=False):
    """Keywords of the functions below, for type checkers: those of `Options`."""

    threads: int
    verify: bool
    block_size: int
    max_output: int | None
    force: bool
    progress: Progress | None


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the keywords of the functions below mean; the bytes written do not depend on `threads`."""

    threads: int = 1  # over the blocks of a .pxc file, or zstd's own
    verify: bool = False  # decode what is compressed before it is kept
    block_size: int = 0  # bytes of a block of a .pxc file, to 64 MiB; 0: 1 MiB
    max_output: int | None = None  # bytes that one input may decompress to
    force: bool = False  # replace an existing output
    progress: Progress | None = None  # called with the bytes of input done since the last call


def compress_stream(codec: Compressor, source: BinaryIO, sink: BinaryIO, **options: Unpack[Keywords]) -> int:
    """Compress `source` to `sink`: a standard file for zstd, gzip and brotli, `.pxc` for all others.

    Memory is bounded. Returns the number of bytes written. Raises `VerifyError`, OSError unless every byte was written, and
    `InputError` if a file whose size is written into the output (zstd) gets another one meanwhile.
    """
    chosen = Options(**options)
    check_lossless(codec)
    if not isinstance(codec, StreamCodec):
        pieces = Reader(source).pieces()
        blocks = pxc.write(
            codec, pieces, threads=chosen.threads, verify=chosen.verify, block_size=chosen.block_size,
            progress=chosen.progress,
        )  # fmt: skip
        return write_all(sink, blocks)
    # A standard stream is not in blocks: progress counts what is read.
    read = Reader(source, chosen.progress)
    stream = codec.verified_stream if chosen.verify else codec.compress_stream
    # A regular file has a known size; zstd writes it into the frame.
    size = size_left(source)
    if not codec.writes_size or size is None or (size == 0 and read.peek(1)):  # files of /proc say 0
        return write_all(sink, stream(read.pieces(), threads=chosen.threads))
    return write_all(sink, stream(sized(read.pieces(), size), threads=chosen.threads, size=size))


def decompressed(
    source: BinaryIO, *, codec: Compressor | None = None, name: str = "<stdin>", **options: Unpack[Keywords]
) -> Iterator[bytes]:
    """The decompressed pieces of `source`.

    The format is taken from the content, or from the suffix of `name` for brotli.

    `codec` is needed where the file does not say enough: an artifact, a dictionary, brotli without a
    suffix.
    Raises `CorruptStream`, `OutputLimitExceeded`, `FingerprintMismatch`, `InvalidConfig`,
    `UnknownCompressor`.
    """
    how = Options(**options)
    read = Reader(source)
    format_name = format_of(read.peek(PEEK), name, codec)
    if format_name == PXC:
        header, size = pxc.read_header(read)
        blocks = _one_after_the_other(read, codec_for(header, codec), size, codec, how)
        return _telling(blocks, read, how.progress)
    chosen = codec if codec is not None and codec.name == format_name else registry.get(format_name)
    if not isinstance(chosen, StreamCodec):
        raise CorruptStream(f"{name} is not a .pxc file, and {chosen.name} has no other format")
    pieces = chosen.decompress_stream(read.as_it_comes(), max_output=how.max_output)
    return _telling(pieces, read, how.progress)


def _one_after_the_other(
    read: Reader, first: Compressor, size: int, given: Compressor | None, how: Options
) -> Iterator[bytes]:
    """The raw blocks of `.pxc` files that stand one after the other, as .gz and .zst may; the first header is read."""
    n_bytes, codec = 0, first
    while True:
        blocks = pxc.read_blocks(codec, read, size, threads=how.threads, max_output=how.max_output, before=n_bytes)
        for raw in blocks:
            n_bytes += len(raw)
            yield raw
        if not (start := read.peek(len(pxc.MAGIC))):
            return
        if start != pxc.MAGIC:
            raise CorruptStream("bytes follow the end of the .pxc file")
        header, size = pxc.read_header(read)
        codec = codec_for(header, given)


def decompress_stream(
    source: BinaryIO,
    sink: BinaryIO,
    *,
    codec: Compressor | None = None,
    name: str = "<stdin>",
    **options: Unpack[Keywords],
) -> int:
    """Write what `decompressed` gives to `sink`; the number of bytes written. Raises OSError unless all were."""
    return write_all(sink, decompressed(source, codec=codec, name=name, **options))


def compress_file(source: AnyPath, target: AnyPath, codec: Compressor, **options: Unpack[Keywords]) -> int:
    """Compress the file `source` into `target`, which appears whole or not at all, with the source's mode and times."""
    with opened(source) as reader, _output(source, target, **options) as writer:
        return compress_stream(codec, reader, writer, **options)


def decompress_file(
    source: AnyPath, target: AnyPath, *, codec: Compressor | None = None, **options: Unpack[Keywords]
) -> int:
    """Decompress the file `source` into `target`, which appears whole or not at all, with the source's mode
    and times.
    """
    with opened(source) as reader, _output(source, target, **options) as writer:
        return decompress_stream(reader, writer, codec=codec, name=str(source), **options)


def _output(source: AnyPath, target: AnyPath, **options: Unpack[Keywords]) -> AbstractContextManager[BinaryIO]:
    """The file to write, with mode and times of `source` if that is one (beside "-" may lie a file of that name)."""
    return atomic_file(
        Path(target), source=None if Path(source) == STDIN else Path(source), force=Options(**options).force
    )


def check_file(source: AnyPath, *, codec: Compressor | None = None, **options: Unpack[Keywords]) -> int:
    """Decompress `source` to nowhere, checking everything; the number of bytes it holds."""
    with opened(source) as reader:
        return sum(map(len, decompressed(reader, codec=codec, name=str(source), **options)))


class Decompressed(io.RawIOBase):
    """A readable binary file over what `decompressed` gives for `source`, for sources that cannot seek."""

    def __init__(
        self, source: BinaryIO, codec: Compressor | None = None, name: str = "<stdin>", **options: Unpack[Keywords]
    ) -> None:
        self._source, self._pieces = source, decompressed(source, codec=codec, name=name, **options)
        self._ahead, self._position = memoryview(b""), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from one decompressed piece at most; the number of bytes, 0 at the end."""
        view = memoryview(buffer).cast("B")
        while not self._ahead:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._ahead = memoryview(piece)
        n = min(len(view), len(self._ahead))
        view[:n] = self._ahead[:n]
        self._ahead, self._position = self._ahead[n:], self._position + n
        return n

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        """Close the source, too."""
        self._source.close()
        super().close()


def same_content(source: Path, target: Path, codec: Compressor) -> bool:
    """Does the compressed `target` hold exactly the bytes of `source`?"""
    with opened(source) as raw, opened(target) as packed:
        pieces = decompressed(packed, codec=codec, name=str(target))
        read = Reader(raw)
        return all(read.full(len(piece)) == piece for piece in pieces) and not read(1)


def _telling(output: Iterable[bytes], read: Reader, progress: Progress | None) -> Iterator[bytes]:
    """`output`, with calls of `progress` for the input bytes behind each piece.

    A call comes once the caller has taken the piece: progress counts work that is done, not bytes read.
    """
    reported = 0
    for piece in output:
        yield piece
        if progress is not None:
            progress(read.taken - reported)
            reported = read.taken
    if progress is not None:
        progress(read.taken - reported)
