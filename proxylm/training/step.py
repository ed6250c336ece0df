"""One optimizer step of a run: rows, loss, gradients, update, and the record of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from proxylm.data.batch import Batch
from proxylm.data.loader import pieces_of
from proxylm.evaluation.bits_per_byte import evaluate, trained_window
from proxylm.model.attention import mask_maker
from proxylm.model.decoder import Decoder
from proxylm.training import fsdp, measured, prefetch, restore
from proxylm.training.distributed import Place
from proxylm.training.divergence import diverged
from proxylm.training.foreign import OURS, Foreign
from proxylm.training.lr_schedule import set_rates
from proxylm.training.precision import resolved
from proxylm.training.run_plan import RunPlan
from proxylm.training.shipping import Shipped, packed
from proxylm.training.step_sums import StepSums


class Rows(NamedTuple):
    """Of a step, in one process."""

    batch: Batch
    """All of them."""
    parts: list[Shipped]
    """Those of each pass, as tensors."""
    cursor: dict[str, Any]
    """Where the plan stood behind them, for the checkpoint: a thread may be at later rows by then."""


class Trainer:
    """Model, optimizers and rows of a run; `step` does one."""

    def __init__(self, plan: RunPlan, place: Place, foreign: Foreign = OURS) -> None:
        """Weights are drawn from `train.seed` on the CPU, so that they do not depend on the device or the processes."""
        config, self.loader, self.steps, self.place = plan.config, plan.loader, plan.steps, place
        self.config, self.foreign = resolved(config, place, {}), foreign
        config = self.config
        self.peak = place.world * (config.train.peak_flops or measured.peak_flops(place.device, config.train.dtype))
        self.sharded = config.train.shard and place.world > 1
        mask_of = mask_maker(
            config.train.attention, place.device
        )  # refuses what cannot be trained here, before the work
        self.model = self._sharded_model(plan) if self.sharded else self._whole_model(plan).to(place.device)
        self.model.mask_of = mask_of
        self.model.recompute = config.train.recompute
        n_heads, n_ahead = len(self.loader.heads), config.model.n_ahead
        weights = [1.0] * n_heads + [
            config.train.ahead_weight / max(n_ahead, 1)
        ] * n_ahead  # the extra heads by their mean
        self.weights = torch.tensor(weights, device=place.device)  # of the losses of every softmax and extra head
        self.optimizers = foreign.make_optimizers(self.model, config.train, place)
        self.rows_of: Callable[[int], Rows] = self._rows  # of a step; see `prefetch`
        self.cursor: dict[str, Any] = {}  # behind the rows of the last step

    @contextmanager
    def prefetching(self) -> Iterator[None]:
        """The rows of every next step are made ahead where that pays."""
        if not prefetch.pays(self.place.device):
            yield
            return
        try:
            with prefetch.prefetched(self._rows, self.steps, self.place.device) as self.rows_of:
                yield
        finally:
            self.rows_of = self._rows

    def _whole_model(self, plan: RunPlan) -> Decoder:
        """The model at first, on the CPU; its blocks are compiled if that is wanted."""
        torch.manual_seed(self.config.train.seed)
        model = self.foreign.make_model(self.config, self.loader.alphabet)
        embedding = getattr(model, "embedding", None)  # another model may have none of this name
        pieces = getattr(embedding, "pieces", None)
        if pieces is not None and not pieces.is_meta:
            pieces.copy_(torch.from_numpy(pieces_of(plan.store, self.loader.alphabet, pieces.shape[1])))
        for block in model.blocks if self.config.train.compile else ():
            # Only the forward pass: the hooks of FSDP, which come later, stay outside. All batches have one shape.
            block.forward = torch.compile(block.forward, dynamic=False)
        return model

    def _sharded_model(self, plan: RunPlan) -> Decoder:
        """The same in slices. Only process 0 ever holds all of it, on its CPU."""
        with torch.device("meta"):
            model = self._whole_model(plan)
        fsdp.shard(model, self.place, self.config.train.dtype)
        fsdp.filled(model, self._whole_model(plan) if self.place.rank == 0 else None, self.place)
        return model

    def resume(self, run: Path, init: Path | None = None) -> int:
        """Read the newest checkpoint of `run`, or begin with the weights of the run `init`; the step that comes next."""
        state = restore.newest(run, self.model, self.optimizers, self.place)
        if state is None and init is not None:
            restore.weights_of(init, self.model, self.place)
        if state is not None and "rows" in state:  # older checkpoints have none: rows are planned from the first
            self.loader.planner.jump(state["rows"])
        return 0 if state is None else int(state["step"])

    def step(self, step: int, stop: bool = False) -> tuple[dict[str, Any], bool]:
        """One optimizer step: the log record of all processes together, and whether a signal has reached any of them.

        stop: whether one has reached this process. Raises `Diverged` before the weights are changed.
        """
        began = time.perf_counter()
        heads, place = self.loader.heads, self.place
        batch, parts, self.cursor = self.rows_of(step)
        own = StepSums.of(batch, len(heads), self.config.model.n_ahead, stop)
        sums = StepSums.from_tensor(place.summed(own.to_tensor()), len(heads))
        nats, norm = self._gradients(parts, sum(sums.targets))
        if not all(map(math.isfinite, (*nats, norm))):
            first = self.loader.first_row(step, place.rank, place.world)
            loss = sum(nats[: len(heads)]) / math.log(2) / sum(sums.targets)
            raise diverged(loss, step, batch, first, self._row_bits(batch))
        # Progress at the middle of the step.
        set_rates(self.optimizers, self.foreign.rate(self.config.train, (step + 0.5) / self.steps))
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        seconds = time.perf_counter() - began
        record = sums.record(self.config, heads, step, nats, seconds, counts_flops=self.foreign.model is None)
        return record | self._measured(step, record["flops"] / seconds, norm), bool(sums.stop)

    def _rows(self, step: int) -> Rows:
        """Touches neither the model nor the device: a thread may do this while they work."""
        batch = self.loader.batch(step, self.place.rank, self.place.world)
        parts = batch.parts(self.config.train.micro_rows or len(batch.inputs))
        return Rows(batch, [self._packed(part) for part in parts], self.loader.planner.cursor)

    def _packed(self, batch: Batch) -> Shipped:
        """The tensors of some rows, in main memory."""
        return packed(batch, self.loader.alphabet, len(self.loader.heads), self.config.model.n_ahead, self.place.device)

    def _gradients(self, parts: list[Shipped], total: int) -> tuple[list[float], float]:
        """Leave gradients, shortened as the settings say; nats under each head and the norm before that, of all processes.

        total: targets in all processes. The loss is the mean over them, so gradients of parts and processes add up to its own.
        """
        place, settings = self.place, self.config.train
        nats = torch.zeros(len(self.weights), dtype=torch.float64, device=place.device)  # (heads + n_ahead,)
        for number, part in enumerate(parts, 1):
            if self.sharded:
                fsdp.reduce_at_end(self.model, is_last=number == len(parts))
            lost = self._nats(part)
            ((lost @ self.weights) / total).backward()
            nats += lost.detach().double()
        if not self.sharded:
            place.reduce_gradients(self.model)
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        # Slices of one gradient add up; whole ones are the same in all processes, and count once.
        counted = 1.0 if self.sharded or place.rank == 0 else 0.0
        length = measured.square(gradients, place.device) * counted
        # Here the process waits for its device, once a step.
        *summed, squared = place.summed(torch.cat([nats, length[None]])).tolist()
        norm = math.sqrt(squared) if squared >= 0 else math.nan
        if settings.clip_norm is not None and settings.clip_norm < norm < math.inf:
            torch._foreach_mul_([fsdp.local(gradient) for gradient in gradients], settings.clip_norm / norm)
        return summed, norm

    def _measured(self, step: int, flops_per_second: float, gradient_norm: float) -> dict[str, Any]:
        """What the log says beside the loss; norms of weights now and then, since they wait for the device."""
        rates = {name: group["lr"] for name, group in measured.named_groups(self.optimizers).items()}
        record: dict[str, Any] = {
            "learning_rate": rates,
            "gradient_norm": gradient_norm,
            "memory_bytes": measured.memory_bytes(self.place.device),
            "share_of_peak": flops_per_second / self.peak,
        }
        if (step + 1) % self.config.train.norms_every == 0 or step + 1 == self.steps:
            record["weight_norms"] = measured.weight_norms(self.optimizers, self.place, sharded=self.sharded)
        return record

    def held_out(self, documents: Sequence[bytes]) -> float:
        """Bits per byte of the model as it is. Every process must take part: each scores its share, or sharded all of it."""
        place, shared = self.place, self.place.world > 1 and not self.sharded
        own = documents
        if shared:  # the first also takes those without a byte
            own = [d for d in documents if d][place.rank :: place.world] + [
                d for d in documents if not d and not place.rank
            ]
        sums = torch.zeros(2, dtype=torch.float64)  # bits; bytes
        with torch.compiler.set_stance("force_eager"):  # hardly two batches of windows have the same shape
            if own:
                result = evaluate(self.model, own, window=trained_window(self.config))
                bits = float(result.text_bits.sum() + result.end_bits.sum())
                sums = torch.tensor([bits, float(result.n_bytes.sum())], dtype=torch.float64)
        fsdp.release(self.model)
        bits, n_bytes = (place.summed(sums) if shared else sums).tolist()
        return float(bits / n_bytes)

    def _nats(self, rows: Shipped) -> Tensor:
        """(heads + n_ahead,) summed -ln p under each head."""
        device, heads, config = self.place.device, self.loader.heads, self.config
        sent = rows.to(device)
        known = {"selection": sent.selection} if isinstance(self.model, Decoder) else {}
        with torch.autocast(device.type, torch.bfloat16, enabled=config.train.dtype == "bf16"):
            hidden = self.model(sent.ids, sent.doc, bags=sent.bags, **known)  # (B, T, d)
            return self.model.heads.nats(hidden, sent.targets, sent.mode, heads, sent.bags, sent.doc, sent.selection)

    @torch.no_grad()
    def _row_bits(self, batch: Batch) -> list[float]:
        """Bits per symbol of each row of this process."""
        n_heads = len(self.loader.heads)
        return [
            float(self._nats(self._packed(row))[:n_heads].sum()) / math.log(2) / max(int((row.targets >= 0).sum()), 1)
            for row in batch.parts(1)
        ]
