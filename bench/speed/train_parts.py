"""Single parts of the trainer: rows, resuming, whole steps.

`bench.speed.train` runs each in a separate process.
"""

from __future__ import annotations

import itertools
import resource
import statistics
import time
from collections.abc import Callable

import torch

from bench.measuring import rounds, timed
from proxylm.config import MixConfig, ModelConfig, RunConfig, TrainConfig
from proxylm.data.loader import Loader
from proxylm.data.store import Store
from proxylm.training.distributed import Place
from proxylm.training.run_plan import RunPlan
from proxylm.training.trainer import Trainer


def _config(view: str) -> RunConfig:
    """The published recipe on a small model: both views, so that the loader reads two columns."""
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
    return {"seconds": timed(lambda: Loader(store, config, 2 * 10**6 * 8).batch(10**6))[1]}


def _step(store: Store, attention: str, device: torch.device) -> dict[str, float]:
    """A whole step on raw bytes, compiled, bf16."""
    train = TrainConfig(steps=10**6, rows=8, row_length=512, dtype="bf16", compile=True, attention=attention)
    config = RunConfig(train=train, model=ModelConfig(d_model=128))
    trainer = Trainer(RunPlan.of(store, config), Place(device))
    number, before = itertools.count(), _peak_mb(device)

    def step() -> None:
        """The next one."""
        trainer.step(next(number))
        finish(device)

    seconds = rounds({"step": step}, 5, warm=1)["step"]
    return {"seconds": statistics.median(seconds), "peak_mb": _peak_mb(device) - before}


def _peak_mb(device: torch.device) -> float:
    """The most that this process has held so far: on a GPU of its memory, else of the machine's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3  # kB, as Linux counts


def finish(device: torch.device) -> None:
    """Wait until the device has done what it was asked: a GPU works while the processor continues."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def parts_on(device: torch.device) -> dict[str, Callable[[Store, str], dict[str, float]]]:
    """The parts by name. Those that have no step use no device; the attention by blocks is the one of the device."""
    blocks = "flex" if device.type == "cuda" else "bands"
    return {
        "loader": _loader,
        "resume at step one million": _resume,
        "step, pairs (SDPA)": lambda store, view: _step(store, "sdpa", device),
        f"step, {blocks}": lambda store, view: _step(store, blocks, device),
    }
