"""The GPUs of this machine, dealt out to the jobs of a grid: each job sees one, which is the first to it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

VARIABLE = "CUDA_VISIBLE_DEVICES"


def visible() -> tuple[str, ...]:
    """As `CUDA_VISIBLE_DEVICES` names them: numbers, or what that variable says now."""
    import torch

    count = torch.cuda.device_count()  # does not begin to use any of them
    named = [name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()]
    return tuple(named[:count] or map(str, range(count)))


class Gpus:
    """Which of them have how many jobs."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self._jobs, self._lock = dict.fromkeys(names, 0), threading.Lock()

    @contextmanager
    def one(self) -> Iterator[dict[str, str]]:
        """The environment of a job: the GPU with the fewest jobs, for as long as the block lasts; nothing if there are none."""
        if not self._jobs:
            yield {}
            return
        with self._lock:
            name = min(self._jobs, key=lambda name: self._jobs[name])
            self._jobs[name] += 1
        try:
            yield {VARIABLE: name}
        finally:
            with self._lock:
                self._jobs[name] -= 1
