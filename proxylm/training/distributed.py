"""Where a process computes, and what several of them add up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")
# How long processes wait for each other. One of them scores or writes a large model meanwhile: NCCL's ten minutes are few.
TIMEOUT = timedelta(minutes=60)


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
            # Its functions take the group that there is at import for their default, and would keep it to the interpreter's end.
            import_module("torch.distributed.nn.functional")
            # Numbers of the CPU are added up there: to send them through the GPU would wait for its work.
            backend, bound = ("cpu:gloo,cuda:nccl", device) if cuda else ("gloo", None)
            dist.init_process_group(backend, timeout=TIMEOUT, device_id=bound)
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
            if "cpu:" not in dist.get_backend_config():  # a group that the caller made
                values = values.to(self.device)
            dist.all_reduce(values)
        return values.cpu()

    def from_first(self, read: Callable[[], T]) -> T:
        """What `read` gives in process 0, in all of them; or raise what it raises there. Every process must ask."""
        if self.world == 1:
            return read()
        sent: list[Any] = [None]
        if self.rank == 0:
            try:
                sent = [(read(), None)]
            except Exception as error:  # all processes end with it, and none waits for the others
                sent = [(None, error)]
        dist.broadcast_object_list(sent, 0)
        value, failure = sent[0]
        if failure is not None:
            raise failure
        found: T = value
        return found

    def tensors_from_first(
        self, read: Callable[[], tuple[dict[str, Tensor], Any]]
    ) -> tuple[Iterator[tuple[str, Tensor]], Any]:
        """(name, tensor) of all tensors that `read` gives in process 0, one after the other, and what else it gives.

        Whole tensors, of which the others hold one at a time. Every process must ask, and take them all.
        """
        kept: dict[str, Tensor] = {}

        def described() -> tuple[dict[str, tuple[torch.Size, torch.dtype]], Any]:
            tensors, further = read()
            kept.update(tensors)
            return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}, further

        shapes, further = self.from_first(described)

        def sent() -> Iterator[tuple[str, Tensor]]:
            for name, (shape, dtype) in shapes.items():
                tensor = kept.pop(name) if self.rank == 0 else torch.empty(shape, dtype=dtype, device=self.device)
                if self.world > 1:
                    tensor = tensor.to(self.device).contiguous()
                    # As bytes: gloo knows neither bfloat16 nor int16.
                    dist.broadcast(tensor.view(-1).view(torch.uint8), 0)
                yield name, tensor

        return sent(), further

    def reduce_gradients(self, model: nn.Module) -> None:
        """Sum gradients over the processes, in one large message. Each holds its rows' share of the mean over all targets.

        What no process has used keeps no gradient, as with one process: an optimizer would move it on by its momentum.
        """
        if self.world == 1:
            return
        parameters = list(model.parameters())
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
        # By how many processes each was used; on the CPU: to ask the device would wait for it.
        used = self.summed(torch.tensor([float(p.grad is not None) for p in parameters])).tolist()
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        parts = flat.split([gradient.numel() for gradient in gradients])
        for parameter, part, n_processes in zip(parameters, parts, used, strict=True):
            parameter.grad = part.view_as(parameter) if n_processes else None
