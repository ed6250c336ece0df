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
    """Its number; process 0 writes the files of the run."""
    world: int = 1
    """Number of processes."""

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

    @property
    def has_bf16(self) -> bool:
        """Has the processor units for products in bfloat16? A CPU without them takes many times as long as in fp32."""
        if self.device.type == "cuda":
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
        return bool(torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())

    def summed(self, values: Tensor) -> Tensor:
        """The sum over all processes, on the CPU; of any shape. Every process must ask."""
        if self.world > 1:
            values = values.to(self.device)
            dist.all_reduce(values)
        return values.cpu()

    def reduce_gradients(self, model: nn.Module) -> None:
        """Sum gradients over the processes, in one message. Each holds its rows' share of the mean over all targets.

        What no process has used keeps no gradient, as with one process: an optimizer would move it on by its momentum.
        """
        if self.world == 1:
            return
        parameters = list(model.parameters())
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        # (parameters,)
        used = torch.tensor([float(p.grad is not None) for p in parameters], device=gradients[0].device)
        flat = torch.cat([*(g.flatten() for g in gradients), used])
        dist.all_reduce(flat)
        # used: by how many processes.
        *parts, used = flat.split([*(g.numel() for g in gradients), len(used)])
        for parameter, part, anywhere in zip(parameters, parts, used.tolist(), strict=True):
            parameter.grad = part.view_as(parameter) if anywhere else None
