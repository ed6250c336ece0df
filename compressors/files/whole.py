"""Whole files: which format, and writing so that the input and an older output survive whatever happens."""

from __future__ import annotations

import builtins
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from compressors import registry
from compressors.atomic import atomic_file
from compressors.base import Compressor
from compressors.errors import CorruptStream, InputError, InvalidConfig
from compressors.files import pxc
from compressors.files.pxc_reader import PxcFile, codec_for
from compressors.stream_codec import StreamCodec

STDIN = Path("-")
PIECE = 1 << 17  # bytes read at once
_SKIPPABLE = {
    bytes([0x50 + i]) + b"\x2a\x4d\x18": "zstd" for i in range(16)
}  # zstd frames without data (RFC 8878, 3.1.2)
_MAGICS = {b"\x28\xb5\x2f\xfd": "zstd", b"\x1f\x8b": "gzip", **_SKIPPABLE}
_SUFFIXES = {".zst": "zstd", ".gz": "gzip", ".br": "brotli", ".pxc": "pxc"}  # brotli has no magic number
_TARS = {".tgz": "gzip", ".tzst": "zstd"}  # what is made of them ends in .tar, as with the tools of these formats

Progress = Callable[[int], None]  # told the bytes of input read since the last call


def _silent(_: int) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Options:
    """Keywords of the functions below; the bytes written do not depend on `threads`."""

    threads: int = 1  # over the blocks of a .pxc file, or zstd's own
    verify: bool = False  # decode what is compressed before it is kept
    block_size: int = (
        0  # bytes of a block of a .pxc file, to 64 MiB; 0: 1 MiB. Larger ones are smaller in all, by a few %
    )
    max_output: int | None = None  # bytes that one input may decompress to
    force: bool = False  # replace an existing output
    progress: Progress = _silent


def compress_stream(codec: Compressor, source: BinaryIO, sink: BinaryIO, **options: Any) -> int:
    """Compress `source` to `sink`: a standard file for zstd, gzip and brotli, `.pxc` for all others. Bounded memory.

    Returns the number of bytes written. Raises `VerifyError`.
    """
    chosen = Options(**options)
    pieces = _pieces(source.read, chosen.progress)
    if isinstance(codec, StreamCodec):
        stream = codec.verified_stream if chosen.verify else codec.compress_stream
        return _write_all(sink, stream(pieces, threads=chosen.threads))
    blocks = pxc.write(codec, pieces, threads=chosen.threads, verify=chosen.verify, block_size=chosen.block_size)
    return _write_all(sink, blocks)


def decompressed(
    source: BinaryIO, *, codec: Compressor | None = None, name: str = "<stdin>", **options: Any
) -> Iterator[bytes]:
    """The decompressed pieces of `source`. The format is taken from the content, or from the suffix of `name` for brotli.

    `codec` is needed where the file alone is not enough: an artifact, a dictionary, brotli without a suffix.
    Raises `CorruptStream`, `OutputLimitExceeded`, `FingerprintMismatch`, `InvalidConfig`, `UnknownCompressor`.
    """
    how = Options(**options)
    read = _Peekable(source.read, how.progress)
    format_name = _format(read.peek(4), name, codec)
    if format_name == "pxc":
        header, size = pxc.read_header(read)
        codec = codec_for(header, codec)
        return pxc.read_blocks(codec, read, size, threads=how.threads, max_output=how.max_output)
    chosen = codec if codec is not None and codec.name == format_name else registry.get(format_name)
    if not isinstance(chosen, StreamCodec):
        raise CorruptStream(f"{name} is no .pxc file, and {chosen.name} has no other format")
    return chosen.decompress_stream(iter(lambda: read(PIECE), b""), max_output=how.max_output)


