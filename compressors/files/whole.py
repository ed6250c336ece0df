"""Whole files: which format, and writing so that the input and an older output survive whatever happens."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from compressors import registry
from compressors.atomic import atomic_file
from compressors.base import Compressor
from compressors.errors import CorruptStream, InputError, InvalidConfig
from compressors.files import pxc
from compressors.files.byte_streams import STDIN, Progress, Reader, opened, size_left, sized, write_all
from compressors.files.pxc_codec import codec_for
from compressors.stream_codec import StreamCodec

_SKIPPABLE = {
    bytes([0x50 + i]) + b"\x2a\x4d\x18": "zstd" for i in range(16)
}  # zstd frames without data (RFC 8878, 3.1.2)
_MAGICS = {b"\x28\xb5\x2f\xfd": "zstd", b"\x1f\x8b": "gzip", **_SKIPPABLE}
_SUFFIXES = {".zst": "zstd", ".gz": "gzip", ".br": "brotli", ".pxc": "pxc"}  # brotli has no magic number
_TARS = {".tgz": "gzip", ".tzst": "zstd"}  # what is made of them ends in .tar, as with the tools of these formats


@dataclass(frozen=True, kw_only=True)
class Options:
    """Keywords of the functions below; the bytes written do not depend on `threads`."""

    threads: int = 1  # over the blocks of a .pxc file, or zstd's own
    verify: bool = False  # decode what is compressed before it is kept
    max_output: int | None = None  # bytes that one input may decompress to
    force: bool = False  # replace an existing output
    progress: Progress | None = None


def compress_stream(codec: Compressor, source: BinaryIO, sink: BinaryIO, **options: Any) -> int:
    """Compress `source` to `sink`: a standard file for zstd, gzip and brotli, `.pxc` for all others. Bounded memory.

    Returns the number of bytes written. Raises `VerifyError`, OSError unless every byte was written, and `InputError` if a
    file whose size is written into the output (zstd) gets another one meanwhile.
    """
    chosen = Options(**options)
    read = Reader(source, chosen.progress)
    if not isinstance(codec, StreamCodec):
        return write_all(sink, pxc.write(codec, read.pieces(), threads=chosen.threads, verify=chosen.verify))
    stream = codec.verified_stream if chosen.verify else codec.compress_stream
    size = size_left(source)
    if not codec.writes_size or size is None or (size == 0 and read.peek(1)):  # files of /proc say 0
        return write_all(sink, stream(read.pieces(), threads=chosen.threads))
    return write_all(sink, stream(sized(read.pieces(), size), threads=chosen.threads, size=size))


def decompressed(
    source: BinaryIO, *, codec: Compressor | None = None, name: str = "<stdin>", **options: Any
) -> Iterator[bytes]:
    """The decompressed pieces of `source`. The format is taken from the content, or from the suffix of `name` for brotli.

    `codec` is needed where the file alone is not enough: an artifact, a dictionary, brotli without a suffix.
    Raises `CorruptStream`, `OutputLimitExceeded`, `FingerprintMismatch`, `InvalidConfig`, `UnknownCompressor`.
    """
    how = Options(**options)
    read = Reader(source, how.progress)
    format_name = _format(read.peek(4), name, codec)
    if format_name == "pxc":
        header, size = pxc.read_header(read)
        return _one_after_the_other(read, codec_for(header, codec), size, codec, how)
    chosen = codec if codec is not None and codec.name == format_name else registry.get(format_name)
    if not isinstance(chosen, StreamCodec):
        raise CorruptStream(f"{name} is no .pxc file, and {chosen.name} has no other format")
    return chosen.decompress_stream(read.as_it_comes(), max_output=how.max_output)


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
    **options: Any,
) -> int:
    """Write what `decompressed` gives to `sink`; the number of bytes written. Raises OSError unless all were."""
    return write_all(sink, decompressed(source, codec=codec, name=name, **options))


def compress_file(source: Path, target: Path, codec: Compressor, **options: Any) -> int:
    """Compress the file `source` into `target`, which appears whole or not at all, with the source's mode and times."""
    with opened(source) as reader, _output(source, target, **options) as writer:
        return compress_stream(codec, reader, writer, **options)


def decompress_file(source: Path, target: Path, *, codec: Compressor | None = None, **options: Any) -> int:
    """Decompress the file `source` into `target`, which appears whole or not at all, with the source's mode and times."""
    with opened(source) as reader, _output(source, target, **options) as writer:
        return decompress_stream(reader, writer, codec=codec, name=str(source), **options)


def _output(source: Path, target: Path, **options: Any) -> AbstractContextManager[BinaryIO]:
    """The file to write, with mode and times of `source` if that is one (beside "-" may lie a file of that name)."""
    return atomic_file(target, source=None if source == STDIN else source, force=Options(**options).force)


def check_file(source: Path, *, codec: Compressor | None = None, **options: Any) -> int:
    """Decompress `source` to nowhere, checking everything; the number of bytes it holds."""
    with opened(source) as reader:
        return sum(map(len, decompressed(reader, codec=codec, name=str(source), **options)))


class Decompressed(io.RawIOBase):
    """A readable binary file over what `decompressed` gives for `source`, for sources that cannot seek."""

    def __init__(self, source: BinaryIO, codec: Compressor | None = None, **options: Any) -> None:
        self._source, self._pieces = source, decompressed(source, codec=codec, **options)
        self._ahead, self._position = memoryview(b""), 0

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
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

    def close(self) -> None:
        self._source.close()
        super().close()


def same_content(source: Path, target: Path, codec: Compressor) -> bool:
    """Does the compressed `target` hold exactly the bytes of `source`?"""
    with opened(source) as raw, opened(target) as packed:
        pieces = decompressed(packed, codec=codec, name=str(target))
        read = Reader(raw)
        return all(read.full(len(piece)) == piece for piece in pieces) and not read(1)


def compressed_name(source: Path, codec: Compressor) -> Path:
    """Where `compress` puts its output: the suffix of the codec added. Raises `InputError` if it is a folder without a name."""
    if not source.name:
        raise InputError(f"{source} is a folder; -r compresses the files in it")
    return source.with_name(source.name + codec.suffix)


def decompressed_name(source: Path) -> Path:
    """Where `decompress` puts its output: the suffix taken off. Raises `InputError` if there is none of ours."""
    if source.suffix in _TARS:
        return source.with_suffix(".tar")
    if source.suffix not in _SUFFIXES:
        known = ", ".join(_SUFFIXES | _TARS)
        raise InputError(f"{source}: unknown suffix; expected {known}, or name the output with -o")
    return source.with_suffix("")


def _format(start: bytes, name: str, codec: Compressor | None) -> str:
    """The name of the format. Brotli has no magic number and may begin with another's: it goes by suffix or `codec`."""
    if start == pxc.MAGIC:
        return "pxc"
    by_suffix = (_SUFFIXES | _TARS).get(Path(name).suffix)
    if "brotli" in (by_suffix, codec.name if codec else None):
        return "brotli"
    for magic, format_name in _MAGICS.items():
        if start.startswith(magic):
            return format_name
    if by_suffix is None and codec is not None:
        return codec.name
    if by_suffix:
        raise CorruptStream(f"{name} is no {by_suffix} file: it does not begin with the magic number")
    raise InvalidConfig(f"{name}: the format is not known from its content or suffix; name it with --codec")
