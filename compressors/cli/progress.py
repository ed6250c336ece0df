"""Progress of long work, the same for every command: a bar on a terminal, elsewhere a line every ten seconds."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from compressors.cli.shown import shown

LINE_EVERY, _DRAW_EVERY, _WIDTH = 10.0, 0.1, 24  # seconds, seconds, characters

Told = Callable[[int], None]  # called with how much was done since the last call


@contextmanager
def progress(label: str, total: int | None, *, quiet: bool = False) -> Iterator[Told]:
    """Shows how much of `total` (None: not known) has been done, on standard error, if there is one.

    The bar of a terminal is removed when the work ends; what is done of no known total has no bar, only a number.
    """
    if quiet or sys.stderr is None:
        yield lambda _: None
        return
    report = _Report(shown(label), total, sys.stderr.isatty())
    try:
        yield report.tell
        report.draw()
    finally:
        report.close()


class _Report:
    """The state of one progress bar: how much is done, since when, and when it was last drawn."""

    def __init__(self, label: str, total: int | None, bar: bool) -> None:
        self._label, self._total, self._bar = label, total, bar
        self._done, self._began, self._drawn = 0, time.monotonic(), time.monotonic()
        self._open, self._lock = False, threading.Lock()

    def tell(self, n: int) -> None:
        """Add `n` to what is done, in any thread; draw if enough time has passed."""
        with self._lock:
            self._done += n
            if time.monotonic() - self._drawn >= (_DRAW_EVERY if self._bar else LINE_EVERY):
                self.draw(line=not self._bar)

    def draw(self, *, line: bool = False) -> None:
        """Draw the bar, or write a `line`."""
        self._drawn = time.monotonic()
        if line:
            print(f"proxyc: {self._label}: {self._state()}", file=sys.stderr, flush=True)
        elif self._bar:
            share = min(1.0, self._done / self._total) if self._total else 0.0
            bar = f"[{'#' * int(share * _WIDTH):-<{_WIDTH}}]" if self._total else ""
            print(f"\r\033[K{self._label[:40]}  {bar}  {self._state()}", end="", file=sys.stderr, flush=True)
            self._open = True

    def _state(self) -> str:
        seconds = self._drawn - self._began
        if not self._total:
            return f"{self._done:,} done"
        share = min(1.0, self._done / self._total)
        # The rest at the mean speed so far; not in the first second, where it would jump.
        left = f", {seconds * (1 - share) / share:.0f} s left" if 0 < share < 1 and seconds > 1 else ""
        return f"{share:.0%}{left}"

    def close(self) -> None:
        """Remove the bar of a terminal."""
        if self._open:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
