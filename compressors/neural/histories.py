"""The states of a bit history: how often each bit came in a context and which came last, in one byte.

Old counts are discounted when the other bit comes, so a state tells what is likely now (as in PAQ8, M. Mahoney 2005; the
bounds are our own). States are numbered by the sum of their counts: 0 has seen nothing.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

_LARGEST = (40, 24, 12, 8, 6, 5)  # what one count may be, by the smaller one: 251 states in all
State = tuple[int, int, int]  # zeros, ones, last bit


@cache
def states() -> tuple[State, ...]:
    """All states, in order. The last bit is told apart only where both bits came."""
    found = []
    for total in range(_LARGEST[0] + 1):
        for zeros in range(total + 1):
            ones = total - zeros
            if _allowed(zeros, ones):
                lasts = (0, 1) if zeros and ones else (int(ones > 0),)
                found += [(zeros, ones, last) for last in lasts]
    return tuple(found)


def _allowed(zeros: int, ones: int) -> bool:
    fewer, more = sorted((zeros, ones))
    return fewer < len(_LARGEST) and more <= _LARGEST[fewer]


def _after(state: State, bit: int) -> State:
    zeros, ones, _ = state
    same, other = (ones, zeros) if bit else (zeros, ones)
    same, other = same + 1, other if other <= 2 else 1 + (other - 1).bit_length()
    while not _allowed(same, other):
        if same >= other and min(same, other) < len(_LARGEST):
            same -= 1
        else:
            other -= 1
    zeros, ones = (other, same) if bit else (same, other)
    return zeros, ones, bit if zeros and ones else int(ones > 0)


@cache
def transitions() -> npt.NDArray[np.uint8]:
    """(512,) the state after state s and bit b, at 2 s + b."""
    numbers = {state: number for number, state in enumerate(states())}
    after = np.zeros(512, np.uint8)
    for state, number in numbers.items():
        for bit in (0, 1):
            after[2 * number + bit] = numbers[_after(state, bit)]
    return after


@cache
def likely() -> npt.NDArray[np.uint32]:
    """(256,) probability of a one after each state, in 1/2^22, from its counts only; the low 10 bits are 0."""
    p = np.full(256, 1 << 21, np.uint32)
    for number, (zeros, ones, _) in enumerate(states()):
        p[number] = ((5 * ones + 2) << 22) // (5 * (zeros + ones) + 4)
    return p << np.uint32(10)
