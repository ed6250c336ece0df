"""The rows of the next step, made by a thread while the device works on those of the step at hand.

Rows are a pure function of the step, so that nothing depends on when they are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")


def pays(device: torch.device) -> bool:
    """Is a thread worth it on `device`?

    A GPU computes while Python makes rows. On a CPU the thread takes time from the products, and there is nothing to gain:
    16 rows of 512 positions cost 1.3 ms of processor time, the step of a model with d = 64 373 ms, with d = 256 3.7 s.
    """
    return device.type != "cpu"


@contextmanager
def prefetched(make: Callable[[int], T], steps: int, device: torch.device) -> Iterator[Callable[[int], T]]:
    """`make`, whose answer for step s + 1 < `steps` is made in a thread as soon as that for step s is taken.

    Raises what `make` raises, where the step is asked for. The thread has ended when the block is left.
    """

    def enter() -> None:
        if device.type == "cuda":
            torch.cuda.set_device(device)  # each thread has its own: pinned memory would be made for the first GPU

    with ThreadPoolExecutor(1, "prefetch", enter) as pool:
        begun: dict[int, Future[T]] = {}

        def ask(step: int) -> T:
            found = (begun.pop(step, None) or pool.submit(make, step)).result()
            begun.clear()
            if step + 1 < steps:
                begun[step + 1] = pool.submit(make, step + 1)
            return found

        yield ask
