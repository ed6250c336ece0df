"""What chance decides, as a function of (seed, turn): which chunk is dealt at each turn, and how it is shown.

Turns count the chunks that a run deals. Every pass over the chunks has another order, a keyed permutation.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from compressors.kernels import kernel

DRAW = np.dtype(
    [
        ("turn", np.int64),
        ("number", np.int64),  # of the chunk, among all
        ("for_kind", np.float64),  # uniform in [0, 1), as the next: what they select depends on the schedule
        ("for_view", np.float64),
        ("compressed_first", np.int64),  # of a pair: 0 or 1
    ]
)


def draws(turns: npt.NDArray[np.int64], n_chunks: int, seed: int) -> npt.NDArray[np.void]:
    """(n,) of `DRAW`, for (n,) turns of a run over `n_chunks` chunks."""
    found = np.empty(len(turns), DRAW)
    found["turn"] = turns
    _draw(found, n_chunks, np.uint64(seed))
    return found


@kernel
def _mix(x):  # type: ignore[no-untyped-def] # a kernel
    """splitmix64: the output function of Steele, Lea, Flood (2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@kernel
def _hash(seed, index, purpose):  # type: ignore[no-untyped-def] # a kernel
    """64 random bits as a function of (seed, index, purpose)."""
    # 2^64 over the golden ratio, the increment of splitmix64.
    golden = np.uint64(0x9E3779B97F4A7C15)
    return _mix(_mix(_mix(seed + golden) ^ (np.uint64(index) * golden)) + np.uint64(purpose))


@kernel
def _shuffled(i, n, seed, epoch):  # type: ignore[no-untyped-def] # a kernel
    """Place i of a keyed permutation of range(n): a 4-round Feistel network on 2h bits, walked until it is below n."""
    half = 1
    # The smallest power of four that is n or more: at most four walks on average.
    while (1 << (2 * half)) < n:
        half += 1
    mask = np.uint64((1 << half) - 1)
    value = np.uint64(i)
    while True:
        left, right = value >> np.uint64(half), value & mask  # h bits each
        for turn in range(4):
            # 4..7: 1, 2 and 3 are taken below.
            purpose = np.uint64(epoch) * np.uint64(8) + np.uint64(turn + 4)
            left, right = right, left ^ (_hash(seed, right, purpose) & mask)
        # One round trip of the network permutes all of its numbers.
        value = (left << np.uint64(half)) | right
        if value < np.uint64(n):
            return np.int64(value)


@kernel
def _uniform(bits):  # type: ignore[no-untyped-def] # a kernel
    """A number in [0, 1), of 53 of 64 random bits."""
    return np.float64(bits >> np.uint64(11)) * 2.0**-53


@kernel
def _draw(found, n, seed):  # type: ignore[no-untyped-def] # a kernel
    """Fill in all but the turns."""
    for w in range(len(found)):
        draw = found[w]
        draw.number = _shuffled(draw.turn % n, n, seed, draw.turn // n)
        draw.for_kind = _uniform(_hash(seed, draw.turn, np.uint64(1)))
        draw.compressed_first = np.int64(1) - np.int64(_hash(seed, draw.turn, np.uint64(2)) & np.uint64(1))
        draw.for_view = _uniform(_hash(seed, draw.turn, np.uint64(3)))
