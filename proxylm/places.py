"""Where a process computes, and what several of them add up."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class Place:
    """Where this process computes: its device, its rank, and how many there are."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @classmethod
    @contextmanager
    def here(cls) -> Iterator[Place]:
        """From the environment that `torchrun` sets; in the process group while it lasts, if there are several."""
        world, local = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("LOCAL_RANK", 0))
        cuda = torch.cuda.is_available()
        device = torch.device("cuda", local) if cuda else torch.device("cpu")
        if cuda:
            torch.cuda.set_device(device)  # FSDP2 computes on the current one
        joins = world > 1 and not dist.is_initialized()
        if joins:
            dist.init_process_group("nccl" if cuda else "gloo")
        try:
            yield cls(device, int(os.environ.get("RANK", 0)), world)
        finally:
            if joins:  # threads of the group that are left to the interpreter's end abort a finished run now and then
                dist.destroy_process_group()

    def summed(self, values: Tensor) -> Tensor:
        """The sum over all processes, on the CPU."""
        if self.world > 1:
            values = values.to(self.device)
            dist.all_reduce(values)
        return values.cpu()

    def reduce_gradients(self, model: nn.Module) -> None:
        """Sum gradients over the processes, in one message. Each holds its rows' share of the mean over all targets."""
        if self.world == 1:
            return
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in model.parameters()]
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        for parameter, part in zip(model.parameters(), flat.split([g.numel() for g in gradients]), strict=True):
            parameter.grad = part.view_as(parameter)
