"""Parts of the trainer alone: rows, resuming, whole steps. `bench.speed.train` runs each in a process of its own."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Callable

import torch

from proxylm.config import MixConfig, ModelConfig, RunConfig, TrainConfig
from proxylm.data.loader import Loader
from proxylm.data.store import Store
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


def _step(store: Store, attention: str) -> dict[str, float]:
    """A whole step on raw bytes, compiled, bf16."""
    train = TrainConfig(steps=10**6, rows=8, row_length=512, dtype="bf16", compile=True, attention=attention)
    config = RunConfig(train=train, model=ModelConfig(d_model=128))
    trainer = Trainer(RunPlan.of(store, config), Place(torch.device("cpu")))
    return _timed(lambda number: trainer.step(number))


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
    "step, pairs (SDPA)": lambda store, view: _step(store, "sdpa"),
    "step, bands": lambda store, view: _step(store, "bands"),
}
