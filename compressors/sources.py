"""Files of a corpus, on this machine or, as URLs, on any file system that fsspec knows: s3://, gs://, https://, memory:// ...

Both are read the same way and in the same order: arguments as given, the files of a folder by sorted relative path.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from compressors.errors import InputError

BLOCK = 1 << 20  # bytes asked of a file at once


@dataclass(frozen=True)
class Source:
    """One file: its path or URL, its size in bytes, and how it is opened for reading."""

    name: str
    size: int
    open: Callable[[], BinaryIO]


def find(paths: list[Path | str], pattern: str = "*") -> Iterator[Source]:
    """The files at `paths`, and below those that are folders the visible ones that match `pattern`. Raises `InputError`."""
    for path in paths:
        yield from _remote(str(path), pattern) if "://" in str(path) else _local(Path(path), pattern)


def _local(path: Path, pattern: str) -> Iterator[Source]:
    if path.is_dir():
        inside = {p.relative_to(path).as_posix(): p for p in path.rglob(pattern) if p.is_file()}
        found = [inside[name] for name in sorted(inside) if _visible(name)]
    elif path.exists():
        found = [path]
    else:
        raise InputError(f"no file or folder {path}")
    for file in found:
        yield Source(str(file), file.stat().st_size, partial(_opened, io.FileIO, file))


def _remote(url: str, pattern: str) -> Iterator[Source]:
    import fsspec

    try:
        system, root = fsspec.url_to_fs(url)
        found: dict[str, Any] = system.find(root, detail=True)
    except (OSError, ValueError, ImportError) as error:  # no such system, its package not installed, no permission
        raise InputError(f"cannot read {url}: {error}") from error
    if not found:
        raise InputError(f"no file or folder {url}")
    inside = {file.removeprefix(root).lstrip("/"): file for file in found}  # of a file: the empty name
    for name in sorted(inside):
        if not name or (_visible(name) and PurePosixPath(name).match(pattern)):
            file = inside[name]
            size = int(found[file]["size"] or 0)
            yield Source(system.unstrip_protocol(file), size, partial(_opened, system.open, file))


def _opened(unbuffered: Callable[[Any], Any], file: Path | str) -> BinaryIO:
    return io.BufferedReader(unbuffered(file), BLOCK)


def _visible(name: str) -> bool:
    return not any(part.startswith(".") for part in name.split("/"))
