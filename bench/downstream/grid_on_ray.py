"""The runs of a grid as tasks of Ray, on one machine or many; what each does is what a local grid does (`Processes.run`).

The folders of the runs, the store and the held-out text must be the same on all machines.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

import ray

from bench.downstream.worker import Job, Processes
from compressors.errors import in_one_line
from proxylm.data.encode_on_ray import cluster

_POLL = 0.5  # seconds


@contextmanager
def on_ray() -> Iterator[tuple[Processes, int]]:
    """What runs jobs on the cluster that RAY_ADDRESS names, or one of this machine; how many run at a time there."""
    with cluster():
        resources = ray.cluster_resources()
        n_gpus = int(resources.get("GPU", 0))
        yield _Tasks(uses_gpu=n_gpus > 0), n_gpus or max(int(resources.get("CPU", 1)), 1)


class _Tasks(Processes):
    """Runs jobs, each in a task that takes a processor, and a GPU if there are any: Ray says which one.

    If the task's process or machine dies, Ray starts the task again, up to three times: the run resumes at its newest checkpoint.
    """

    def __init__(self, *, uses_gpu: bool) -> None:
        super().__init__()
        self._task = ray.remote(num_cpus=1, num_gpus=int(uses_gpu), max_retries=3)(_run)

    def run(self, job: Job) -> str | None:
        """See `Processes.run`. Once stopped, waits until the run has a checkpoint."""
        if self.stopped:
            return "not begun"
        task, cancelled = self._task.remote(job, os.getcwd()), False
        while not ray.wait([task], timeout=_POLL)[0]:
            if self.stopped and not cancelled:
                ray.cancel(task)
                cancelled = True
        try:
            wrong: str | None = ray.get(task)
        except ray.exceptions.TaskCancelledError:
            return "stopped"
        except ray.exceptions.RayTaskError as error:
            return in_one_line(error.cause)
        except ray.exceptions.RayError as error:
            return f"Ray gave up: {str(error).partition(chr(10))[0]}"
        return wrong


def _run(job: Job, folder: str) -> str | None:
    """The task: it runs on any machine of the cluster. Paths are those that are given in `folder`."""
    os.chdir(folder)
    processes = Processes()
    with ThreadPoolExecutor(1) as pool:  # the thread waits for a process, which no signal would interrupt
        running = pool.submit(processes.run, job)
        try:
            while not wait([running], _POLL).done:
                pass
        except KeyboardInterrupt:  # the task was cancelled
            processes.stop(signal.SIGTERM, None)
            raise
    return running.result()
