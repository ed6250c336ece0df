"""The coder: every byte is eight binary decisions, from the top bit.

The network's logit (1/256 nat) and adaptive counters of the last 0 to 3 bytes are mixed with weights learnt online
(logistic mixing, M. Mahoney, PAQ6, 2005), one set for each length of match. The arithmetic coder keeps 48 bits, its
probabilities 16. Integers only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from compressors._machine_words import prefetch
from compressors.kernels import inlined, kernel
from compressors.neural._context import look, scan
from compressors.neural._network import advance, fetch, gather, logit

N_COUNTERS = 4
AHEAD = 16  # positions
LOGIT_LIMIT = 2815  # 11 nats: beyond it a probability of 16 bits has no values left
_RATE_SHIFT = 18
_HALF = np.int64(1 << 21)
_TOP, _LOW40 = np.uint64(1 << 40), np.uint64((1 << 40) - 1)
_0, _8, _16, _36 = np.uint64(0), np.uint64(8), np.uint64(16), np.uint64(36)
_K2, _K3 = np.uint64(0xD6E8FEB86659FD93), np.uint64(0xA0761D6478BD642F)


class Mixing(NamedTuple):
    """The tables of the mixing, its weights and its counters."""

    squash: npt.NDArray[np.int32]
    stretch: npt.NDArray[np.int64]
    reciprocal: npt.NDArray[np.int64]
    weights: npt.NDArray[np.int32]  # (16, 1 + N_COUNTERS) in 1/2^16, learnt on
    counters: npt.NDArray[np.uint32]  # (N_COUNTERS, slots), slots a power of two
    places: npt.NDArray[np.uint64]  # (N_COUNTERS,) slots of the decision at hand
    inputs: npt.NDArray[np.int64]  # (1 + N_COUNTERS,) logits of it

    @classmethod
    def new(
        cls, squash: npt.NDArray[np.int32], stretch: npt.NDArray[np.int64], reciprocal: npt.NDArray[np.int64],
        weights: npt.NDArray[np.int32], n_slots: int,
    ) -> Mixing:  # fmt: skip
        """Of a document of which nothing was seen."""
        counters = np.zeros((N_COUNTERS, n_slots), np.uint32)
        places, inputs = np.zeros(N_COUNTERS, np.uint64), np.zeros(1 + N_COUNTERS, np.int64)
        return cls(squash, stretch, reciprocal, weights, counters, places, inputs)


class Ahead(NamedTuple):
    """What is known of the next positions."""

    rows: npt.NDArray[np.int32]  # (AHEAD, features)
    matches: npt.NDArray[np.int64]  # (AHEAD,) row of the match
    keys: npt.NDArray[np.uint64]  # (AHEAD, N_COUNTERS) hashes of the last 0 to 3 bytes

    @classmethod
    def new(cls, n_features: int) -> Ahead:
        """Room for them."""
        rows, keys = np.zeros((AHEAD, n_features), np.int32), np.zeros((AHEAD, N_COUNTERS), np.uint64)
        return cls(rows, np.zeros(AHEAD, np.int64), keys)


@inlined
def _emit(out, used, state, low):
    """Shift the top byte out of `low`; state holds the byte a carry may still reach, and how many 0xFF follow it."""
    top = np.int64(low >> np.uint64(40))  # 9 bits with the carry
    if top != 255:
        if state[0] >= 0:
            out[used] = np.uint8((state[0] + (top >> 8)) & 255)
            used += 1
        for _ in range(state[1]):
            out[used] = np.uint8((255 + (top >> 8)) & 255)
            used += 1
        state[0], state[1] = top & 255, 0
    else:
        state[1] += 1
    return used, (low & _LOW40) << _8


@inlined
def _slot(node, key, counters):
    return ((np.uint64(node) * _K2 + key) >> _36) & np.uint64(counters.shape[1] - 1)


@inlined
def _fetch_counters(node, keys, counters):
    """Ask for the counters of a decision; those that know no byte are few enough to stay near."""
    for k in range(1, N_COUNTERS):
        prefetch(counters[k], _slot(node, keys[k], counters))


@inlined
def _mixed(node, keys, mixing, w):
    """The network's logit, inputs[0], and those of the counters, weighted: the probability of a 1 in 1/2^16."""
    counters, places, inputs = mixing.counters, mixing.places, mixing.inputs
    total = w[0] * inputs[0]
    for k in range(N_COUNTERS):
        places[k] = _slot(node, keys[k], counters)
        p22 = np.int64(counters[k, places[k]] >> np.uint32(10)) ^ _HALF
        inputs[1 + k] = mixing.stretch[np.uint64(p22 >> 10)]
        total += w[1 + k] * inputs[1 + k]
    return np.int64(mixing.squash[np.uint64(_limited(total >> 16) + LOGIT_LIMIT)])


