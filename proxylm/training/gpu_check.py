"""What a first hour on a new device would show, in minutes: equal results, speed, the loader. For `proxyc doctor --gpu`."""

from __future__ import annotations

import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from compressors.corpus import Document
from proxylm.config import MixConfig, ModelConfig, RunConfig, TrainConfig
from proxylm.data.encode import encode
from proxylm.data.store import Store
from proxylm.model.attention import attend, document_blocks, document_mask
from proxylm.training import checkpoint, measured
from proxylm.training.distributed import Place
from proxylm.training.run_plan import RunPlan
from proxylm.training.trainer import Trainer, train

BUDGET = 540.0  # seconds: what has not begun by then is left out, so that all ends within ten minutes
SMALL = RunConfig(
    train=TrainConfig(steps=4, rows=4, row_length=128, dtype="fp32", checkpoint_every=2),
    model=ModelConfig(d_model=64, n_layers=2, n_heads=4, n_kv_heads=2, hash_ngrams=3, ngram_rows=256),
    mix=MixConfig(chunk=40),  # three documents a row: a mask that lets one see another is noticed
)
# About the shape of bench/recipes/gpu-150m.toml, on raw bytes: 100 M parameters in the blocks, 77 M in the table of n-grams.
LARGE = RunConfig(
    train=TrainConfig(steps=20, rows=64, row_length=2048, micro_rows=16, compile=True),
    model=ModelConfig(d_model=768, n_layers=16, n_heads=12, hash_ngrams=5, ngram_rows=100_000, partial_key_offset=True),
)
# Relative differences that are allowed. A mask that is not causal, or lets documents see each other, makes 0.2 and more, and
# bfloat16 on a CPU 0.002.
COMPILED, BF16 = 1e-3, 2e-2
Found = dict[str, Any]  # figures of a check; "sound" if it can be wrong


@dataclass(frozen=True)
class Bench:
    """What the checks share."""

    place: Place
    store: Store
    folder: Path
    """For runs."""
    quick: bool
    """A small model in place of the large one: a try of the checks, not of the device."""

    def figures(self, **settings: Any) -> list[float]:
        """Loss and norm of the gradient in three steps of the small model."""
        trainer = Trainer(RunPlan.of(self.store, _with(SMALL, **settings)), self.place)
        shake(trainer.model)
        records = [trainer.step(step)[0] for step in range(3)]
        return [float(record[key]) for record in records for key in ("loss", "gradient_norm")]


@torch.no_grad()
def shake(model: torch.nn.Module) -> None:
    """Give all weights other values. In a new model the blocks add nothing, so what they do wrong would not be seen."""
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        weight.copy_(torch.randn(weight.shape, generator=generator).mul_(0.3))


def _with(config: RunConfig, **settings: Any) -> RunConfig:
    return replace(config, train=replace(config.train, **settings))


