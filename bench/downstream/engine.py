"""Where the runs of a grid are: processes of this machine, or tasks of a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from bench.downstream.gpus import Gpus, visible
from bench.downstream.worker import Processes

F = TypeVar("F", bound=Callable[..., Any])


def options(command: F) -> F:
    """`--jobs` and `--engine`, for `started`."""
    jobs = click.option(
        "--jobs",
        type=click.IntRange(1),
        show_default="one a GPU, or one a core",
        help="Runs at a time, with one thread each. More than GPUs share them.",
    )
    engine = click.option(
        "--engine",
        type=click.Choice(["local", "ray"]),
        default="local",
        show_default=True,
        help="ray: runs are tasks on a cluster (RAY_ADDRESS), each with a processor, and a GPU if there are any; the same results.",
    )
    return jobs(engine(command))


@contextmanager
def started(engine: str, jobs: int | None) -> Iterator[tuple[Processes, int]]:
    """What runs jobs, and how many at a time; ready for as long as the block lasts."""
    if engine == "ray":
        from bench.downstream.grid_on_ray import on_ray

        with on_ray() as (runs, most):
            yield runs, jobs or most
        return
    gpus = visible()
    yield Processes(Gpus(gpus)), jobs or len(gpus) or os.cpu_count() or 1
