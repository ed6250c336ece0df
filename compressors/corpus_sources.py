"""The files of a corpus, on this machine or on any file system of fsspec: s3://, hf://, https://, ...

Both kinds are found and read the same way and in the same order: arguments as given, the files of a
folder by sorted relative path. A file that cannot be read is an `InputError` of one line that names
it.
Only hidden files, and those that the user excludes, are left out. `corpus.Reader` calls `find`;
nothing
is opened before `Source.open`.
"""

from __future__ import annotations

import glob
import io
import os
import select
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from compressors.errors import InputError

BLOCK = 1 << 20  # bytes asked of a file at once
_STATUS = {  # what to do about an answer of a server
    401: "log in, or set the credentials of this file system",
    403: "log in, or set the credentials of this file system",
    429: "there were too many requests; wait, and start again",
    5: "the server has failed; start again later",  # 500 to 599
}


@dataclass(frozen=True)
class Source:
    """One file: its path or URL, its size in bytes (0: not known), and how it is opened unbuffered."""

    name: str
    size: int
    unbuffered: Callable[[], Any]

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The bytes as they are stored. Raises `InputError`, as every read does."""
        with _failures(self.name):
            file = self.unbuffered()
        with io.BufferedReader(_Named(self, file), BLOCK) as buffered:
            yield buffered


@dataclass(frozen=True)
class Choice:
    """Which files are taken: of a folder those that match `pattern`, and none that matches one of `exclude`."""

    pattern: str = "*"
    exclude: tuple[str, ...] = ()

    def takes(self, name: str) -> bool:
        """A file of a folder; `name`: its path relative to the folder, with ``/``."""
        hidden = any(part.startswith(".") for part in name.split("/"))
        return not hidden and _fits(name, self.pattern) and not self.excludes(name)

    def excludes(self, name: str) -> bool:
        """Does `name` match, from the right, a pattern that is to be left out?"""
        return any(_fits(name, pattern) for pattern in self.exclude)


def find(paths: list[Path | str], choice: Choice) -> Iterator[Source]:
    """The files at `paths`, and below those that are folders the ones that `choice` takes. Raises `InputError`."""
    for path in paths:
        if "://" in str(path):
            import fsspec  # noqa: F401  # that it is not installed is said by the command line
        with _failures(str(path)):
            found = _remote(str(path), choice) if "://" in str(path) else _local(Path(path), choice)
        yield from found


def _fits(name: str, pattern: str) -> bool:
    """Does the end of `name` match the shell pattern, part by part? ``**`` is any number of folders."""

    def fits(parts: list[str], patterns: list[str]) -> bool:
        """Match the remaining path parts against the remaining patterns; ``**`` tries every number of
        parts.
        """
        if not patterns or not parts:
            return not patterns and not parts
        if patterns[0] == "**":
            return len(patterns) == 1 or any(fits(parts[n:], patterns[1:]) for n in range(len(parts)))
        return fnmatchcase(parts[0], patterns[0]) and fits(parts[1:], patterns[1:])

    # A leading ** anchors the pattern at the right: `*.py` fits at any depth.
    return fits(name.split("/"), ["**", *pattern.split("/")])


# -- this machine -----------------------------------------------------------------------------------------------------


def _local(path: Path, choice: Choice) -> list[Source]:
    """The files at a path, below a folder, or under a glob pattern that a shell has not expanded."""
    if glob.has_magic(str(path)) and not os.path.lexists(path):
        if "**" in path.parts:  # `glob` would follow links in circles
            raise InputError(f"{path}: give the folder, and what to take from it with --glob '**/...'")
        matches = sorted(glob.glob(str(path)))
        found = [source for match in matches for source in _local(Path(match), choice)]
        if not matches:
            raise InputError(f"no file or folder {path}")
        return found
    if not os.path.lexists(path):
        raise InputError(f"no file or folder {path}")
    if not path.is_dir():
        return [] if choice.excludes(path.name) else [_file(path)]
    # Sort by the path with /, so that the order is the same on Windows.
    inside = {file.relative_to(path).as_posix(): file for file in _walk(path)}
    return [_file(inside[name], inside=True) for name in sorted(inside) if choice.takes(name)]


def _walk(root: Path) -> Iterator[Path]:
    """Every visible file below `root`. Each folder is read once, those that are linked last, so that loops end."""
    # `seen` holds (device, inode) of every folder read: a link back to one of them is skipped.
    real, linked, seen = [root], list[Path](), set[tuple[int, int]]()
    while real or linked:
        folder = real.pop() if real else linked.pop(0)
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            visible = sorted((e for e in entries if not e.name.startswith(".")), key=lambda entry: entry.name)
        for entry in visible:
            if entry.is_dir():
                (linked if entry.is_symlink() else real).append(Path(entry.path))
            else:
                yield Path(entry.path)


def _file(path: Path, *, inside: bool = False) -> Source:
    """One file as a `Source`; size 0 for pipes and devices, whose size is not known.

    `inside` a folder only ordinary files are allowed: nobody knows when a pipe there ends.
    """
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise InputError(
            f"{path} is a link to {os.readlink(path)}, which is not there; fetch that file, or remove the link"
        ) from error
    if inside and not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path} is not an ordinary file; remove it, or leave it out with --exclude {path.name!r}")
    return Source(str(path), status.st_size if stat.S_ISREG(status.st_mode) else 0, partial(io.FileIO, path))


# -- other file systems -----------------------------------------------------------------------------------------------


def _remote(url: str, choice: Choice) -> list[Source]:
    """The files at a URL, below a remote folder, or under a remote glob pattern."""
    import fsspec

    system, root = fsspec.url_to_fs(url)
    try:
        matches = {root: system.info(root)}
    except FileNotFoundError:  # a path that has stars in its name is taken as it is
        matches = system.glob(root, detail=True) if glob.has_magic(root) else {}
        if not matches:
            raise
        # Leave out hidden files, but only below the part of the pattern that the user wrote in
        # full.
        shown = root[: min(root.find(sign) for sign in "*?[" if sign in root)].rpartition("/")[0]
        matches = {name: info for name, info in matches.items() if "/." not in name.removeprefix(shown)}
    return [source for name in sorted(matches) for source in _below(system, name, matches[name], choice)]


def _below(system: Any, root: str, info: dict[str, Any], choice: Choice) -> Iterator[Source]:
    """The file `root`, or the files of the folder `root`."""
    if info.get("type") == "file" and not str(info.get("url") or root).endswith("/"):  # HTTP calls an index a file, too
        found = {} if choice.excludes(root) else {root: info}
    else:
        listed: dict[str, dict[str, Any]] = system.find(root, detail=True)
        inside = {name.removeprefix(root).lstrip("/"): name for name in listed}
        found = {inside[name]: listed[inside[name]] for name in sorted(inside) if choice.takes(name)}
    for name, facts in found.items():
        yield Source(system.unstrip_protocol(name), int(facts.get("size") or 0), partial(system.open, name))


# -- failures ---------------------------------------------------------------------------------------------------------


@contextmanager
def _failures(name: str) -> Iterator[None]:
    """File systems raise errors of many libraries, which have no common base: each becomes an `InputError`."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(_in_one_line(name, error)) from error


