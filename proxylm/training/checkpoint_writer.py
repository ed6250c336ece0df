"""Files of large checkpoints, written by a thread while the training continues."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType

# Bytes. A disk of 200 MB/s takes more than a second for these; the copy in main memory costs as much memory again.
LARGE = 1 << 28


class Writer:
    """Writes one checkpoint at a time: the next one, and the end of the block, wait for the one at hand."""

    def __init__(self) -> None:
        self._pool, self._pending = ThreadPoolExecutor(1, "checkpoint"), Future[None]()
        self._pending.set_result(None)

    def write(self, work: Callable[[], None], *, later: bool) -> None:
        """Call `work`; with `later` in the thread: it must own what it writes. Raises what the one before has raised."""
        self.wait()
        if later:
            self._pending = self._pool.submit(work)
        else:
            work()

    def wait(self) -> None:
        """Until all is on disk. Raises what a write has raised, once."""
        pending, self._pending = self._pending, Future()
        self._pending.set_result(None)
        pending.result()

    def check(self) -> None:
        """Raise what a write has raised, without waiting for one that is not done."""
        if self._pending.done():
            self.wait()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Waits; an error of the block goes before that of a write."""
        try:
            with suppress(*(() if kind is None else (Exception,))):
                self.wait()
        finally:
            self._pool.shutdown()
