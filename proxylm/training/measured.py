"""What the log says beside the loss: norms, memory, and the share of what the device can do."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterable, Sequence
from functools import cache

import torch
from torch import Tensor

from proxylm.training.distributed import Place
from proxylm.training.fsdp import local


def square(tensors: Iterable[Tensor | None], device: torch.device) -> Tensor:
    """() the sum of the squares, in float64, on the device; of sliced tensors those of this process. Not a number if one is not."""
    here = [local(tensor) for tensor in tensors if tensor is not None]
    if not here:
        return torch.zeros((), dtype=torch.float64, device=device)
    return torch.stack(torch._foreach_norm(here)).double().square().sum()


@torch.no_grad()
def weight_norms(optimizers: Sequence[torch.optim.Optimizer], place: Place, *, sharded: bool) -> dict[str, float]:
    """The norm of all weights of each group. Of sharded ones every process must ask."""
    groups = named_groups(optimizers)
    squares = torch.stack([square(group["params"], place.device) for group in groups.values()])
    squares = place.summed(squares) if sharded else squares.cpu()
    return dict(zip(groups, squares.sqrt().tolist(), strict=True))


def named_groups(optimizers: Sequence[torch.optim.Optimizer]) -> dict[str, dict]:  # type: ignore[type-arg] # as torch has it
    """Groups of parameters by name; those without one are called by their numbers."""
    groups = [group for optimizer in optimizers for group in optimizer.param_groups]
    return {str(group.get("name", number)): group for number, group in enumerate(groups)}


def memory_bytes(device: torch.device) -> int:
    """The most that this process has held so far: of a GPU's memory, or resident in that of the machine."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    unit = 1 if sys.platform == "darwin" else 1024  # of what the system calls ru_maxrss
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@cache
def peak_flops(device: torch.device, dtype: str) -> float:
    """FLOPs a second of a large product of square matrices on `device`, in "fp32" or "bf16": measured, in about 0.1 s."""
    n = 8192 if device.type == "cuda" else 512
    kind = torch.bfloat16 if dtype == "bf16" else torch.float32
    # Not from the generator that draws the first weights. Zeros would be faster than real numbers on GPUs.
    a = torch.rand(n, n, device=device, generator=torch.Generator(device).manual_seed(0)).to(kind)

    def seconds() -> float:
        began = time.perf_counter()
        (a @ a)[0, 0].item()  # waits for the product
        return time.perf_counter() - began

    times, until = [seconds()], time.perf_counter() + 0.1
    while len(times) < 3 or (len(times) < 20 and time.perf_counter() < until):
        times.append(seconds())
    return 2 * n**3 / min(times)
