"""How a run computes: what `auto` stands for on this device (number format, attention), TF32, and determinism."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
import torch.nn.functional as F

from proxylm.config import RunConfig
from proxylm.train_config import TrainConfig
from proxylm.training.distributed import Place

# bf16 must save this much to be worth its rounding: the products are about two thirds of a step.
_GAIN = 0.85


def resolved(config: RunConfig, place: Place, recorded: dict[str, str]) -> RunConfig:
    """`config` with `auto` replaced, by what a run has recorded or by what is best here; the same in all processes."""
    train = config.train
    dtype = recorded.get("dtype") or (best_dtype(config, place) if train.dtype == "auto" else train.dtype)
    # The first process decides: two may measure differently.
    is_bf16 = place.summed(torch.tensor([float(dtype == "bf16" and place.rank == 0)])).item() > 0
    attention = recorded.get("attention") or train.attention
    if attention == "auto":
        compiled = "flex" if place.device.type == "cuda" else "bands"
        attention = compiled if train.compile else "sdpa"
    return replace(config, train=replace(train, dtype="bf16" if is_bf16 else "fp32", attention=attention))


@contextmanager
def numerics(config: TrainConfig) -> Iterator[None]:
    """TF32 and determinism as `config` says, for the whole process; as they were, at the end."""
    precision, deterministic = torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled()
    torch.set_float32_matmul_precision("high" if config.tf32 else "highest")
    if config.deterministic:
        # cuBLAS reads this when it is first used; without it torch refuses its products.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.use_deterministic_algorithms(deterministic)


def best_dtype(config: RunConfig, place: Place) -> str:
    """bf16 where the device has units for it and they are faster at the shapes of the model; takes less than a second."""
    if not place.has_bf16:
        return "fp32"
    if place.device.type == "cuda":
        return "bf16"
    # More rows than these would only take longer to measure.
    rows = min(2048, config.train.row_length * (config.train.micro_rows or config.train.rows))
    x = torch.randn(rows, config.model.d_model, requires_grad=True)
    w = torch.randn(config.model.ff, config.model.d_model, requires_grad=True)

    def product(enabled: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            F.linear(x, w).sum().backward()

    return "bf16" if _seconds(lambda: product(True)) < _GAIN * _seconds(lambda: product(False)) else "fp32"


def _seconds(work: Callable[[], None]) -> float:
    """The shortest of some calls, after one that warms up."""
    work()
    times: list[float] = []
    until = time.perf_counter() + 0.2  # seconds
    while len(times) < 3 or (len(times) < 50 and time.perf_counter() < until):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)
