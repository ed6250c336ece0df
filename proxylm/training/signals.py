"""Signals that end a run: not in the middle of a step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def signals_received() -> Iterator[list[int]]:
    """A list that Ctrl-C and SIGTERM put themselves into; once the block is left, the signal goes to who handled it before.

    A second Ctrl-C does so at once. Ctrl-C stays ignored where it is, as for what a script starts in the background.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only the main thread may handle signals
        yield received
        return
    numbers: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)
    before = {n: handler for n in numbers if (handler := signal.getsignal(n)) != signal.SIG_IGN}

    def note(number: int, _: object) -> None:
        received.append(number)
        if number == signal.SIGINT:
            signal.signal(number, before[number])  # a second Ctrl-C ends the run at once

    for number in before:
        signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])  # now that the step and its checkpoint are done