def attention(bench: Bench) -> Found:
    """FlexAttention against SDPA under a mask, in fp32, and their gradients: the largest difference."""
    device, generator = bench.place.device, torch.Generator().manual_seed(0)
    q, k, v, weight = (torch.randn(2, 4, 384, 32, generator=generator).to(device) for _ in range(4))
    given = [x.requires_grad_() for x in (q, k, v) if device.type == "cuda"]  # on CPUs flex has no gradient
    doc = torch.arange(384).div(100, rounding_mode="floor").expand(2, -1).contiguous().to(device)
    flex = torch.compile(attend) if device.type == "cuda" else attend  # only a compiled one has the kernel
    expected = attend(q, k, v, document_mask(doc), grouped=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that it is slow where it is not compiled
        found = flex(q, k, v, document_blocks(doc), grouped=False)
        gradients = [torch.autograd.grad((out * weight).sum(), given) if given else () for out in (expected, found)]
    pairs = zip([expected, *gradients[0]], [found, *gradients[1]], strict=True)
    difference = max(float((one - other).detach().abs().max()) for one, other in pairs)
    return {"largest_difference": difference, "sound": difference < 1e-2}


def compiled(bench: Bench) -> Found:
    """Losses and gradients of compiled blocks against those of eager ones."""
    return _alike(bench.figures(), bench.figures(compile=True), COMPILED)


def bf16(bench: Bench) -> Found:
    """Losses and gradients with products in bf16 against those in fp32."""
    return _alike(bench.figures(), bench.figures(dtype="bf16"), BF16)


def _alike(expected: list[float], found: list[float], tolerance: float) -> Found:
    """Figures that should be the same but for rounding."""
    difference = max(abs(a - b) / a for a, b in zip(expected, found, strict=True))
    return {"figures": found, "expected": expected, "relative_difference": difference, "sound": difference < tolerance}


def resume(bench: Bench) -> Found:
    """Weights of a run that is resumed against those of one that is not, with `train.deterministic`: equal bits."""
    config, runs = (
        _with(SMALL, deterministic=True, attention="sdpa"),
        [bench.folder / name for name in ("whole", "resumed")],
    )
    for run in runs:
        train(bench.store, config, run, place=bench.place)
    newest = checkpoint.latest(runs[1])
    assert newest is not None
    for file in newest.iterdir():
        file.unlink()
    newest.rmdir()
    train(bench.store, config, runs[1], place=bench.place)
    one, two = (load_file(found / "model.safetensors") for run in runs if (found := checkpoint.latest(run)))
    difference = max(float((one[name] - two[name]).abs().max()) for name in one)
    return {"largest_difference": difference, "sound": difference == 0}


def speed(bench: Bench) -> Found:
    """Symbols a second, share of the peak, memory, and what the loader takes of a step; medians of steps."""
    config = _with(SMALL, steps=6) if bench.quick else LARGE
    trainer = Trainer(RunPlan.of(bench.store, config), bench.place)
    warm, records, loading = 2, [], []
    began = time.perf_counter()
    with trainer.prefetching():
        for step in range(trainer.steps):
            records.append(trainer.step(step)[0])
            if step > warm and time.perf_counter() - began > BUDGET / 3:
                break
    for step in range(3):
        started = time.perf_counter()
        trainer.rows_of(step)
        loading.append(time.perf_counter() - started)
    of = {name: statistics.median(r[name] for r in records[warm:]) for name in ("seconds", "share_of_peak")}
    return {
        "settings": {"dtype": trainer.config.train.dtype, "attention": trainer.config.train.attention},
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "seconds_a_step": of["seconds"],
        "symbols_per_second": statistics.median(r["symbols_per_second"] for r in records[warm:]),
        "share_of_peak": of["share_of_peak"],
        "peak_flops": trainer.peak,
        "memory_bytes": measured.memory_bytes(bench.place.device),
        "loader_share_of_a_step": statistics.median(loading) / of["seconds"],
    }


CHECKS: dict[str, Callable[[Bench], Found]] = {
    "attention": attention, "compiled": compiled, "bf16": bf16, "resume": resume, "speed": speed,
}  # fmt: skip


def examined(place: Place, *, quick: bool = False) -> Iterator[Found]:
    """The findings, one after the other: "name", "seconds", and what the check found, or "error", or "skipped"."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        store = encode(_documents(20 if quick else 2000), Path(folder) / "store", {})
        bench = Bench(place, store, Path(folder), quick)
        for name, check in CHECKS.items():
            started = time.monotonic()
            if started - began > BUDGET:
                yield {"name": name, "skipped": f"{BUDGET:.0f} s have passed"}
                continue
            yield {"name": name, **_tried(partial(check, bench)), "seconds": time.monotonic() - started}


def _tried(check: Callable[[], Found]) -> Found:
    """What a check finds; that it fails, in whatever way, is a finding as well."""
    try:
        return check()
    except Exception as error:  # of drivers and compilers
        said = " ".join(str(error).split())
        return {"error": f"{type(error).__name__}: {said:.500}", "sound": False}


def machine(place: Place) -> Found:
    """What was examined."""
    is_cuda = place.device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(place.device) if is_cuda else platform.processor() or platform.machine(),
        "kind": str(place.device),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if is_cuda else None,
        "python": platform.python_version(),
    }


def _documents(n: int) -> Iterator[Document]:
    """Texts of words drawn at random, the same each time."""
    draw = np.random.RandomState(0)
    words = ["".join(chr(97 + letter) for letter in draw.randint(0, 26, draw.randint(2, 9))) for _ in range(2000)]
    for number in range(n):
        yield Document(str(number), " ".join(words[i] for i in draw.zipf(1.3, 1000) % 2000).encode())