def _in_one_line(name: str, error: BaseException) -> str:
    """What went wrong, by the first cause: fsspec says `FileNotFoundError` whatever a server answered."""
    # Follow `raise ... from` down to the error that started it.
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    # aiohttp keeps the HTTP status on the error, requests on its response.
    answers = (getattr(e, "status", None) or getattr(getattr(e, "response", None), "status_code", None) for e in causes)
    status = next((int(answer) for answer in answers if isinstance(answer, int)), 0)
    first = causes[0] if isinstance(error, ImportError) else causes[-1]  # fsspec's names the package to install
    if status == 404 or (not status and isinstance(first, FileNotFoundError)):
        return f"no file or folder {name}"
    # The system's own words if there are any, else the message on one line, else the name of the
    # error.
    reason = getattr(first, "strerror", None) or " ".join(str(first).split()) or type(first).__name__
    remedy = _STATUS.get(status) or _STATUS.get(status // 100)
    if "://" in name and any(isinstance(e, OSError) or "Connect" in type(e).__name__ for e in causes):
        remedy = remedy or "check the address and the network, and start again"
    where = getattr(first, "filename", None)
    place = where if isinstance(where, str | Path) and "://" not in name else name
    return f"cannot read {place}: {reason}" + (f"; {remedy}" if remedy else "")


class _Named(io.RawIOBase):
    """A file whose failures name it. Raises `InputError`, too, if it ends before its size."""

    def __init__(self, source: Source, file: Any) -> None:
        self._source, self._file, self._at = source, file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    def readinto(self, buffer: Any) -> int:
        with _failures(self._source.name):
            while (data := self._file.read(len(buffer))) is None:  # a pipe that does not block, with nothing in it yet
                select.select([self._file], [], [])
        buffer[: len(data)] = data
        self._at += len(data)
        if not data and self._at < self._source.size:
            raise InputError(
                f"cannot read {self._source.name}: it ends after {self._at} of {self._source.size} bytes; "
                "fetch it again, and do not write to it while it is read"
            )
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        with _failures(self._source.name):
            self._at = int(self._file.seek(offset, whence))
        return self._at

    def tell(self) -> int:
        return self._at

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


__all__ = ["BLOCK", "Choice", "Source", "find"]
