"""Work that several threads share, without a wait at the beginning or the end.

The thread that calls works, too: a pool would leave it idle, and lets its first thread run for a
millisecond before the second starts. Each thread begins with a run of neighbours, the same ones in
each call, so that what it has learnt from them is at hand when they come again.

`encoder` encodes chunks with it.
"""

from __future__ import annotations

import _thread
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any


def side_by_side(work: Callable[[int, int], Any], n_items: int, threads: int) -> list[Any]:
    """[work(thread, 0), work(thread, 1) ...], by `threads` threads; `thread` says which one is at work.

    After an exception in one of them no further item is begun; it is raised when all have ended. If the system gives
    fewer threads, those that there are do all.
    """
    threads = min(threads, n_items)
    if threads <= 1:
        return [work(0, i) for i in range(n_items)]
    results: list[Any] = [None] * n_items
    errors: list[BaseException] = []
    # `popleft`, `pop` and `clear` of a deque are atomic.
    runs = [deque(range(n_items * k // threads, n_items * (k + 1) // threads)) for k in range(threads)]

    def failed(error: BaseException) -> None:
        errors.append(error)
        for run in runs:
            run.clear()

    def labour(thread: int, ended: Any = None) -> None:
        try:
            while (i := _next(runs, thread)) is not None:
                results[i] = work(thread, i)
        except BaseException as error:
            failed(error)
        finally:
            if ended:
                ended.release()

    # `threading.Thread` waits until each thread runs, and a pool until each is taken apart: 60 and 130 us.
    working = []
    for thread in range(1, threads):
        ended = _thread.allocate_lock()
        ended.acquire()
        with suppress(RuntimeError):  # no more threads
            _thread.start_new_thread(labour, (thread, ended))
            working.append(ended)
    labour(0)
    while working:
        try:
            working[-1].acquire()
            working.pop()
        except KeyboardInterrupt as error:  # the others still use what the caller gave them: wait for them
            failed(error)
    if errors:
        raise errors[0]
    return results


def _next(runs: list[deque[int]], thread: int) -> int | None:
    """The next item of this thread's run, or else the last one of the longest run; None if nothing is left."""
    try:
        return runs[thread].popleft()
    except IndexError:
        pass
    while any(runs):
        try:
            return max(runs, key=len).pop()
        except IndexError:  # another thread was faster
            continue
    return None
