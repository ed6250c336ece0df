"""Which format a file is in, and how outputs are called: both are asked of the codecs.

A codec declares `suffix`, `magics` and `archive_suffixes` (see `base.Compressor`); codecs that
declare
none write `.pxc`. `whole`, `pxc_reader` and the command line ask here. The content decides before
the
name, so a renamed file is still read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from compressors import registry
from compressors.base import Compressor
from compressors.errors import CorruptStream, InputError, InvalidConfig, ProxycError
from compressors.files import pxc

PXC = "pxc"
PEEK = 16  # bytes at the start of a file that tell its format; a codec's magics may be as long
OWN = ("brotli", "gzip", "zstd")  # the built-ins that do not write .pxc: the others need not be imported


def classes() -> Iterator[type[Compressor]]:
    """The codecs that declare a file format: built-ins, then guests, which are imported only if it comes to them."""
    yield from map(registry.get_class, OWN)
    for name in registry.entries():
        if name not in registry.BUILTIN:
            try:
                guest = registry.get_class(name)
            except ProxycError:  # one that is broken harms nobody else; `proxyc codecs` shows it
                continue
            if guest.suffix != Compressor.suffix or guest.magics:
                yield guest


def by_suffix(name: str) -> type[Compressor] | None:
    """The codec whose files are called so, whatever the case."""
    suffix = Path(name).suffix.lower()
    if suffix in ("", Compressor.suffix):
        return None
    return next((cls for cls in classes() if suffix in (cls.suffix, *cls.archive_suffixes)), None)


def by_magic(start: bytes) -> type[Compressor] | None:
    """The codec whose files begin so."""
    return next((cls for cls in classes() if start.startswith(cls.magics)), None)


def format_of(start: bytes, name: str, codec: Compressor | None = None) -> str:
    """The name of the codec whose format a file is in, or "pxc": by its first `PEEK` bytes, its name, or `codec`.

    A format without a magic number (brotli) may begin with another's: it goes by the name, or `codec`.
    Raises `CorruptStream` if the content is not what the name says, `InvalidConfig` if neither says anything.
    """
    if start.startswith(pxc.MAGIC):
        return PXC
    named = by_suffix(name)
    # 1. A format without a magic number cannot be told by content: go by the name, or by `codec`.
    for unmarked in (named, type(codec) if codec else None):
        if unmarked and not unmarked.magics and unmarked.suffix != Compressor.suffix:
            return unmarked.name
    # 2. Any other format: the magic number decides, whatever the name says.
    if marked := by_magic(start):
        return marked.name
    # 3. Neither magic number nor known suffix: the caller's codec, which then checks the content.
    if named is None and codec is not None:
        return codec.name
    if named or Path(name).suffix.lower() == Compressor.suffix:
        kind = named.name if named else PXC
        raise CorruptStream(f"{name} is not a {kind} file: it does not begin with the magic number")
    raise InvalidConfig(f"{name}: the format is not known from its content or suffix; name it with --codec")


def is_compressed(path: Path) -> bool:
    """Does the name or the beginning of the file say that a codec here wrote it?

    A name is enough: the content of such a file may be damaged.
    """
    if path.suffix.lower() == Compressor.suffix or by_suffix(path.name) is not None:
        return True
    with path.open("rb") as file:
        start = file.read(PEEK)
    return start.startswith(pxc.MAGIC) or by_magic(start) is not None


def compressed_name(source: Path, codec: Compressor) -> Path:
    """Where `compress` puts its output: the suffix of the codec added.

    Raises `InputError` if it is a folder without a name.
    """
    if not source.name:
        raise InputError(f"{source} is a folder; name a file, or take the files in it with -r")
    return source.with_name(source.name + codec.suffix)


def decompressed_name(source: Path) -> Path:
    """Where `decompress` puts its output: the name without its suffix.

    Raises `InputError` if no codec has that suffix.
    """
    # a.tgz becomes a.tar; a.txt.gz becomes a.txt.
    suffix, cls = source.suffix.lower(), by_suffix(source.name)
    if cls is not None and suffix in cls.archive_suffixes:
        return source.with_suffix(".tar")
    if cls is None and suffix != Compressor.suffix:
        known = ", ".join(each for cls in classes() for each in (cls.suffix, *cls.archive_suffixes))
        raise InputError(f"{source}: unknown suffix; expected .pxc, {known}, or name the output with -o")
    return source.with_suffix("")


__all__ = [
    "PEEK",
    "PXC",
    "by_magic",
    "by_suffix",
    "classes",
    "compressed_name",
    "decompressed_name",
    "format_of",
    "is_compressed",
]
