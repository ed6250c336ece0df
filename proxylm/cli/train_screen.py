"""What `proxyc train` says: what it is about to do, how long that will take, what came of it, what to type next."""

from __future__ import annotations

import shlex
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compressors.cli.progress import amount, duration
from proxylm.cli.step_progress import StepProgress, step_progress

if TYPE_CHECKING:  # both need torch, and help does not
    from proxylm.training.outlook import Outlook

_MEASURED = range(1, 4)  # steps that tell how long the run takes: the first one compiles and fills caches


class Screen:
    """The lines of one run on standard error, around its bar."""

    def __init__(self, run: Path, steps: StepProgress) -> None:
        self.run, self._steps, self._seconds = run, steps, list[float]()

    def begin(self, outlook: Outlook) -> None:
        """Before the first step."""
        for line in opening(self.run, outlook):
            self._steps.bar.say(line)

    def report(self, record: dict[str, Any]) -> None:
        """After each step; once the first ones are measured, how long the rest takes."""
        self._steps(record)
        if len(self._seconds) <= _MEASURED[-1]:
            self._seconds.append(record["seconds"])
            if len(self._seconds) == _MEASURED.stop:
                seconds = statistics.median(self._seconds[i] for i in _MEASURED)
                left = seconds * (record["steps"] - record["step"] - 1)
                if left:
                    self._steps.bar.say(f"a step takes {seconds:.2g} s; about {duration(left)} left")


@contextmanager
def screen(run: Path, *, quiet: bool) -> Iterator[Screen]:
    """With `quiet` it says nothing."""
    with step_progress(run.name, quiet=quiet) as steps:
        yield Screen(run, steps)


def opening(run: Path, outlook: Outlook) -> list[str]:
    """What the run is about to do."""
    plan, config = outlook.plan, outlook.plan.config
    train, views = config.train, ", ".join(config.mix.views) or "raw bytes only"
    memory = outlook.weight_bytes + outlook.activation_bytes
    lines = [
        f"{run}: a model of {outlook.parameters:,} parameters; recipe {config.mix.recipe}, {views}",
        f"  {plan.steps:,} steps of {train.rows} x {train.row_length} symbols, {plan.flops:.3g} FLOPs",
        f"  {amount(plan.n_bytes)} of text, {plan.passes:.2g} passes over {plan.store.path}",
        f"  at most {amount(memory)} of memory beside torch's own, {amount(outlook.activation_bytes)} of it for activations",
    ]
    if outlook.start >= plan.steps:
        lines.append("  all of its steps are done already; nothing is left to train")
    elif outlook.start:
        lines.append(f"  it resumes after step {outlook.start:,}")
    return lines


def ending(run: Path, log: Sequence[dict[str, Any]], held_out: Sequence[str] = (), *, reads_bytes: bool = True) -> str:
    """What a run has done, its scores on held-out documents, and the commands that come next."""
    flops, n_bytes = sum(record["flops"] for record in log), sum(sum(record["bytes"].values()) for record in log)
    lines = [f"{run}: {len(log)} steps in {log[-1]['dtype']}, {flops:.3g} FLOPs, {n_bytes:,.0f} bytes of text shown"]
    scores = [(r["held_out_bits_per_byte"], r["step"] + 1) for r in log if "held_out_bits_per_byte" in r]
    if scores:
        best, at = min(scores)
        lines.append(f"held-out documents: {scores[-1][0]:.4f} bits per byte, the best {best:.4f} after step {at}")
    name, corpus = shlex.quote(str(run)), " ".join(map(shlex.quote, held_out)) or "CORPUS"
    if reads_bytes:
        lines += [f"next: proxyc eval {name} {corpus}", f'      proxyc generate {name} "def "']
    else:
        lines.append(f"next: proxyc eval {name} {corpus} --codec CODEC")
    return "\n".join(lines)
