"""Progress of long work, the same for every command: a bar on a terminal, elsewhere a line every ten seconds."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from compressors.cli.shown import shown

LINE_EVERY, _DRAW_EVERY = 10.0, 0.1  # seconds
_WIDTH, _NARROW = 24, 6  # characters of the longest and the shortest bar
BYTES = "bytes"  # the unit that is shown as kB, MB, GB (10^3, 10^6, 10^9)


@contextmanager
def progress(
    label: str, total: int | None, *, unit: str = BYTES, done: int = 0, quiet: bool = False
) -> Iterator[Progress]:
    """Shows how much of `total` (None: not known) has been done, on standard error, if there is one.

    The bar of a terminal is removed when the work ends; what is done of no known total has no bar, only a number.
    unit: what is counted. done: what was done earlier, which says nothing of the rate now.
    """
    is_silent = quiet or sys.stderr is None
    made = Progress(shown(label), total, unit, done, is_silent, bar=not is_silent and sys.stderr.isatty())
    try:
        yield made
        made.draw()
    finally:
        made.clear()


class Progress:
    """One bar: how much is done, since when, and when it was last drawn. It is called with what was done since."""

    def __init__(self, label: str, total: int | None, unit: str, done: int, quiet: bool, bar: bool) -> None:
        self._label, self.total, self._unit, self._quiet, self._bar = label, total, unit, quiet, bar
        self._done, self._first, self._note, self._columns = done, done, "", shutil.get_terminal_size().columns or 80
        self._began = self._drawn = time.monotonic()
        self._open, self._wide, self._lock = False, _WIDTH, threading.Lock()

    def __call__(self, n: int, note: str = "") -> None:
        """Add `n` to what is done, in any thread; draw if enough time has passed. note: what is said beside the number."""
        with self._lock:
            self._done, self._note = self._done + n, note or self._note
            waited = time.monotonic() - self._drawn
            # What comes next may take long: it is named at once.
            if waited >= (_DRAW_EVERY if self._bar else LINE_EVERY) or (self._bar and note and not n):
                self.draw(line=not self._bar)

    def at(self, done: int, total: int, note: str = "") -> None:
        """Of work that counts by itself: `done` of `total` are done. The first call says where it began."""
        if self.total is None:
            self.total, self._first, self._done = total, done, done
        self(done - self._done, note)

    def say(self, text: str) -> None:
        """Print a line on standard error, and the bar again below it."""
        with self._lock:
            was_open = self._open
            self.clear()
            if not self._quiet:
                print(text, file=sys.stderr, flush=True)
            if was_open:
                self.draw()

    def draw(self, *, line: bool = False) -> None:
        """Draw the bar, or write a `line`."""
        self._drawn = time.monotonic()
        if self._quiet:
            return
        if line:
            print(f"proxyc: {self._label}: {self._state()}", file=sys.stderr, flush=True)
        elif self._bar:
            label, state = self._label[:40], self._state()
            # A line that wraps could not be removed: the last column of the terminal stays free.
            self._wide = wide = min(self._wide, self._columns - len(label) - len(state) - 7)
            share = min(1.0, self._done / self.total) if self.total else 0.0
            bar = f"[{'#' * int(share * wide):-<{wide}}]  " if self.total and wide >= _NARROW else ""
            text = f"{label}  {bar}{state}"[: self._columns - 1]
            print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
            self._open = True

    def clear(self) -> None:
        """Remove the bar of a terminal."""
        if self._open:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
            self._open = False

    def _state(self) -> str:
        """Share, number, rate, what is left, and the note."""
        seconds, done = self._drawn - self._began, self._done - self._first
        parts = [] if self.total is None else [f"{min(1.0, self._done / max(1, self.total)):.0%}"]
        if self._unit != BYTES and self.total is not None:
            parts.append(f"{self._done:,} of {amount(self.total, self._unit)}")
        else:
            parts.append(f"{amount(self._done, self._unit)}{'' if self.total else ' done'}")
        # Rate and rest at the mean speed so far; not in the first second, where they would jump.
        if done > 0 and seconds > 1:
            parts += [f"{amount(done / seconds, self._unit)}/s"] if self._unit == BYTES else []
            if self.total is not None and self._done < self.total:
                parts.append(f"{duration(seconds / done * (self.total - self._done))} left")
        return ", ".join(filter(None, (*parts, self._note)))


def amount(number: float, unit: str = BYTES) -> str:
    """A number of things in words; of bytes in kB, MB or GB."""
    if unit != BYTES:
        return f"{number:,.0f} {unit}"
    for size, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= size:
            return f"{number / size:,.1f} {name}"
    return f"{number:.0f} B"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, to two figures or so."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
