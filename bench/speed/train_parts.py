"""Parts of the trainer alone: rows, resuming, heads, attention, loss. `bench.speed.train` runs each in a process of its own."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from proxylm.config import MixConfig, ModelConfig, RunConfig, TrainConfig
from proxylm.data.loader import Loader
from proxylm.data.store import Store
from proxylm.model.attention import Mask, document_blocks, document_mask
from proxylm.model.decoder import Decoder
from proxylm.model.heads import linear_cross_entropy
from proxylm.training.distributed import Place
from proxylm.training.run_plan import RunPlan
from proxylm.training.trainer import Trainer


def _config(view: str) -> RunConfig:
    train, model = TrainConfig(steps=10**6, rows=8, row_length=512), ModelConfig(d_model=128)
    return RunConfig(train=train, model=model, mix=MixConfig(recipe="proxy", view=view))


def _loader(store: Store, view: str) -> dict[str, float]:
    """Symbols a second of planning and reading rows of the proxy recipe, one thread."""
    config = _config(view)
    loader = Loader(store, config, 10**6 * 8)
    loader.batch(0)
    began, shown = time.perf_counter(), 0
    for number in range(1, 400):
        shown += int((loader.batch(number).targets >= 0).sum())
    return {"symbols_per_second": shown / (time.perf_counter() - began)}


def _resume(store: Store, view: str) -> dict[str, float]:
    """Seconds from a new loader to the rows of step one million."""
    config = _config(view)
    Loader(store, config, 2 * 10**6 * 8).batch(0)  # kernels loaded
    began = time.perf_counter()
    Loader(store, config, 2 * 10**6 * 8).batch(10**6)
    return {"seconds": time.perf_counter() - began}


def _heads(store: Store, view: str, *, sliced: bool) -> dict[str, float]:
    """A step whose heads are sliced by mode, or one softmax over both alphabets at every position."""
    config = _config(view)
    loader = Loader(store, config, 10**6 * 8)
    model = Decoder(config.model, loader.alphabet)
    comp = model.heads.comp
    assert comp is not None

    def loss(number: int) -> Tensor:
        batch = loader.batch(number)
        ids, targets, doc, mode = map(torch.from_numpy, (batch.inputs, batch.targets, batch.doc, batch.mode))
        hidden = model(ids, doc)
        if sliced:
            return model.heads.nats(hidden, targets, mode, loader.heads).sum()
        here = targets >= 0
        return linear_cross_entropy(hidden[here], targets[here], model.heads.raw, comp)

    return _timed(lambda number: loss(number).backward())


def _step(store: Store, attention: str) -> dict[str, float]:
    """A whole step on raw bytes, compiled, bf16."""
    train = TrainConfig(steps=10**6, rows=8, row_length=512, dtype="bf16", compile=True, attention=attention)
    config = RunConfig(train=train, model=ModelConfig(d_model=128))
    trainer = Trainer(RunPlan.of(store, config), Place(torch.device("cpu")))
    return _timed(lambda number: trainer.step(number))


def _losses(*, chunked: bool) -> dict[str, float]:
    """The cross-entropy of 4,096 positions over 32,768 symbols, d = 128, forward and backward."""
    x, w = torch.randn(4096, 128, requires_grad=True), torch.randn(32_768, 128, requires_grad=True)
    targets = torch.randint(0, 32_768, (4096,))
    if chunked:
        return _timed(lambda _: linear_cross_entropy(x, targets, w).backward())
    return _timed(lambda _: F.cross_entropy(x @ w.T, targets, reduction="sum").backward())


def _attention(store: Store, view: str, mask_of: Callable[[Tensor], Mask]) -> dict[str, float]:
    """The forward pass over 8 rows of 2,048 positions, compiled; FlexAttention has no more on a CPU."""
    config = _config(view)
    config = replace(config, train=replace(config.train, row_length=2048))
    loader = Loader(store, config, 10**6 * 8)
    model = Decoder(config.model, loader.alphabet)
    model.mask_of = mask_of
    for block in model.blocks:
        block.compile(dynamic=False)

    def forward(number: int) -> None:
        batch = loader.batch(number)
        with torch.no_grad():
            model(torch.from_numpy(batch.inputs), torch.from_numpy(batch.doc))

    return _timed(forward)


def _timed(work: Callable[[int], object]) -> dict[str, float]:
    times = []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(6):
        began = time.perf_counter()
        work(number)
        times.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"seconds": statistics.median(times[1:]), "peak_mb": peak / 1e3}


PARTS: dict[str, Callable[[Store, str], dict[str, float]]] = {
    "loader": _loader,
    "resume at step one million": _resume,
    "heads sliced": lambda store, view: _heads(store, view, sliced=True),
    "heads not sliced": lambda store, view: _heads(store, view, sliced=False),
    "forward, pairs (SDPA)": lambda store, view: _attention(store, view, document_mask),
    "forward, blocks (FlexAttention)": lambda store, view: _attention(store, view, document_blocks),
    "step, pairs (SDPA)": lambda store, view: _step(store, "sdpa"),
    "step, bands": lambda store, view: _step(store, "bands"),
    "loss in chunks": lambda store, view: _losses(chunked=True),
    "loss plain": lambda store, view: _losses(chunked=False),
}
