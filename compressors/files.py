"""Whole files: which format, and writing so that the input and an older output survive whatever happens."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from compressors import container, registry
from compressors.base import Compressor
from compressors.errors import CorruptStream, FingerprintMismatch, InputError, InvalidConfig
from compressors.streams import StreamCodec

PIECE = 1 << 17  # bytes read at once
_MAGICS = {b"\x28\xb5\x2f\xfd": "zstd", b"\x1f\x8b": "gzip"}
_SUFFIXES = {".zst": "zstd", ".gz": "gzip", ".br": "brotli", ".pxc": "pxc"}  # brotli has no magic number

Progress = Callable[[int], None]  # told the bytes of input read since the last call


def _silent(_: int) -> None: ...


def compress_stream(codec: Compressor, source: BinaryIO, sink: BinaryIO, *, progress: Progress = _silent) -> None:
    """Compress `source` to `sink`: a standard file for zstd, gzip and brotli, `.pxc` for all others. Bounded memory."""
    pieces = _pieces(source.read, progress)
    output = codec.compress_stream(pieces) if isinstance(codec, StreamCodec) else container.write(codec, pieces)
    _write_all(sink, output)


def decompress_stream(
    source: BinaryIO,
    sink: BinaryIO,
    *,
    codec: Compressor | None = None,
    name: str = "<stdin>",
    max_output: int | None = None,
    progress: Progress = _silent,
) -> None:
    """Decompress `source` to `sink`. The format is taken from the content, or from the suffix of `name` for brotli.

    `codec` is needed where the file alone is not enough: an artifact, a dictionary, brotli without a suffix.
    Raises `CorruptStream`, `OutputLimitExceeded`, `FingerprintMismatch`, `InvalidConfig`, `UnknownCompressor`.
    """
    read = _Peekable(source.read, progress)
    start = read.peek(4)
    format_name = _format(start, name, codec)
    if format_name == "pxc":
        header = container.read_header(read)
        _write_all(sink, container.read_blocks(_codec_for(header, codec), read, max_output=max_output))
        return
    chosen = codec if codec is not None and codec.name == format_name else registry.get(format_name)
    if not isinstance(chosen, StreamCodec):
        raise CorruptStream(f"{name} is no .pxc file, and {chosen.name} has no other format")
    pieces = iter(lambda: read(PIECE), b"")
    _write_all(sink, chosen.decompress_stream(pieces, max_output=max_output))


def compress_file(
    source: Path, target: Path, codec: Compressor, *, force: bool = False, progress: Progress = _silent
) -> None:
    """Compress the file `source` into `target`, which appears whole or not at all."""
    with opened(source) as reader, AtomicFile(target, source=source, force=force) as writer:
        compress_stream(codec, reader, writer, progress=progress)


def decompress_file(
    source: Path,
    target: Path,
    *,
    codec: Compressor | None = None,
    force: bool = False,
    max_output: int | None = None,
    progress: Progress = _silent,
) -> None:
    """Decompress the file `source` into `target`, which appears whole or not at all."""
    with opened(source) as reader, AtomicFile(target, source=source, force=force) as writer:
        decompress_stream(reader, writer, codec=codec, name=source.name, max_output=max_output, progress=progress)


def compressed_name(source: Path, codec: Compressor) -> Path:
    """Where `compress` puts its output: the suffix of the codec added."""
    return source.with_name(source.name + codec.suffix)


def decompressed_name(source: Path) -> Path:
    """Where `decompress` puts its output: the suffix taken off. Raises `InputError` if there is none of ours."""
    if source.suffix not in _SUFFIXES:
        raise InputError(f"{source}: unknown suffix; expected {', '.join(_SUFFIXES)}, or name the output with -o")
    return source.with_suffix("")


class AtomicFile:
    """A new file that gets its name only once it is complete and on disk; on any error nothing stays."""

    def __init__(self, target: Path, *, source: Path | None = None, force: bool = False) -> None:
        if target.exists() and source is not None and target.samefile(source):
            raise InputError(f"{target} is the input; name another output")
        if target.exists() and not target.is_file():
            raise InputError(f"{target} is no ordinary file; to write to a device use -c and a redirection")
        if target.exists() and not force:
            raise InputError(f"{target} exists already; use --force to replace it")
        self._target = target
        self._temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")

    def __enter__(self) -> BinaryIO:
        try:
            self._file = open(self._temporary, "wb")
        except OSError as error:
            raise InputError(f"cannot write {self._target}: {error.strerror}") from error
        return self._file

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            with self._file:
                if kind is None:
                    self._file.flush()
                    os.fsync(self._file.fileno())
            if kind is None:
                os.replace(self._temporary, self._target)
        finally:
            self._temporary.unlink(missing_ok=True)


def opened(source: Path) -> BinaryIO:
    """`source` for reading; "-" is standard input. Raises `InputError`."""
    if str(source) == "-":
        return sys.stdin.buffer
    try:
        return open(source, "rb")
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror}") from error


def _format(start: bytes, name: str, codec: Compressor | None) -> str:
    """The name of the format. Brotli has no magic number and may begin with another's: it goes by suffix or `codec`."""
    if start == container.MAGIC:
        return "pxc"
    by_suffix = _SUFFIXES.get(Path(name).suffix)
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


def _codec_for(header: container.Header, codec: Compressor | None) -> Compressor:
    if codec is None:
        if header.config.get("artifact"):
            raise FingerprintMismatch(
                f"the file was written with {header.codec} and artifact {header.config['artifact'][:12]}; "
                f"give it with --codec {header.codec}=FILE"
            )
        codec = registry.get(header.codec, **header.config)
    header.check(codec)
    return codec


def _pieces(read: Callable[[int], bytes], progress: Progress) -> Iterator[bytes]:
    while piece := read(PIECE):
        yield piece
        progress(len(piece))


def _write_all(sink: BinaryIO, output: Iterable[bytes]) -> None:
    for piece in output:
        sink.write(piece)


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
