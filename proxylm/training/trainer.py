"""The training loop. State after step s is a function of (store, config, s): a resumed run equals an uninterrupted one."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compressors.errors import InputError, InvalidConfig
from proxylm.config import RunConfig
from proxylm.data.batch import Batch
from proxylm.data.loader import pieces_of
from proxylm.data.store import Store
from proxylm.evaluation.bits_per_byte import evaluate, trained_window
from proxylm.model.attention import mask_maker
from proxylm.model.decoder import Decoder
from proxylm.training import checkpoint, fsdp, memory, run_folder
from proxylm.training.distributed import Place
from proxylm.training.divergence import check_finite, diverged
from proxylm.training.lr_schedule import set_rates
from proxylm.training.optim import make_optimizers
from proxylm.training.precision import resolved
from proxylm.training.run_plan import RunPlan
from proxylm.training.signals import signals_received
from proxylm.training.step_sums import StepSums

Report = Callable[[dict[str, Any]], None]  # called with each step's log record


class Stopped(UserWarning):
    """A run that a signal has ended before its last step."""


def train(
    store: Store,
    config: RunConfig,
    run: Path,
    *,
    held_out: Sequence[bytes] = (),
    report: Report = lambda record: None,
    place: Place | None = None,
    init: Path | None = None,
) -> Decoder:
    """Train into the folder `run`, resuming from its newest checkpoint if there is one.

    held_out: documents scored every `train.eval_every` steps; the best model is kept beside the last ones. init: a run whose
    newest weights this one begins with. Ctrl-C or SIGTERM ends the run after the step at hand, with a checkpoint.

    Raises `InvalidConfig` if `run` holds a run of another configuration, store or held-out text, `InputError` if another
    process trains there or `held_out` has no byte, `Diverged` if the loss, a gradient or a weight is not finite,
    `OutOfMemory`. The model of a sharded run stays in slices (`proxylm.training.fsdp`); `run_folder.load_run` gives it whole.
    """
    run = Path(run)
    if place is None:
        with Place.here() as here:
            return train(store, config, run, held_out=held_out, report=report, place=here, init=init)
    _check(config, held_out, place)
    # What `auto` stands for is asked once for a run: a resumed one keeps it.
    settled = resolved(config, place, run_folder.recorded_choice(run))
    with memory.one_line(settled.train):
        plan = RunPlan.of(store, settled, steps=run_folder.recorded_steps(run, config))
        if not plan.shows_text:
            raise InputError(f"the rows of this run show no byte of {store.path}; encode documents that are not empty")
        trainer = Trainer(plan, place)
        if place.rank == 0:
            run_folder.claim(run, config, plan, held_out, init)
        start = trainer.resume(run, init)
        with run_folder.Log(run / "log.jsonl", start, write=place.rank == 0) as log, signals_received() as received:
            _run(trainer, run, start, held_out, log, report, received)
    return trainer.model


def _check(config: RunConfig, held_out: Sequence[bytes], place: Place) -> None:
    """Raise where a run could not begin."""
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


def _run(
    trainer: Trainer,
    run: Path,
    step: int,
    held_out: Sequence[bytes],
    log: run_folder.Log,
    report: Report,
    received: list[int],
) -> None:
    """The steps from `step` on, with scores and checkpoints, until the end or a signal."""
    settings, steps, writes = trainer.config.train, trainer.steps, trainer.place.rank == 0
    takes_part = writes or trainer.sharded  # slices are put together by all
    while step < steps:
        record, stop = trainer.step(step, bool(received))
        step += 1
        is_last = step == steps
        scores = held_out and (is_last or (settings.eval_every and step % settings.eval_every == 0))
        saves = stop or is_last or step % settings.checkpoint_every == 0
        if scores or saves:
            check_finite(trainer.model, trainer.place, step)
        if scores and takes_part:
            record["held_out_bits_per_byte"] = trainer.held_out(held_out)
            checkpoint.save_best(run, trainer.model, step, record["held_out_bits_per_byte"], write=writes)
        log.write(record)
        report(record | {"steps": steps})
        if saves and takes_part:
            log.sync()
            state = {"step": step, "rows": trainer.loader.planner.cursor}
            checkpoint.save(run, trainer.model, trainer.optimizers, state, settings.keep, write=writes)
        if stop:
            if writes and not is_last:
                warnings.warn(
                    f"stopped by a signal after step {step} of {steps}, with a checkpoint in {run}; the same command resumes there",
                    Stopped,
                    stacklevel=3,
                )
            break


class Trainer:
    """Model, optimizers and rows of a run; `step` does one."""

    def __init__(self, plan: RunPlan, place: Place) -> None:
        """Weights are drawn from `train.seed` on the CPU, so that they do not depend on the device or the processes."""
        config, self.loader, self.steps, self.place = plan.config, plan.loader, plan.steps, place
        self.config = config = resolved(config, place, {})
        torch.manual_seed(config.train.seed)
        self.model = Decoder.of(config, self.loader.alphabet)
        if (pieces := self.model.embedding.pieces) is not None:
            pieces.copy_(torch.from_numpy(pieces_of(plan.store, self.loader.alphabet, pieces.shape[1])))
        self.sharded = config.train.shard and place.world > 1
        if self.sharded:
            fsdp.shard(self.model, place)  # block by block: no GPU ever holds all of it
        else:
            self.model.to(place.device)
        self.model.mask_of = mask_maker(config.train.attention, place.device)
        n_heads, n_ahead = len(self.loader.heads), config.model.n_ahead
        weights = [1.0] * n_heads + [
            config.train.ahead_weight / max(n_ahead, 1)
        ] * n_ahead  # the extra heads by their mean
        self.weights = torch.tensor(weights, device=place.device)  # of the losses of every softmax and extra head
        self.optimizers = make_optimizers(self.model, config.train)
        for block in self.model.blocks if config.train.compile else ():
            block.compile(dynamic=False)  # all batches have one shape

    def resume(self, run: Path, init: Path | None = None) -> int:
        """Read the newest checkpoint of `run`, or begin with the weights of the run `init`; the step that comes next."""
        newest = checkpoint.latest(run)
        if newest is not None:
            state = checkpoint.load(newest, self.model, self.optimizers)
            if cursor := state.get("rows"):  # older checkpoints have none: rows are planned from the first
                self.loader.planner.jump(cursor)
            return int(state["step"])
        if init is not None:
            checkpoint.load_weights(init, self.model)
        return 0

    def step(self, step: int, stop: bool = False) -> tuple[dict[str, Any], bool]:
        """One optimizer step: the log record of all processes together, and whether a signal has reached any of them.

        stop: whether one has reached this process. Raises `Diverged` before the weights are changed.
        """
        began = time.perf_counter()
        heads, place = self.loader.heads, self.place
        batch = self.loader.batch(step, place.rank, place.world)
        own = StepSums.of(batch, len(heads), self.config.model.n_ahead, stop)
        sums = StepSums.from_tensor(place.summed(own.to_tensor()), len(heads))
        # The loss is the mean over the targets of all processes, so gradients of parts and processes add up to its own.
        nats, total = torch.zeros(len(self.weights), dtype=torch.float64), sum(sums.targets)
        for part in batch.parts(self.config.train.micro_rows or len(batch.inputs)):
            lost = self._nats(part)  # (heads + n_ahead,)
            ((lost @ self.weights) / total).backward()
            nats += lost.detach().double().cpu()
        nats = place.summed(nats)
        if not self.sharded:
            place.reduce_gradients(self.model)
        if not nats.isfinite().all() or not self._gradients_are_finite():
            loss = float(nats[: len(heads)].sum()) / math.log(2) / total
            raise diverged(
                loss, step, batch, self.loader.first_row(step, place.rank, place.world), self._row_bits(batch)
            )
        # Progress at the middle of the step.
        set_rates(self.optimizers, self.config.train, (step + 0.5) / self.steps)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seconds = time.perf_counter() - began
        return sums.record(self.config, heads, step, nats.tolist(), seconds), bool(sums.stop)

    def held_out(self, documents: Sequence[bytes]) -> float:
        """Bits per byte of the model as it is. Sharded, every process must take part."""
        with torch.compiler.set_stance("force_eager"):  # hardly two batches of windows have the same shape
            result = evaluate(self.model, documents, window=trained_window(self.config))
        fsdp.release(self.model)
        return result.bits_per_byte

    def _nats(self, batch: Batch) -> Tensor:
        """(heads + n_ahead,) summed -ln p under each head."""
        device = self.place.device
        ids, targets, doc, mode = (
            torch.from_numpy(a).to(device) for a in (batch.inputs, batch.targets, batch.doc, batch.mode)
        )
        bags = None if batch.bags is None else torch.from_numpy(batch.bags).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.config.train.dtype == "bf16"):
            return self.model.heads.nats(self.model(ids, doc, bags=bags), targets, mode, self.loader.heads, bags, doc)

    def _gradients_are_finite(self) -> bool:
        """In all processes."""
        gradients = [fsdp.local(p.grad) for p in self.model.parameters() if p.grad is not None]
        # Not a number if one number is not.
        norms = torch.stack([gradient.norm() for gradient in gradients])
        wrong = (~norms.isfinite()).any().double()
        return not (self.place.summed(wrong) if self.sharded else wrong).item()

    @torch.no_grad()
    def _row_bits(self, batch: Batch) -> list[float]:
        """Bits per symbol of each row of this process."""
        n_heads = len(self.loader.heads)
        return [
            float(self._nats(row)[:n_heads].sum()) / math.log(2) / max(int((row.targets >= 0).sum()), 1)
            for row in batch.parts(1)
        ]