def decompress_stream(
    source: BinaryIO,
    sink: BinaryIO,
    *,
    codec: Compressor | None = None,
    name: str = "<stdin>",
    **options: Any,
) -> int:
    """Write what `decompressed` gives to `sink`; the number of bytes written."""
    return _write_all(sink, decompressed(source, codec=codec, name=name, **options))


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


def open(path: str | os.PathLike[str], codec: Compressor | None = None) -> io.BufferedReader:
    """A seekable, read-only binary file over the raw bytes of a `.pxc` file; see `compressors.files.pxc_reader.PxcFile`."""
    return io.BufferedReader(PxcFile(path, codec))


class Decompressed(io.RawIOBase):
    """A readable binary file over what `decompressed` gives for `source`, for sources that cannot seek."""

    def __init__(self, source: BinaryIO, codec: Compressor | None = None, **options: Any) -> None:
        self._source, self._pieces, self._ahead = source, decompressed(source, codec=codec, **options), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # any buffer there
        while not self._ahead:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._ahead = piece
        n = min(len(buffer), len(self._ahead))
        buffer[:n] = self._ahead[:n]
        self._ahead = self._ahead[n:]
        return n

    def close(self) -> None:
        self._source.close()
        super().close()


def inspect(path: Path) -> dict[str, Any]:
    """What a `.pxc` file says of itself, without decoding a block. Raises `CorruptStream`, which names the file."""
    try:
        return _inspected(path)
    except CorruptStream as error:
        raise CorruptStream(f"{path}: {error}") from error


def _inspected(path: Path) -> dict[str, Any]:
    with opened(path) as file:
        header, _ = pxc.read_header(file.read)
        size = path.stat().st_size
        places = pxc.read_index(file.read, size, file.seek)
        methods = dict.fromkeys(pxc.METHODS.values(), 0)
        for offset, begin in places[:-1]:
            file.seek(offset + len(pxc.BLOCK))
            head = pxc.parse_head(pxc.exactly(file.read, pxc.HEAD_SIZE), begin)
            methods[pxc.METHODS[head.method]] += 1
    return {
        "format": f".pxc version {pxc.VERSION}",
        "codec": header.codec,
        "config": header.config,
        "config_version": header.config_version,
        "raw_bytes": places[-1][1],
        "file_bytes": size,
        "blocks": len(places) - 1,
        "block_methods": methods,
    }


def same_content(source: Path, target: Path, codec: Compressor) -> bool:
    """Does the compressed `target` hold exactly the bytes of `source`?"""
    with opened(source) as raw, opened(target) as packed:
        pieces = decompressed(packed, codec=codec, name=str(target))
        return all(raw.read(len(piece)) == piece for piece in pieces) and not raw.read(1)


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


def opened(source: Path) -> BinaryIO:
    """`source` for reading; "-" is standard input. Raises `InputError`."""
    if source == STDIN:
        if sys.stdin is None:
            raise InputError("standard input is closed; name a file")
        return sys.stdin.buffer
    try:
        return builtins.open(source, "rb")
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror}") from error


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


def _pieces(read: Callable[[int], bytes], progress: Progress) -> Iterator[bytes]:
    while piece := read(PIECE):
        yield piece
        progress(len(piece))


def _write_all(sink: BinaryIO, output: Iterable[bytes]) -> int:
    n_bytes = 0
    for piece in output:
        sink.write(piece)
        n_bytes += len(piece)
    return n_bytes


class _Peekable:
    """A `read` whose first bytes may be looked at without losing them."""

    def __init__(self, read: Callable[[int], bytes], progress: Progress) -> None:
        self._read, self._ahead, self._progress = read, b"", progress

    def peek(self, n: int) -> bytes:
        while len(self._ahead) < n and (piece := self._read(n - len(self._ahead))):
            self._ahead += piece
        return self._ahead

    def __call__(self, n: int) -> bytes:
        if self._ahead:
            data, self._ahead = self._ahead[:n], self._ahead[n:]
        else:
            data = self._read(n)
        self._progress(len(data))
        return data
