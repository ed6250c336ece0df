"""FSDP2: parameters, gradients and optimizer states in slices of rows, one for each process (arXiv 2304.11277).

A block's parameters are put together while it computes, forward and again backward; those of the heads and of the rest stay
together in between. What is not elementwise needs whole tensors: Muon's iteration (`of_whole`) and checkpoints (`whole`,
`sliced_like`), which are the same files whatever the number of processes. A tensor that is in no slices is whole already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeGuard

import torch
import torch.distributed as dist
from torch import Tensor, nn

from compressors.errors import InvalidConfig
from proxylm.model.decoder import Decoder
from proxylm.training.distributed import Place

if TYPE_CHECKING:  # torch takes half a second to import what slices need, and most runs are one process
    from torch.distributed.tensor import DTensor


def shard(model: Decoder, place: Place, dtype: str) -> None:
    """Put `model` into slices, which stay where it is: see `filled`. Gradients are summed over the processes, not averaged.

    dtype: of the matrix products. With "bf16" the blocks' parameters are gathered in it, half the bytes; slices, gradients
    between processes and the residual stream stay fp32. Raises `InvalidConfig` if torch is too old.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import (
        FSDPModule,
        MixedPrecisionPolicy,
        fully_shard,
        register_fsdp_forward_method,
    )

    if not hasattr(FSDPModule, "set_reduce_scatter_unused_params"):
        raise InvalidConfig(f"train.shard does not work with torch {torch.__version__}; install 2.13 or newer")
    mesh = init_device_mesh(place.device.type, (place.world,))
    policy = MixedPrecisionPolicy()
    if dtype == "bf16":
        policy = MixedPrecisionPolicy(torch.bfloat16, torch.float32, cast_forward_inputs=False)
    for block in model.blocks:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    if model.embedding.ngrams is not None:  # most of a small model: not to be held as long as the rest is
        fully_shard(model.embedding.ngrams, mesh=mesh)
    fully_shard(model.heads, mesh=mesh, reshard_after_forward=False)  # their gradient is made in the forward pass
    for method in ("nats", "token_nats"):
        register_fsdp_forward_method(model.heads, method)
    fully_shard(model, mesh=mesh)
    for unit in model.modules():
        if isinstance(unit, FSDPModule):
            unit.set_force_sum_reduction_for_comms(True)  # else a multiplied sum, which gloo does not have
            unit.set_gradient_divide_factor(1.0)
            # Bags may be in the rows of one process only.
            unit.set_reduce_scatter_unused_params(True)


def reduce_at_end(model: nn.Module, *, is_last: bool) -> None:
    """Gradients are added up over the processes only in the last of the passes of a step."""
    model.set_requires_gradient_sync(is_last)  # type: ignore[operator] # a method that `fully_shard` adds


def filled(model: Decoder, first: Decoder | None, place: Place) -> None:
    """Give slices that have no memory yet (on the meta device) those of the whole model `first` of process 0.

    first: None elsewhere. No other process ever holds more than one whole tensor, and no device the model.
    """
    model.to_empty(device=place.device)
    tensors, _ = place.tensors_from_first(lambda: ({} if first is None else dict(first.state_dict()), None))
    own = model.state_dict()
    for name, tensor in tensors:
        own[name].copy_(sliced_like(tensor, own[name]))


def release(model: nn.Module) -> None:
    """Give back what a pass without gradients has put together."""
    for unit in model.modules():
        if callable(reshard := getattr(unit, "reshard", None)):
            reshard()


def is_sliced(tensor: Tensor) -> TypeGuard[DTensor]:
    """Known by an attribute, so that a run of one process does not import DTensor."""
    return hasattr(tensor, "device_mesh")


def whole(tensor: Tensor) -> Tensor:
    """All slices together. Every process must ask."""
    return tensor.full_tensor() if is_sliced(tensor) else tensor


def local(tensor: Tensor) -> Tensor:
    """The slice of this process; it shares its memory with `tensor`."""
    return tensor.to_local() if is_sliced(tensor) else tensor


def sliced_like(tensor: Tensor, other: Tensor) -> Tensor:
    """A whole tensor on the device of `other`; in slices as that is, if it has the same shape."""
    tensor = tensor.to(other.device)
    if tensor.shape != other.shape or not is_sliced(other):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, other.device_mesh, other.placements, src_data_rank=None)


def of_whole(work: Callable[[Tensor], Tensor], matrices: list[Tensor]) -> Tensor:
    """`work` of n matrices of one shape, (n, rows, columns) -> the same shape; of sliced ones this process's slices.

    Each process does whole matrices, its share of the n: slices are sent there, and back.
    """
    here, first = torch.stack([local(matrix) for matrix in matrices]), matrices[0]  # (n, rows of the slice, columns)
    if not is_sliced(first):
        return work(here)
    n, _, columns = here.shape
    mesh, rows = first.device_mesh, _shares(len(first), first.device_mesh.size())
    counts = [len(part) for part in torch.arange(n).tensor_split(mesh.size())]  # matrices of each process
    # mine: matrices that this process does; sliced: numbers in its slice of one matrix.
    mine, sliced = counts[mesh.get_local_rank()], here.shape[1] * columns
    # Numbers that each process sends here.
    group, to_me = mesh.get_group(), [mine * r * columns for r in rows]
    received = here.new_empty(sum(to_me))  # my matrices, the slices of one process after the other
    dist.all_to_all_single(received, here.flatten(), to_me, [count * sliced for count in counts], group)
    # The slices of my matrices, by the process that sent them.
    parts = [part.view(mine, r, columns) for part, r in zip(received.split(to_me), rows, strict=True)]
    # The results are cut into the same slices.
    done = torch.cat([part.flatten() for part in work(torch.cat(parts, 1)).split(rows, 1)])
    # Every slice goes back to its process.
    dist.all_to_all_single(here.view(-1), done, [count * sliced for count in counts], to_me, group)
    return here


def _shares(rows: int, world: int) -> list[int]:
    """Rows of each process's slice: as `torch.chunk` cuts them, none for those it leaves out."""
    most = -(-rows // world)  # rounded up
    return [max(0, min(most, rows - rank * most)) for rank in range(world)]
