"""Files that get their name only once they are whole and on disk.

Every output of the package is written here. The steps: a temporary file beside the target, fsync,
rename. After a crash or a loss of power there is the old file or the whole new one, and perhaps a
hidden `.NAME.*.tmp`.
"""

from __future__ import annotations

import errno
import io
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import compressors.file_metadata as file_metadata
from compressors.errors import InputError

_TEMPORARY = re.compile(r"\..{0,50}\.[0-9a-f]{16}\.tmp", re.DOTALL)
_unfinished: dict[Path, int] = {}  # temporary names in use and the process that made them, for `discard_unfinished`
BUFFER = 1 << 20  # bytes given to the writing thread at once
_NO_ROOM = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
_ZEROS = bytes(4096)  # a block of the file that holds only zeros becomes a hole
SYNC_EVERY = 32 << 20  # bytes written between two syncs in the background


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write under a temporary name, sync, rename: a reader sees the old file or the whole new one."""
    with _temporary(path) as temporary:
        with open(temporary, "wb", opener=_new) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)


@contextmanager
def atomic_file(target: Path, *, source: Path | None = None, force: bool = False) -> Iterator[BinaryIO]:
    """A new file that gets its name only once it is complete and on disk; on any error nothing stays.

    With a `source` it gets that file's owner, mode and times as far as they may be set (else there is a warning), and
    until then nobody else may read it. Blocks of zeros become holes. Raises `InputError`.
    """
    if target.exists() and source is not None and target.samefile(source):
        raise InputError(f"{target} is the input; name another output")
    if target.exists() and not target.is_file():
        raise InputError(f"{target} is not an ordinary file; to write to a device use -c and a redirection")
    exists = InputError(f"{target} exists already; use --force to replace it")
    if target.exists() and not force:
        raise exists
    # Only the metadata of ordinary files is copied: a pipe or a device says nothing about an
    # output.
    copied = source.stat() if source is not None and source.is_file() else None
    with _temporary(target) as temporary:
        try:
            raw = _Beside(temporary, "w", opener=_new_private if copied else _new)
        except OSError as error:
            raise InputError(f"cannot write {target}: {error.strerror}") from error
        with io.BufferedWriter(raw, BUFFER) as file:
            yield file
            file.flush()
            raw.settle()
            if source is not None and copied:
                file_metadata.give(file.fileno(), source, copied, target)
            os.fsync(file.fileno())
        try:
            _rename(temporary, target, replace=force)
        except FileExistsError as error:
            raise exists from error


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a loss of power, before something is removed in their favour."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_temporary(path: Path) -> bool:
    """Whether the name is one of those that unfinished files have here; a killed process may leave them."""
    return _TEMPORARY.fullmatch(path.name) is not None


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """A name beside `target` that nobody can guess; what still has it in the end is removed."""
    path = target.with_name(f".{target.name[:50]}.{os.urandom(8).hex()}.tmp")  # names have at most 255 bytes
    _unfinished[path] = os.getpid()
    try:
        yield path
    except OSError as error:
        # A full disk names no file, and the temporary name says nothing to anybody.
        if error.filename == str(path) or (error.filename is None and error.errno in _NO_ROOM):
            error.filename = str(target)
        raise
    finally:
        path.unlink(missing_ok=True)
        _unfinished.pop(path, None)


def discard_unfinished() -> None:
    """Remove every temporary file of this process, which is about to end without unwinding; none of a parent's."""
    for path, owner in list(_unfinished.items()):
        if owner == os.getpid():
            path.unlink(missing_ok=True)


def _new(path: str, flags: int, mode: int = 0o666) -> int:
    """Open a file that must not be there yet, not even as a link that somebody planted."""
    return os.open(path, flags | os.O_EXCL, mode)


def _new_private(path: str, flags: int) -> int:
    """Open a new file that only its owner may read, until it gets the mode of its source."""
    return _new(path, flags, 0o600)


def _rename(old: Path, new: Path, *, replace: bool) -> None:
    """Raises `FileExistsError` if `new` has come to be meanwhile, unless it may be replaced."""
    if not replace:
        try:
            # A link fails where the name exists; a rename would replace it without a word.
            os.link(old, new)
        except FileExistsError:
            raise
        except OSError:  # a file system without links: an empty file holds the name for a moment
            new.touch(exist_ok=False)
        else:
            return  # the old name goes with the other temporary ones
    os.replace(old, new)


class _Beside(io.FileIO):
    """Writes in a second thread while the caller makes the next piece, and syncs to disk every 32 MB.

    The last fsync then has little left to wait for. The zstd tool writes in a separate thread, too.
    Blocks of zeros are skipped, so they become holes of the file.
    """

    def __init__(self, path: Path, mode: str, *, opener: Callable[[str, int], int]) -> None:
        self._writer, self._syncer = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        super().__init__(path, mode, opener=opener)
        self._writing: Future[None] | None = None
        self._syncing: Future[None] | None = None
        self._unsynced = self._size = 0

    def write(self, data: Any, /) -> int:
        """Start writing `data` once the piece before it is written. Raises the OSError of that one."""
        if self._writing is not None:
            self._writing.result()
        self._writing = self._writer.submit(self._write_all, bytes(data))  # the caller uses its buffer again
        return len(data)

    def _write_all(self, data: bytes) -> None:
        """In the writing thread: write `data` but for its holes; start a sync every `SYNC_EVERY`
        bytes.
        """
        at = 0
        for start, end in _holes(data, self._size):
            self._write_data(memoryview(data)[at:start])
            self.seek(end - start, os.SEEK_CUR)
            at = end
        self._write_data(memoryview(data)[at:])
        self._size += len(data)
        self._unsynced += len(data)
        if self._unsynced >= SYNC_EVERY and (self._syncing is None or self._syncing.done()):
            if self._syncing is not None:
                self._syncing.result()
            self._unsynced = 0
            self._syncing = self._syncer.submit(os.fsync, self.fileno())

    def _write_data(self, left: memoryview) -> None:
        while left:
            left = left[super().write(left) :]

    def settle(self) -> None:
        """Wait for what is under way. Raises its OSError: the system reports a failed write only once."""
        if self._writing is not None:
            self._writing.result()
        if self._syncing is not None:  # looked at only now: the last write may have begun a sync
            self._syncing.result()
        self.truncate(self._size)  # the end may be a hole

    def close(self) -> None:
        """Wait for both threads, and close the file."""
        self._writer.shutdown()
        self._syncer.shutdown()
        super().close()


def _holes(data: bytes, offset: int) -> Iterator[tuple[int, int]]:
    """Begin and end in `data`, which stands at `offset` of a new file, of runs of whole blocks of zeros."""
    block = len(_ZEROS)
    # The first byte of `data` that begins a block of the file.
    at = -offset % block
    while (at := data.find(_ZEROS, at)) >= 0:
        at += -(offset + at) % block  # the zeros may begin within a block
        end = at
        while data.startswith(_ZEROS, end):
            end += block
        if end > at:
            yield at, end
        at = end + 1 if end == at else end


__all__ = [
    "BUFFER",
    "SYNC_EVERY",
    "atomic_file",
    "discard_unfinished",
    "is_temporary",
    "sync_folder",
    "write_atomically",
]
