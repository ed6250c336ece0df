"""The runs of a grid, each in a separate process, which reads its job from standard input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

import click

from bench import isolated
from bench.downstream import results
from bench.downstream.curves import curves
from bench.downstream.gpus import Gpus
from bench.measuring import environment, processor
from compressors import registry
from compressors.atomic import write_atomically
from compressors.errors import InputError
from compressors.file_lock import lock
from proxylm.cli.step_progress import step_progress
from proxylm.config import RunConfig
from proxylm.config_files import from_mapping
from proxylm.data.store import Store

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ERRORS = "run.err"  # what the process says; locked while it runs


@dataclass(frozen=True)
class Job:
    """All that a run's process needs to know.

    It does not read the recipe: someone may edit that while a grid runs.
    """

    name: str
    folder: str
    store: str
    held_out: tuple[str, ...]
    max_bytes: int
    codecs: tuple[str, ...]  # VIEW@CODEC
    reads: str
    config: dict[str, Any]
    facts: dict[str, Any]  # for the result

    def run(self) -> None:
        """Train and evaluate; write the result."""
        # Here, so that who starts the process loads no torch: tasks of Ray would take seconds for it.
        from bench.downstream.arms import Arm, digest, run_arm, scored, scores

        folder, paths = Path(self.folder), tuple(map(Path, self.held_out))
        documents = scored(paths, self.max_bytes)
        if digest(documents) != self.facts["held_out_sha256"]:
            raise InputError(f"{', '.join(self.held_out)} changed since the grid began; start it again")
        arm = Arm(self.name, from_mapping(RunConfig, self.config), self.reads)
        made = dict(map(registry.parse_named, self.codecs))
        texts = [document.data for document in documents]
        with step_progress(self.name) as report:
            outcome = run_arm(arm, Store.open(Path(self.store)), folder, made, texts, report)
        facts = {"name": self.name} | self.facts | {
            "config": self.config, "totals": outcome.totals, "environment": environment(), "processor": processor(),
            "curves": curves(folder),
        } | scores(outcome.result, documents, paths)  # fmt: skip
        write_atomically(folder / results.RESULT, json.dumps(facts).encode())
        click.echo(
            f"{self.name}: {outcome.result.bits_per_byte:.4f} bits per byte, {outcome.totals['flops']:.3g} FLOPs"
        )


class Processes:
    """Runs jobs. `stop` ends them: each after its step, with a checkpoint."""

    def __init__(self, gpus: Gpus | None = None) -> None:
        """gpus: of which each job gets one."""
        self._running: set[subprocess.Popen[str]] = set()
        self._gpus, self.stopped = gpus or Gpus(), False

    def run(self, job: Job) -> str | None:
        """Run one; what went wrong, if something does. Waits for another grid that runs it.

        The process has a new session, so that Ctrl-C in a terminal reaches only the grid. Its
        progress goes to our standard error.
        """
        folder = Path(job.folder)
        folder.mkdir(exist_ok=True)
        with open(folder / _ERRORS, "a+") as errors:  # the process inherits the lock with its stderr
            if not self._locked(errors):
                return "not begun"
            if (folder / results.RESULT).exists():
                return None
            errors.truncate(0)
            # The process may end before it has read anything.
            with self._gpus.one() as gpu, suppress(BrokenPipeError), subprocess.Popen(
                isolated.command("bench.downstream.worker:main"), stdin=subprocess.PIPE, stdout=2, stderr=errors, text=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"} | gpu, start_new_session=True,
            ) as process:  # fmt: skip
                self._running.add(process)
                if self.stopped:  # between the look above and now
                    process.terminate()
                with suppress(BrokenPipeError):
                    print(json.dumps(asdict(job)), file=process.stdin, flush=True)
                process.wait()
                self._running.discard(process)
            if process.returncode < 0:  # what it said before is not why: the system kills what takes too much memory
                return f"ended by signal {-process.returncode}"
            errors.seek(0)
            said = errors.read().strip().splitlines() or [f"ended with {process.returncode}"]
        return said[-1] if process.returncode else None

    def _locked(self, file: IO[str]) -> bool:
        """Lock the file, however long another grid has it.

        False once stopped, which a blocking lock would not notice.
        """
        while not self.stopped:
            if lock(file):
                return True
            time.sleep(0.2)
        return False

    def stop(self, number: int, frame: FrameType | None) -> None:
        """A handler of signals."""
        self.stopped = True
        for process in tuple(self._running):
            process.terminate()

    @contextmanager
    def stopped_by_signals(self) -> Iterator[None]:
        """Ctrl-C, SIGTERM and a terminal that is closed stop them.

        Afterwards the signals do what they did before.

        One that is ignored stays so: `nohup` asks for that.
        """
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        heeded = [number for number, handler in before.items() if handler != signal.SIG_IGN]
        for number in heeded:
            signal.signal(number, self.stop)
        try:
            yield
        finally:
            for number in heeded:
                signal.signal(number, before[number])


def _end_with_the_grid() -> None:
    """The grid holds the other end of our standard input for as long as it lives: one that was
    killed could not tell us.
    """
    while os.read(0, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """The process."""
    job = Job(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_the_grid, daemon=True).start()
    job.run()
