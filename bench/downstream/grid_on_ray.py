"""The runs of a grid as tasks of Ray, on one machine or many; what each does is what a local grid does (`Processes.run`).

The folders of the runs, the store and the held-out text must be the same on all machines.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import ray

from bench.downstream.worker import Job, Processes
from compressors.errors import in_one_line
from proxylm.data.encode_on_ray import cluster

# Seconds: between looks; until a run counts as stuck that was told to stop; without a machine for a task, which an autoscaler
# may be starting; for an answer of some bytes.
_POLL, _STOPS, _WITHOUT, _ANSWER = 0.5, 600.0, 900.0, 60.0


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
        self._needs = {"CPU": 1} | ({"GPU": 1} if uses_gpu else {})
        self._task = ray.remote(num_cpus=1, num_gpus=int(uses_gpu), max_retries=3)(_run)

    def run(self, job: Job) -> str | None:
        """See `Processes.run`. Once stopped, waits until the run has a checkpoint, ten minutes at most."""
        if self.stopped:
            return "not begun"
        task = self._task.remote(job, os.getcwd())
        try:
            if wrong := self._awaited(task):
                ray.cancel(task, force=True)  # its run ends after its step, with a checkpoint
                return wrong
            said: str | None = ray.get(task, timeout=_ANSWER)
        except ray.exceptions.TaskCancelledError:
            return "stopped"
        except ray.exceptions.RayTaskError as error:
            return in_one_line(error.cause)
        except ray.exceptions.RayError as error:
            return f"Ray gave up: {str(error).partition(chr(10))[0]}"
        return said

    def _awaited(self, task: Any) -> str | None:
        """Wait until `task` is done; a reason why it is not waited for any longer.

        A run may take days, so only what should be quick has a limit. Ray itself notices lost workers and machines.
        """
        seen, told = time.monotonic(), None  # when a machine for it was there; when it was told to stop
        while not ray.wait([task], timeout=_POLL)[0]:
            now = time.monotonic()
            if self.stopped and told is None:
                ray.cancel(task)
                told = now
            if told is not None and now - told > _STOPS:
                return (
                    f"did not stop within {_STOPS / 60:.0f} minutes; the same command resumes at its newest checkpoint"
                )
            there = ray.cluster_resources()
            if all(there.get(kind, 0) >= number for kind, number in self._needs.items()):
                seen = now
            elif now - seen > _WITHOUT:
                kinds = " and a ".join(self._needs)
                return f"no machine of the cluster has had a {kinds} for {_WITHOUT / 60:.0f} minutes; start one, and the same command resumes"
        return None


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
