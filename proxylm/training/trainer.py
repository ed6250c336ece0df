"""The training loop. State after step s is a function of (store, config, s): a resumed run equals an uninterrupted one."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compressors.errors import InputError, InvalidConfig
from proxylm.config import RunConfig
from proxylm.data.alphabet import HeadSlice
from proxylm.data.loader import Batch, Loader, pieces_of
from proxylm.data.store import Store
from proxylm.evaluation.bits_per_byte import evaluate, trained_window
from proxylm.model import multi_token
from proxylm.model.attention import mask_maker
from proxylm.model.decoder import Decoder, training_flops
from proxylm.training import checkpoint, fsdp, run_folder
from proxylm.training.distributed import Place
from proxylm.training.divergence import diverged
from proxylm.training.optim import optimizers, set_rates
from proxylm.training.signals import told_to_stop

Report = Callable[[dict[str, Any]], None]  # told each step's log record


def planned_steps(store: Store, config: RunConfig) -> int:
    """Steps of the run: as given, or as many as fit into `flops`. Raises `InvalidConfig` if not even one does."""
    if config.train.steps is not None:
        return config.train.steps
    assert config.train.flops is not None
    low, high, loader = 1, 2, Loader(store, config, config.train.rows)
    if (one := run_cost(loader, config, 1)[0]) > config.train.flops:
        raise InvalidConfig(f"train.flops {config.train.flops:g} is less than one step; give {one:.3g} or more")
    while run_cost(loader, config, high)[0] <= config.train.flops:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if run_cost(loader, config, middle)[0] <= config.train.flops else (low, middle)
    return low


def run_flops(store: Store, config: RunConfig, steps: int) -> float:
    """Training FLOPs of the first `steps` steps of a run of `steps` steps, from the row plan alone."""
    return run_cost(Loader(store, config, steps * config.train.rows), config, steps)[0]


def run_cost(loader: Loader, config: RunConfig, steps: int) -> tuple[float, float]:
    """`run_flops`, with what a loader of any length knows of the documents; passes over the corpus."""
    rows = steps * config.train.rows
    planner = replace(loader.planner, total_rows=rows)
    counts = planner.targets(0, rows).tolist()
    n_ahead = config.model.n_ahead
    heads = zip(loader.heads, counts, strict=False)
    ahead = sum(counts[len(counts) - n_ahead :])
    return training_flops(config.model, config.train.row_length, rows, heads, ahead), planner.passes


def train(
    store: Store,
    config: RunConfig,
    run: Path,
    *,
    held_out: Sequence[bytes] = (),
    report: Report = lambda record: None,
    place: Place | None = None,
) -> Decoder:
    """Train into the folder `run`, going on from its newest checkpoint if there is one.

    held_out: documents scored every `train.eval_every` steps; the best model is kept beside the last ones. Ctrl-C or
    SIGTERM ends the run after the step at hand, with a checkpoint. Raises `InvalidConfig` if `run` holds a run of another
    configuration or store, `InputError` if another process trains there or `held_out` has no byte, `Diverged` if the loss is
    not a number. The model of a sharded run stays in slices (`proxylm.training.fsdp`); `run_folder.load_run` gives it whole.
    """
    if place is None:
        with Place.here() as here:
            return train(store, config, run, held_out=held_out, report=report, place=here)
    if config.train.rows % place.world:
        raise InvalidConfig(
            f"train.rows {config.train.rows} cannot be shared by {place.world} processes; use a multiple"
        )
    if held_out and not any(held_out):
        raise InputError("the held-out documents have no byte to score; give others")
    if config.train.dtype == "bf16" and not place.has_bf16:
        warnings.warn(
            "train.dtype is bf16, and this processor has no units for it: a step takes many times as long as in fp32; "
            "set train.dtype=fp32",
            stacklevel=2,
        )
    steps = planned_steps(store, config)
    loop = Loop(store, config, steps, place)
    writes = place.rank == 0
    if writes:
        run_folder.claim(run, config, store, steps)
    step = 0
    if (found := checkpoint.latest(run)) is not None:
        step = int(checkpoint.load(found, loop.model, loop.tuned)["step"])
    with run_folder.Log(run / "log.jsonl", step, write=writes) as log, told_to_stop() as told:
        while step < steps:
            record, stop = loop.step(step, bool(told))
            step += 1
            due = step == steps or (config.train.eval_every and step % config.train.eval_every == 0)
            takes_part = writes or loop.sharded  # slices are put together by all
            if held_out and due and takes_part:
                record["held_out_bits_per_byte"] = loop.held_out(held_out)
                checkpoint.save_best(run, loop.model, step, record["held_out_bits_per_byte"], write=writes)
            log.write(record)
            report(record | {"steps": steps})
            if takes_part and (stop or step % config.train.checkpoint_every == 0 or step == steps):
                log.sync()
                checkpoint.save(run, loop.model, loop.tuned, {"step": step}, config.train.keep, write=writes)
            if stop:
                break
    return loop.model


class Loop:
    """Model, optimizers and rows of a run of `steps` steps; `step` does one."""

    def __init__(self, store: Store, config: RunConfig, steps: int, place: Place) -> None:
        self.config, self.steps, self.place = config, steps, place
        torch.manual_seed(config.train.seed)
        self.loader = Loader(store, config, steps * config.train.rows)
        self.model = Decoder.of(config, self.loader.alphabet)
        if (pieces := self.model.embedding.pieces) is not None:
            pieces.copy_(torch.from_numpy(pieces_of(store, self.loader.alphabet, pieces.shape[1])))
        self.sharded = config.train.shard and place.world > 1
        if self.sharded:
            fsdp.shard(self.model, place)  # block by block: no GPU ever holds all of it
        else:
            self.model.to(place.device)
        self.model.mask_of = mask_maker(config.train.attention, place.device)
        n_heads, n_ahead = len(self.loader.heads), config.model.n_ahead
        weights = [1.0] * n_heads + [config.train.ahead_weight / max(n_ahead, 1)] * n_ahead
        self.weights = torch.tensor(weights, device=place.device)  # of the losses of every softmax and extra head
        self.tuned = optimizers(self.model, config.train)
        for block in self.model.blocks if config.train.compile else ():
            block.compile(dynamic=False)

    def step(self, step: int, stop: bool = False) -> tuple[dict[str, Any], bool]:
        """One optimizer step: the log record of all processes together, and whether any of them was told to `stop`."""
        began = time.perf_counter()
        heads, place = self.loader.heads, self.place
        batch = self.loader.batch(step, place.rank, place.world)
        scored = np.bincount(batch.mode[batch.targets >= 0], minlength=len(heads)).tolist()
        scored += multi_token.counts(batch.targets, batch.doc, batch.mode, self.config.model.n_ahead)
        n_losses = len(scored)  # of every softmax, then of every extra head
        counts = place.summed(torch.tensor([stop, *scored, batch.checksum, *_flat(batch)], dtype=torch.float64))
        stop, counts = bool(counts[0]), counts[1:]
        total, nats = counts[: len(heads)].sum(), torch.zeros(n_losses, dtype=torch.float64)
        for part in batch.parts(self.config.train.micro_rows or len(batch.inputs)):
            lost = self._nats(part)
            ((lost @ self.weights) / total).backward()
            nats += lost.detach().double().cpu()
        nats = place.summed(nats)
        if not nats.isfinite().all():
            first_row = self.loader.first_row(step, place.rank, place.world)
            raise diverged(float(nats.sum()), step, batch, first_row, self._row_bits(batch))
        if not self.sharded:
            place.reduce_gradients(self.model)
        set_rates(self.tuned, self.config.train, (step + 0.5) / self.steps)
        for optimizer in self.tuned:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return _record(self.config, heads, step, counts.tolist(), nats.tolist(), time.perf_counter() - began), stop

    def held_out(self, documents: Sequence[bytes]) -> float:
        """Bits per byte of the model as it is. Sharded, every process must take part."""
        with torch.compiler.set_stance("force_eager"):  # hardly two batches of windows have the same shape
            found = evaluate(self.model, documents, window=trained_window(self.config)).bits_per_byte
        fsdp.release(self.model)
        return found

    def _nats(self, batch: Batch) -> Tensor:
        """(heads + n_ahead,) summed -ln p under each head."""
        device = self.place.device
        ids, targets, doc, mode = (
            torch.from_numpy(a).to(device) for a in (batch.inputs, batch.targets, batch.doc, batch.mode)
        )
        bags = None if batch.bags is None else torch.from_numpy(batch.bags).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=self.config.train.dtype == "bf16"):
            return self.model.heads.nats(self.model(ids, doc, bags=bags), targets, mode, self.loader.heads, bags, doc)

    @torch.no_grad()
    def _row_bits(self, batch: Batch) -> list[float]:
        """Bits per symbol of each row of this process."""
        n_heads = len(self.loader.heads)
        return [
            float(self._nats(row)[:n_heads].sum()) / math.log(2) / max(int((row.targets >= 0).sum()), 1)
            for row in batch.parts(1)
        ]


def _flat(batch: Batch) -> list[float]:
    shares = batch.shares
    return [*shares.documents.values(), *shares.symbols.values(), *shares.n_bytes.values()]


def _record(
    config: RunConfig, heads: Sequence[HeadSlice], step: int, counts: list[float], nats: list[float], seconds: float
) -> dict[str, Any]:
    """What the log says of a step: losses in bits per symbol, what was shown, what it cost."""
    n_heads, n_losses = len(heads), len(nats)
    scored, further, (checksum, *shares) = counts[:n_heads], counts[n_heads:n_losses], counts[n_losses:]
    n_raw, n_comp = scored[0], sum(scored[1:])
    rows, length = config.train.rows, config.train.row_length
    bits = [n / math.log(2) for n in nats]
    return {
        "step": step,
        "loss": sum(bits[:n_heads]) / (n_raw + n_comp),
        "raw_bits_per_symbol": bits[0] / n_raw if n_raw else None,
        "comp_bits_per_symbol": sum(bits[1:n_heads]) / n_comp if n_comp else None,
        "ahead_bits_per_symbol": {
            i: b / n for i, (b, n) in enumerate(zip(bits[n_heads:], further, strict=True), 1) if n
        },
        "documents": dict(zip(("raw", "comp", "pair"), shares[:3], strict=True)),
        "symbols": dict(zip(("raw", "comp"), shares[3:5], strict=True)),
        "bytes": dict(zip(("raw", "comp"), shares[5:7], strict=True)),
        "flops": training_flops(
            config.model, length, rows, zip(heads, map(int, scored), strict=True), int(sum(further))
        ),
        "rows_checksum": int(checksum),
        "seconds": seconds,
        "symbols_per_second": sum(shares[3:5]) / seconds,
        "bytes_per_second": sum(shares[5:7]) / seconds,
    }