@inlined
def _limited(logit):
    return min(max(logit, -LOGIT_LIMIT), LOGIT_LIMIT)


@inlined
def _learn(bit, p, mixing, w):
    """Move weights and counters towards the bit that came."""
    counters, places, inputs, reciprocal = mixing.counters, mixing.places, mixing.inputs, mixing.reciprocal
    error = (bit << 16) - p
    for k in range(1 + N_COUNTERS):
        w[k] += np.int32((inputs[k] * error + (1 << (_RATE_SHIFT - 1))) >> _RATE_SHIFT)
    for k in range(N_COUNTERS):
        entry = counters[k, places[k]]
        p22, n = np.int64(entry >> np.uint32(10)) ^ _HALF, np.int64(entry & np.uint32(1023))
        p22 += (((bit << 22) - bit - p22) * reciprocal[np.uint64(n)]) >> 16
        counters[k, places[k]] = np.uint32((p22 ^ _HALF) << 10) | np.uint32(min(n + 1, len(reciprocal) - 1))


@inlined
def _shift_in(value, stream, used):
    """Take the next byte of the stream into `value`; zeros follow its end."""
    return (value << _8) | (np.uint64(stream[used]) if used < len(stream) else _0)


@inlined
def _finish(stream, used, carry, low):
    """Write the shortest number in [low, low + span): span >= 2^40, so the top byte is enough."""
    low = (low + _LOW40) & ~_LOW40
    for _ in range(2):
        used, low = _emit(stream, used, carry, low)
    return used


@inlined
def _prepare(data, i, decoding, sight, state, network, counters, ahead, at):
    """Look at position i, and ask for what coding it will touch of the tables and the counters."""
    scan(data, i, state)
    fetch(state.contexts, sight, network)
    ahead.matches[at] = look(data, i, sight, state, ahead.rows[at])
    keys = ahead.keys[at]
    for k in range(1, N_COUNTERS):
        keys[k] = state.contexts[k - 1] * _K3
    if decoding:
        for node in range(1, 4):
            _fetch_counters(node, keys, counters)
    else:
        byte = 256 | np.int64(data[i])
        for shift in range(8, 0, -1):
            _fetch_counters(byte >> shift, keys, counters)


@kernel
def code(data, decoding, stream, sight, state, network, mixing, ahead, carry):
    """Code data (n,) uint8 into `stream`, or decode `stream` into data; the bytes used of the stream, -1 if it is too short.

    The encoder knows what comes, and prepares AHEAD positions together: when their turn comes, the memory they need has
    arrived. carry is (-1, 0), the others new, too.
    """
    low, span, value, used = _0, np.uint64(1 << 48), _0, 0
    n_ahead = 1 if decoding else AHEAD
    if decoding:
        for _ in range(6):
            value = _shift_in(value, stream, used)
            used += 1
    for i in range(len(data)):
        at = i % n_ahead
        if at == 0:
            for k in range(min(n_ahead, len(data) - i)):
                _prepare(data, i + k, decoding, sight, state, network, mixing.counters, ahead, k)
        gather(ahead.rows[at], network)
        advance(network)
        keys, w = ahead.keys[at], mixing.weights[ahead.matches[at] >> 8]
        byte, node = np.int64(data[i]), 1
        for shift in range(7, -1, -1):
            mixing.inputs[0] = _limited((logit(node, network) + 2) >> 2)
            p = _mixed(node, keys, mixing, w)
            bound = (span >> _16) * np.uint64(p)
            bit = (1 if value < bound else 0) if decoding else (byte >> shift) & 1
            if bit:
                span = bound
            else:
                span -= bound
                if decoding:
                    value -= bound
                else:
                    low += bound
            while span < _TOP:
                span <<= _8
                if decoding:
                    value = _shift_in(value, stream, used)
                    used += 1
                else:
                    if used + carry[1] + 8 > len(stream):
                        return -1
                    used, low = _emit(stream, used, carry, low)
            _learn(bit, p, mixing, w)
            node = 2 * node + bit
            if decoding and shift > 1:
                _fetch_counters(2 * node, keys, mixing.counters)
                _fetch_counters(2 * node + 1, keys, mixing.counters)
        data[i] = np.uint8(node & 255)
    return used if decoding else _finish(stream, used, carry, low)
