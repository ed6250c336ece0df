"""The progress of a training run: steps, time left, loss and rate, from the record of each step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from compressors.cli.progress import Progress, amount, progress

Report = Callable[[dict[str, Any]], None]  # called with each step's record, and `steps`, the length of the run


@contextmanager
def step_progress(name: str, *, quiet: bool = False) -> Iterator[StepProgress]:
    """The bar of the run `name`; it is called with the record of each step."""
    with progress(name, None, unit="steps", quiet=quiet) as bar:
        yield StepProgress(bar)


class StepProgress:
    """Gives the records of steps to a bar."""

    def __init__(self, bar: Progress) -> None:
        self.bar = bar

    def __call__(self, record: dict[str, Any]) -> None:
        """A `Report`. The first record says where the run began: a resumed one is not at step 0."""
        step, steps = record["step"] + 1, record["steps"]
        if self.bar.total is None:
            self.bar.at(step - 1, steps)
        self.bar.at(step, steps, figures(record))


def figures(record: dict[str, Any]) -> str:
    """Of one step, for people: bits a symbol, bytes of text a second, what of the device is used."""
    told = [f"loss {record['loss']:.3f}", f"{amount(record['bytes_per_second'])}/s"]
    if record["flops"]:  # 0: not counted
        told.append(f"{record['share_of_peak']:.0%} of peak")
    return ", ".join([*told, amount(record["memory_bytes"])])
