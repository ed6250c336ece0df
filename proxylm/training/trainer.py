"""The training loop. State after step s is a function of (store, config, s): a resumed run equals an uninterrupted one."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from compressors.errors import InputError, InvalidConfig
from proxylm.config import RunConfig
from proxylm.data.store import Store
from proxylm.model.decoder import Decoder
from proxylm.training import checkpoint, memory, run_folder, trackers
from proxylm.training.checkpoint_writer import Writer
from proxylm.training.distributed import Place
from proxylm.training.divergence import check_finite
from proxylm.training.foreign import OURS, Foreign
from proxylm.training.outlook import Begin, Outlook
from proxylm.training.precision import numerics, resolved
from proxylm.training.run_plan import RunPlan
from proxylm.training.signals import signals_received
from proxylm.training.slices import Slices
from proxylm.training.step import Trainer

__all__ = ["Report", "Stopped", "Trainer", "train"]

Report = Callable[[dict[str, Any]], None]  # called with each step's log record


class Stopped(UserWarning):
    """A run that a signal has ended before its last step."""


def train(
    store: Store,
    config: RunConfig,
    run: Path,
    *,
    held_out: Sequence[bytes] = (),
    begin: Begin | None = None,
    report: Report = lambda record: None,
    place: Place | None = None,
    init: Path | None = None,
    foreign: Foreign = OURS,
) -> Decoder:
    """Train into the folder `run`, resuming from its newest checkpoint if there is one.

    held_out: documents scored every `train.eval_every` steps; the best model is kept beside the last ones. init: a run whose
    newest weights this one begins with. begin: is given what the run will take, before the first step; report: the record of
    each step. foreign: a model, optimizers or a schedule in place of ours; a resume needs the same.
    Ctrl-C or SIGTERM ends the run after the step at hand, with a checkpoint.

    Raises `InvalidConfig` if `run` holds a run of another configuration, store or held-out text, `InputError` if another
    process trains there or `held_out` has no byte, `Diverged` if the loss, a gradient or a weight is not finite,
    `OutOfMemory`, `MissingExtra` for a tracker that is not installed. The model of a sharded run stays in slices
    (`proxylm.training.fsdp`); `run_folder.load_run` gives it whole.
    """
    run = Path(run)
    with ExitStack() as stack:
        place = stack.enter_context(Place.here()) if place is None else place
        _check(config, held_out, place)
        foreign.check(config.train)
        # What `auto` stands for is asked once for a run: a resumed one keeps it.
        recorded = place.from_first(lambda: run_folder.recorded_choice(run))
        settled = resolved(config, place, recorded)
        stack.enter_context(numerics(settled.train))
        stack.enter_context(memory.one_line(settled.train))
        steps = place.from_first(lambda: run_folder.recorded_steps(run, config))
        plan = RunPlan.of(store, settled, steps=steps)
        if not plan.shows_text:
            raise InputError(f"the rows of this run show no byte of {store.path}; encode documents that are not empty")
        trainer = Trainer(plan, place, foreign)
        # What process 0 refuses ends all: none waits for it.
        place.from_first(lambda: run_folder.claim(run, config, plan, held_out, init, foreign.names))
        start = trainer.resume(run, init)
        if begin is not None and place.rank == 0:
            begin(Outlook.of(plan, start))
        log = stack.enter_context(run_folder.Log(run / "log.jsonl", start, write=place.rank == 0))
        stack.enter_context(trainer.prefetching())
        slices = stack.enter_context(Slices(place)) if trainer.sharded else None  # left when they are written
        writer = stack.enter_context(Writer())
        received = stack.enter_context(signals_received())  # left only when the trackers are closed
        if place.rank == 0 and start < trainer.steps:
            tracked = trackers.Run(run, dataclasses.asdict(config), start)
            report = _both(report, stack.enter_context(trackers.tracking(config.train.trackers, tracked)))
        _run(trainer, run, start, held_out, log, report, received, writer, slices)
    return trainer.model


def _both(one: Report, other: Report) -> Report:
    """A report to both."""

    def report(record: dict[str, Any]) -> None:
        one(record)
        other(record)

    return report


def _check(config: RunConfig, held_out: Sequence[bytes], place: Place) -> None:
    """Raise where a run could not begin."""
    for name in config.train.trackers:
        trackers.maker(name)
    if config.train.rows % place.world:
        raise InvalidConfig(
            f"train.rows {config.train.rows} cannot be shared by {place.world} processes; use a multiple"
        )
    if held_out and not any(held_out):
        raise InputError("the held-out documents have no byte to score; give others")
    if held_out and not config.mix.shows_raw:
        raise InvalidConfig(
            f"recipe {config.mix.recipe!r} never shows raw bytes, as which held-out documents are scored; leave them out, and "
            "score the run with `proxyc eval RUN CORPUS --codec CODEC`"
        )
    if config.train.dtype == "bf16" and not place.has_bf16:
        warnings.warn(
            "train.dtype is bf16, and this processor has no units for it: a step takes many times as long as in fp32; "
            "set train.dtype=fp32",
            stacklevel=3,
        )
    if place.device.type == "cuda" and config.train.attention == "auto" and not config.train.compile:
        warnings.warn(
            "train.compile is off: attention then looks at all pairs of positions, under a mask; set train.compile=true for "
            "FlexAttention, which leaves out what the mask hides",
            stacklevel=3,
        )


def _run(
    trainer: Trainer,
    run: Path,
    step: int,
    held_out: Sequence[bytes],
    log: run_folder.Log,
    report: Report,
    received: list[int],
    writer: Writer,
    slices: Slices | None,
) -> None:
    """The steps from `step` on, with scores and checkpoints, until the end or a signal."""
    settings, steps, writes = trainer.config.train, trainer.steps, trainer.place.rank == 0
    takes_part = writes or trainer.sharded  # all give their slices
    how: Any = {"write": writes, "writer": writer, "slices": slices}
    while step < steps:
        writer.check()
        record, stop = trainer.step(step, bool(received))
        step += 1
        is_last = step == steps
        scores = held_out and (is_last or (settings.eval_every and step % settings.eval_every == 0))
        saves = stop or is_last or step % settings.checkpoint_every == 0
        if scores or saves:
            check_finite(trainer.model, trainer.place, step)
        if scores:
            record["held_out_bits_per_byte"] = trainer.held_out(held_out)
            score = record["held_out_bits_per_byte"]
            checkpoint.save_best(run, trainer.model, step, score, **how)
        log.write(record)
        report(record | {"steps": steps})
        if saves and takes_part:
            log.sync()
            state = {"step": step, "rows": trainer.cursor}
            checkpoint.save(run, trainer.model, trainer.optimizers, state, settings.keep, **how)
        if stop or is_last:
            writer.wait()
        if stop:
            if writes and not is_last:
                warnings.warn(
                    f"stopped by a signal after step {step} of {steps}, with a checkpoint in {run}; the same command resumes there",
                    Stopped,
                    stacklevel=3,
                )
            break
