"""One optimizer step of a run: rows, loss, gradients, update, and the record of it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from proxylm.data.batch import Batch
from proxylm.data.loader import pieces_of
from proxylm.evaluation.bits_per_byte import evaluate, trained_window
from proxylm.model.attention import mask_maker
from proxylm.training import checkpoint, fsdp, measured
from proxylm.training.distributed import Place
from proxylm.training.divergence import diverged
from proxylm.training.foreign import OURS, Foreign
from proxylm.training.lr_schedule import set_rates
from proxylm.training.precision import resolved
from proxylm.training.run_plan import RunPlan
from proxylm.training.step_sums import StepSums


class Trainer:
    """Model, optimizers and rows of a run; `step` does one."""

    def __init__(self, plan: RunPlan, place: Place, foreign: Foreign = OURS) -> None:
        """Weights are drawn from `train.seed` on the CPU, so that they do not depend on the device or the processes."""
        config, self.loader, self.steps, self.place = plan.config, plan.loader, plan.steps, place
        self.config, self.foreign = resolved(config, place, {}), foreign
        config = self.config
        self.peak = place.world * (config.train.peak_flops or measured.peak_flops(place.device, config.train.dtype))
        torch.manual_seed(config.train.seed)
        self.model = foreign.make_model(config, self.loader.alphabet)
        embedding = getattr(self.model, "embedding", None)  # another model may have none of this name
        if (pieces := getattr(embedding, "pieces", None)) is not None:
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
        self.optimizers = foreign.make_optimizers(self.model, config.train)
        for block in self.model.blocks if config.train.compile else ():
            block.compile(dynamic=False)  # all batches have one shape

    def resume(self, run: Path, init: Path | None = None) -> int:
        """Read the newest checkpoint of `run`, or begin with the weights of the run `init`; the step that comes next."""
        newest = checkpoint.latest(run)
        if newest is not None:
            return int(checkpoint.load(newest, self.model, self.optimizers)["step"])
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
        nats, norm = self._gradients(batch, sum(sums.targets))
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

    def _gradients(self, batch: Batch, total: int) -> tuple[list[float], float]:
        """Leave gradients, shortened as the settings say; nats under each head and the norm before that, of all processes.

        total: targets in all processes. The loss is the mean over them, so gradients of parts and processes add up to its own.
        """
        place, settings = self.place, self.config.train
        nats = torch.zeros(len(self.weights), dtype=torch.float64, device=place.device)  # (heads + n_ahead,)
        for part in batch.parts(settings.micro_rows or len(batch.inputs)):
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

    @torch.no_grad()
    def _row_bits(self, batch: Batch) -> list[float]:
        """Bits per symbol of each row of this process."""
        n_heads = len(self.loader.heads)
        return [
            float(self._nats(row)[:n_heads].sum()) / math.log(2) / max(int((row.targets >= 0).sum()), 1)
            for row in batch.parts(1)
        ]
