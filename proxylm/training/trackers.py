"""The log of a run for TensorBoard, where that is wanted beside log.jsonl."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def board(run: Path) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A report (`proxylm.training.trainer.Report`) that writes every number of a record to RUN/tensorboard.

    Steps that are done again after a resume replace those before.
    """
    from torch.utils.tensorboard import SummaryWriter

    writer: list[SummaryWriter] = []

    def report(record: dict[str, Any]) -> None:
        step = record["step"]
        if not writer:
            # Hides records of later steps.
            writer.append(SummaryWriter(str(run / "tensorboard"), purge_step=step))
        for name, value in _numbers(record):
            writer[0].add_scalar(name, value, step)

    try:
        yield report
    finally:
        for opened in writer:
            opened.close()


def _numbers(record: dict[str, Any], before: str = "") -> Iterator[tuple[str, float]]:
    """(name, value) of all numbers, also in nested records: symbols/raw."""
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{before}{name}/")
        elif isinstance(value, (int, float)) and name != "step":
            yield before + name, float(value)
