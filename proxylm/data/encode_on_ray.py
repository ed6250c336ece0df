"""Shards made by tasks of Ray, on one machine or many; what each does is what the local engine does (`shards.missing`).

The corpus is read here, one shard after the other; the folder of the store must be the same on all machines.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from compressors.errors import InvalidConfig, ProxycError
from proxylm.data.store import StoreError
from proxylm.data.store_writer import Maker, Shard, missing


def on_ray(
    shards: Iterator[Shard], path: Path, makers: Sequence[Maker], threads: int
) -> Iterator[tuple[int, int, int]]:
    """The engine (see `encode.Engine`): on the cluster that RAY_ADDRESS names, or one of this machine's processors.

    A task takes `threads` processors. If its process dies, Ray starts it again, up to three times; since files get
    their names only when they are whole, the new task resumes at the first missing column. Raises what a task raised, and
    `StoreError` if the cluster gave up.
    """
    try:
        with cluster():
            yield from _run(shards, path.resolve(), makers, threads)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, (ProxycError, OSError)):
            raise error.cause from None  # Ray's own has the traceback of the task in its message
        raise
    except ray.exceptions.RayError as error:
        reason = str(error).partition("\n")[0]
        raise StoreError(f"{path} is not finished, Ray gave up: {reason}; the same command resumes") from error


@contextmanager
def cluster() -> Iterator[None]:
    """The cluster that RAY_ADDRESS names, or one of this machine's processors; one that is in use stays so."""
    started = not ray.is_initialized()
    if started:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report to its makers
        # Ray starts its workers at nice 15: beside other work they would get a thirtieth of a processor, and seem to hang.
        os.environ.setdefault("RAY_worker_niceness", "0")
        ray.init(include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        yield
    finally:
        if started:
            ray.shutdown()


def _run(shards: Iterator[Shard], path: Path, makers: Sequence[Maker], threads: int) -> Iterator[tuple[int, int, int]]:
    """Keep as many tasks running as the cluster has processors for; yield the counts of each that ends."""
    processors = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    if threads > max(processors):
        raise InvalidConfig(
            f"{threads} threads for a shard, but no machine of the cluster has more than {max(processors)}"
        )
    at_once = sum(n // threads for n in processors) + 1  # and one that waits: shards are held in memory
    task = ray.remote(num_cpus=threads, max_retries=3)(_make)
    shared = ray.put(makers)  # sent to each machine once, not with every task
    running: dict[Any, tuple[int, int, int]] = {}
    for shard in shards:
        if len(running) == at_once:  # a shard is read only when a task can take it
            yield _finished(running)
        running[task.remote(path, shard, shared, threads)] = shard.counts
    while running:
        yield _finished(running)


def _make(path: Path, shard: Shard, makers: Sequence[Maker], threads: int) -> None:
    """The task: it runs on any machine of the cluster."""
    for write in missing(path, shard, makers, threads):
        write()


def _finished(running: dict[Any, tuple[int, int, int]]) -> tuple[int, int, int]:
    """Wait for one of the tasks, take it out, and return its counts."""
    (done,), _ = ray.wait(list(running), num_returns=1)
    ray.get(done)
    return running.pop(done)
