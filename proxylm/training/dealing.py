"""Work on matrices that every process has whole: dealt out by what each costs, and the results are sent to all.

So replicas stay equal even where two devices round differently: of each matrix there is one result.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from proxylm.training.distributed import Place
from proxylm.training.newton_schulz import products


def by_shape(matrices: Sequence[Tensor], numbers: Iterable[int]) -> Iterator[list[int]]:
    """Those of `numbers` whose matrices have one shape, one shape after the other."""
    found: dict[torch.Size, list[int]] = defaultdict(list)
    for number in numbers:
        found[matrices[number].shape].append(number)
    yield from found.values()


def dealt(matrices: Sequence[Tensor], world: int) -> list[list[int]]:
    """The numbers of each process's matrices, rising: the costliest first, always to the one that has the least work."""
    hands: list[list[int]] = [[] for _ in range(world)]
    work, costs = [0] * world, [min(products(*sorted(matrix.shape))) for matrix in matrices]
    for number in sorted(range(len(costs)), key=lambda number: -costs[number]):  # equal ones keep their order
        least = work.index(min(work))
        hands[least].append(number)
        work[least] += costs[number]
    return [sorted(hand) for hand in hands]


def gathered(
    matrices: Sequence[Tensor], hands: list[list[int]], own: dict[int, Tensor], place: Place, dtype: torch.dtype
) -> list[Tensor]:
    """The results for all `matrices`, by one message. Every process must ask.

    own: results by number, those of this process's hand. dtype: in which they are sent, and returned.
    """
    sizes = [[matrices[number].numel() for number in hand] for hand in hands]
    most = max(map(sum, sizes))  # every process sends as much as the longest hand needs
    sent, mine = torch.zeros(most, dtype=dtype, device=matrices[0].device), sizes[place.rank]
    for part, number in zip(sent[: sum(mine)].split(mine), hands[place.rank], strict=True):
        part.copy_(own[number].flatten())
    received = sent.new_empty(place.world * most)
    # As bytes: gloo does not know bfloat16. torch 2.13 has renamed it.
    gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
    gather(received.view(torch.uint8), sent.view(torch.uint8))
    results: dict[int, Tensor] = {}
    for hand, counts, part in zip(hands, sizes, received.split(most), strict=True):
        for number, result in zip(hand, part[: sum(counts)].split(counts), strict=True):
            results[number] = result.view(matrices[number].shape)
    return [results[number] for number in range(len(matrices))]
