"""The one place that reads bytes from a stream, and the one that writes them: every byte, or an error.

A stream may be a file, a pipe, a socket's file, or anything with `read` or `write`, raw or buffered,
blocking or not. What Python's raw files and those in non-blocking mode may do, all of it is waited for and
done again:

- `read` gives fewer bytes than it was asked for, or None where there are none yet;
- `write` takes fewer than it was given and returns how many, or None where it takes none yet;
- both raise `BlockingIOError`, which may say how many bytes were taken, or `InterruptedError`.
"""

from __future__ import annotations

import errno
import io
import os
import select
import stat
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from compressors.errors import InputError

STDIN = Path("-")
PIECE = 1 << 17  # bytes read at once
Progress = Callable[[int], None]  # called with the bytes of input done since the last call

_PAUSE = 0.002  # seconds between two tries, where the stream has no descriptor to wait for
_REFUSALS = 1000  # a sink that takes 0 bytes this often in a row counts as broken


def opened(source: str | os.PathLike[str]) -> BinaryIO:
    """`source` for reading; "-" is standard input. Raises `InputError`."""
    if Path(source) == STDIN:
        if sys.stdin is None:
            raise InputError("standard input is closed; name a file")
        return sys.stdin.buffer
    if Path(source).is_dir():
        raise InputError(f"{source} is a folder; name a file, or take the files in it with -r")
    try:
        return open(source, "rb")
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror}") from error


class Reader:
    """A function like io.RawIOBase.read: 1 to n bytes, ``b""`` only at the end. It can look at what comes next.

    `progress`, if given, is called with the number of bytes of every read.
    """

    def __init__(self, source: BinaryIO, progress: Progress | None = None) -> None:
        self._source, self._ahead, self._progress = source, b"", progress
        self.taken = 0  # bytes given so far

    def __call__(self, n: int) -> bytes:
        # What `peek` has read ahead comes first; the rest of it stays ahead.
        data = self._ahead or self._read(n)
        data, self._ahead = data[:n], data[n:]
        self.taken += len(data)
        if data and self._progress is not None:
            self._progress(len(data))
        return data

    def peek(self, n: int) -> bytes:
        """The next n bytes, at most a few, fewer only at the end; they are still to be read."""
        while len(self._ahead) < n and (more := self._read(n - len(self._ahead))):
            self._ahead += more
        return self._ahead[:n]

    def full(self, n: int) -> bytes:
        """The next n bytes, fewer only at the end."""
        data = self(n)
        if len(data) in (0, n):
            return data
        parts = bytearray(data)
        while len(parts) < n and (more := self(n - len(parts))):
            parts += more
        return bytes(parts)

    def pieces(self) -> Iterator[bytes]:
        """All that is left in pieces of one size: what brotli makes of them depends on where they end."""
        return iter(lambda: self.full(PIECE), b"")

    def as_it_comes(self) -> Iterator[bytes]:
        """All that is left; nobody waits for more than there is."""
        return iter(lambda: self(PIECE), b"")

    def _read(self, n: int) -> bytes:
        """1 to n bytes from the source, ``b""`` at its end; waits where the source has none yet."""
        while True:
            try:
                data = self._source.read(n)
            except (BlockingIOError, InterruptedError):
                data = None
            if isinstance(data, str):
                raise InputError("the source gives text; open it in binary mode")
            if data is not None:
                return bytes(data)
            _wait(self._source, writing=False)


class Writer:
    """Writes whole pieces to `sink`, however many bytes that takes at a time; `n_bytes` were written."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink, self.n_bytes = sink, 0
        # A raw file that returns None took nothing. Other objects have it as their only answer, and took all.
        self._counts = isinstance(sink, io.RawIOBase)

    def write(self, data: bytes) -> None:
        """Raises OSError unless all of `data` is taken."""
        left: Any = data
        refused = 0
        while len(left):
            taken = self._taken(left)
            if taken is None or taken == 0:
                # None means not now, and may happen any number of times; 0 is a refusal, and is
                # counted.
                refused += taken is not None
                if refused == _REFUSALS:
                    raise OSError(errno.EIO, "the output takes no bytes")
                _wait(self._sink, writing=True)
            elif not 0 < taken <= len(left):
                raise OSError(errno.EIO, f"the output says that it took {taken} of {len(left)} bytes")
            else:
                left, refused = memoryview(left)[taken:], 0
                self.n_bytes += taken

    def flush(self) -> None:
        """Have all of it leave the buffer of `sink`, if it has one."""
        flush = getattr(self._sink, "flush", None)
        while flush is not None:
            try:
                flush()
                return
            except BlockingIOError:
                _wait(self._sink, writing=True)
            except InterruptedError:
                continue

    def _taken(self, data: Any) -> int | None:
        """How many bytes `sink` took; None: not now."""
        try:
            n = self._sink.write(data)
        except BlockingIOError as error:
            return getattr(error, "characters_written", None) or None
        except InterruptedError:
            return None
        if n is None:
            return None if self._counts else len(data)
        self._counts = True
        return int(n)


def write_all(sink: BinaryIO, pieces: Iterable[bytes]) -> int:
    """Write and flush all `pieces`; the number of bytes. Raises OSError unless every byte was taken."""
    writer = Writer(sink)
    for piece in pieces:
        writer.write(piece)
    writer.flush()
    return writer.n_bytes


def size_left(source: BinaryIO) -> int | None:
    """Bytes from the position of a named regular file to its end; None for other streams, which may have any number."""
    raw = getattr(source, "raw", source)  # some other classes have the descriptor of what they decompress
    if type(raw) is not io.FileIO or source is getattr(sys.stdin, "buffer", None):
        return None
    status = os.fstat(raw.fileno())
    return max(0, status.st_size - source.tell()) if stat.S_ISREG(status.st_mode) else None


def sized(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """`pieces`, which have to be `size` bytes together.

    Raises `InputError` if the file has grown or shrunk meanwhile.
    """
    n_bytes = 0
    for piece in pieces:
        n_bytes += len(piece)
        if n_bytes > size:
            break
        yield piece
    if n_bytes != size:
        more = "more than " if n_bytes > size else f"{n_bytes} of "
        raise InputError(f"it was changed while it was read: {more}{size} bytes came; compress it again")


def _wait(stream: Any, *, writing: bool) -> None:
    """Wait until `stream` may be read or written, or a moment where there is nothing to wait for."""
    try:
        # `poll` has no limit on the number of the descriptor, as `select` has.
        waiting = select.poll()
        waiting.register(stream.fileno(), select.POLLOUT if writing else select.POLLIN)
        waiting.poll()
    except (AttributeError, OSError, ValueError):  # no `poll` here, no descriptor, or a closed one
        time.sleep(_PAUSE)
