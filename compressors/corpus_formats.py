"""What a file of a corpus holds: its first bytes tell, and its name where they leave it open.

Compressed files are decompressed under any name. Archives and other formats are refused: read as
text,
each would be one long document of noise, which nobody wants. `corpus.Reader` calls `opened` for
every
file; the tables below map suffixes and magic numbers to what the file is.
"""

from __future__ import annotations

import bz2
import io
import itertools
import lzma
import shlex
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from compressors.brotli import Brotli
from compressors.corpus_sources import Source
from compressors.errors import CorruptStream, InputError
from compressors.gzip import Gzip
from compressors.stream_codec import decoded

HEAD = 512  # bytes that tell a format: those of the header of a tar archive
PIECE = 1 << 16
PARQUET = b"PAR1\x15"  # the first field of a page's header follows the magic number; a text may begin with PAR1, too
_WINDOW = 1 << 31  # bytes; `zstd --long=31`. The user names the source, and zstd only touches what is used

# Suffix -> method of decompression.
_SUFFIXES = {
    ".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".zstd": "zstd", ".xz": "xz", ".lzma": "xz", ".bz2": "bzip2",
    ".br": "brotli",
}  # fmt: skip
# First bytes -> method. Of bzip2: the level 1 to 9, then the start of the first block (pi) or, in
# an empty file, the end (square root of pi).
_MAGIC = {
    b"\x1f\x8b\x08": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\0": "xz", b"\x5d\0\0": "xz",
    **{bytes([0x50 + n]) + b"\x2a\x4d\x18": "zstd" for n in range(16)},  # a frame that zstd skips
    **{b"BZh%d%s" % (n, block): "bzip2" for n in range(1, 10) for block in (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")},
}  # fmt: skip
# First bytes -> what the error message calls the file.
_OTHER_MAGIC = {
    b"PK\3\4": "a zip archive", b"PK\5\6": "a zip archive", b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\7": "a rar archive", b"\4\x22\x4d\x18": "compressed with lz4", b"\x1f\x9d": "compressed with compress",
    b"LZIP\1": "compressed with lzip", b"\x89LZO\0": "compressed with lzop", b"\xff\6\0\0sNaPpY": "compressed with snappy",
    b"\x8ePXC": "compressed with proxyc", b"ARROW1\0\0": "an Arrow file", b"Obj\1": "an Avro file",
}  # fmt: skip
# Suffix -> the same, for formats whose first bytes say too little.
_OTHER_SUFFIXES = {
    **dict.fromkeys((".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".tzst", ".tlz"), "a tar archive"),
    ".zip": "a zip archive", ".7z": "a 7z archive", ".rar": "a rar archive", ".lz4": "compressed with lz4",
    ".lz": "compressed with lzip", ".lzo": "compressed with lzop", ".snappy": "compressed with snappy",
    ".pxc": "compressed with proxyc", ".arrow": "an Arrow file", ".feather": "an Arrow file", ".avro": "an Avro file",
    ".orc": "an ORC file",
}  # fmt: skip
_REMEDIES = {  # by the first word that fits
    "tar archive": "unpack it, or read it as 'tar://*::{name}'",
    "zip archive": "unpack it, or read it as 'zip://*::{name}'",
    "archive": "unpack it",
    "file": "convert it to Parquet or JSON lines",
    "proxyc": "decompress it with `proxyc decompress`",
    "": "decompress it",
}
# Suffixes of files with a JSON record on each line.
_RECORDS = (".jsonl", ".ndjson", ".jsonlines", ".ldjson")


@dataclass
class Content:
    """What an opened file holds. `n_read` counts the bytes that were read of it, as it is stored."""

    kind: str  # "parquet"; "records", a line of JSON each; "text"; "open", where only the lines tell which of the two
    file: BinaryIO
    n_read: int = 0


@contextmanager
def opened(source: Source) -> Iterator[Content]:
    """The content of `source`, decompressed. Raises `InputError` for what is damaged, cut short, or not to be read."""
    name = source.name.partition("?")[0] if "://" in source.name else source.name
    path = PurePosixPath(name.lower())
    with source.open() as raw:
        # 1. Parquet has its index at its end, so it needs a seekable file.
        head = raw.read(HEAD)
        if head.startswith(PARQUET) or path.suffix == ".parquet":
            if not raw.seekable():
                raise InputError(
                    f"cannot read {source.name}: Parquet is read from its end, which this is not able to give; download it"
                )
            raw.seek(0)
            yield Content("parquet", raw)
            return
        # 2. Undo one compression; the head is then that of the content.
        content = Content("text", raw)
        pieces = _counted(raw, head, content)
        method = _compression(source, head, path)
        if method:
            pieces = _decompressed(source, method, pieces)
            head, pieces = _peeked(pieces)
        # 3. Refuse archives and other formats, and tell records from text by the inner name.
        path = path.with_suffix("") if path.suffix in _SUFFIXES else path
        _check_known(source, head, path, inside=bool(method))
        content.kind = _kind(path)
        content.file = io.BufferedReader(_Joined(pieces), PIECE)
        yield content


def _compression(source: Source, head: bytes, path: PurePosixPath) -> str | None:
    """By content; by name for brotli, which has no magic number, and to notice a file that is not what it says."""
    by_content = _by_magic(head, _MAGIC)
    by_name = _SUFFIXES.get(path.suffix)
    if by_content or by_name in (None, "brotli"):
        return by_content or by_name
    if _kind(path.with_suffix("")) != "text" and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return None  # a server has decompressed it on the way
    reason = "it is empty" if not head else f"it does not begin as {by_name} does"
    raise InputError(f"cannot read {source.name}: {reason}; fetch or make it again, or {_left_out(source)}")


def _check_known(source: Source, head: bytes, path: PurePosixPath, *, inside: bool) -> None:
    """Raise `InputError` for archives and other formats that are not to be read as text."""
    found = _by_magic(head, _OTHER_MAGIC) or ("a tar archive" if _is_tar(head) else _OTHER_SUFFIXES.get(path.suffix))
    # Only one compression is undone: a second suffix or magic number inside is an error.
    twice = path.suffix in _SUFFIXES or head.startswith((*_MAGIC, PARQUET))
    if inside and twice and found is None:
        found = "compressed more than once"
    if found is not None:
        known = found if not inside else found.replace("tar ", "")  # fsspec knows few names of compressed ones
        remedy = next(text for word, text in _REMEDIES.items() if word in known).format(name=source.name)
        raise InputError(f"cannot read {source.name}: it is {found}; {remedy}, or {_left_out(source)}")


def _by_magic(head: bytes, known: dict[bytes, str]) -> str | None:
    """What `known` says of the first magic number that `head` begins with, or None."""
    if not head.startswith(tuple(known)):
        return None
    return next(what for magic, what in known.items() if head.startswith(magic))


def _left_out(source: Source) -> str:
    """The remedy that always helps: the option that leaves this file out, ready to paste."""
    return f"leave it out with --exclude {shlex.quote(PurePosixPath(source.name).name)}"


def _is_tar(head: bytes) -> bool:
    """The header of a tar archive has a checksum, in every version of the format."""
    try:
        tarfile.TarInfo.frombuf(head[:512], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _kind(path: PurePosixPath) -> str:
    """Of the name without the suffix of a compression: `x.json`, `x` and `x.00001` may hold records or one text."""
    if path.suffix in _RECORDS:
        return "records"
    return "open" if path.suffix in ("", ".json") or path.suffix[1].isdigit() else "text"


# -- bytes ------------------------------------------------------------------------------------------------------------


def _counted(raw: BinaryIO, head: bytes, content: Content) -> Iterator[bytes]:
    """`head` and the rest of `raw` in pieces of `PIECE` bytes; `content.n_read` counts them, for
    progress.
    """
    piece = head
    while piece:
        content.n_read += len(piece)
        yield piece
        piece = raw.read(PIECE)


def _peeked(pieces: Iterator[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first `HEAD` bytes, or all there are; and all pieces."""
    first = b""
    for piece in pieces:
        first += piece
        if len(first) >= HEAD:
            break
    return first[:HEAD], itertools.chain([first], pieces)


def _decompressed(source: Source, method: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The decompressed pieces. Raises `InputError` that names the file and says what to do with it.

    `method` is a value of `_SUFFIXES`. Concatenated members and frames are read as one stream.
    """
    streams: dict[str, Callable[[], Iterator[bytes]]] = {
        "gzip": lambda: Gzip().decompress_stream(pieces),
        "zstd": lambda: decoded("zstd", _zstd_decoder, pieces),
        "xz": lambda: decoded("xz", lzma.LZMADecompressor, pieces, padding=b"\0"),
        "bzip2": lambda: decoded("bzip2", bz2.BZ2Decompressor, pieces),
        "brotli": lambda: Brotli().decompress_stream(pieces),
    }
    try:
        yield from streams[method]()
    except CorruptStream as error:
        reason, remedy = str(error).partition(";")[0], "fetch or make it again"  # its remedy is that of `decompress`
        if "ictionary" in reason:
            reason, remedy = "zstd: it was written with a dictionary", "decompress it with `zstd -d -D DICTIONARY`"
        if "memory" in reason:
            remedy = "its window is too large; decompress it with `zstd -d --long=31` where there is more memory"
        raise InputError(f"cannot read {source.name}: {reason}; {remedy}") from error
    except MemoryError as error:
        raise InputError(f"cannot read {source.name}: there is not enough memory to decompress it") from error


def _zstd_decoder() -> Any:
    """A decoder of one frame, for any window up to `_WINDOW`: `Zstd` itself stops at 128 MB."""
    import zstandard

    return zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()


class _Joined(io.RawIOBase):
    """An iterator of byte pieces as a readable file, for `io.BufferedReader` and its `readline`."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._left = pieces, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        n = min(len(buffer), len(self._left))
        buffer[:n], self._left = self._left[:n], self._left[n:]
        return n

    def readall(self) -> bytes:
        left, self._left = self._left, memoryview(b"")
        return b"".join([left, *self._pieces])


__all__ = ["HEAD", "PARQUET", "PIECE", "Content", "opened"]
