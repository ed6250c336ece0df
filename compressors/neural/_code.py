"""The coder: every byte is eight binary decisions, from the top bit.

The network's logit (1/256 nat) and adaptive counters of the last 0 to 3 bytes are mixed with weights learnt online
(logistic mixing, M. Mahoney, PAQ6, 2005), one set for each length of match. The arithmetic coder keeps 48 bits, its
probabilities 16. Integers only.
"""

import numba
import numpy as np

from compressors.neural._context import N_CONTEXTS, N_STATE, contexts_at, match_at, rows_of, succeed, successors_of

N_COUNTERS = 4
LOGIT_LIMIT = 2815  # 11 nats: beyond it a probability of 16 bits has no values left
_RATE_SHIFT = 18
_HALF = np.int64(1 << 21)
_TOP, _LOW40 = np.uint64(1 << 40), np.uint64((1 << 40) - 1)
_0, _8, _16, _36 = np.uint64(0), np.uint64(8), np.uint64(16), np.uint64(36)
_K2, _K3 = np.uint64(0xD6E8FEB86659FD93), np.uint64(0xA0761D6478BD642F)

_inline = numba.njit(cache=True, nogil=True, forceinline=True)


@numba.njit(cache=True, nogil=True)
def _network(rows, start, width, table, weight1, bias1, x, hidden):  # type: ignore[no-untyped-def]
    """hidden (units,) int16 of one position."""
    at = 0
    for f in range(len(rows)):
        first = start[f] + np.int64(rows[f]) * width[f]
        for d in range(width[f]):
            x[at + d] = table[first + d]
        at += width[f]
    for j in range(len(hidden)):
        row = weight1[j]
        total = np.int32(0)
        for k in range(len(x)):
            total = np.int32(total + np.int32(row[k]) * np.int32(x[k]))  # kept narrow: it vectorises
        hidden[j] = np.int16(min(max((total + bias1[j] + 8) >> 4, 0), 127))


@numba.njit(cache=True, nogil=True)
def _emit(out, used, state, low):  # type: ignore[no-untyped-def]
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


@_inline
def _logit(hidden, row, bias):  # type: ignore[no-untyped-def]
    """What the network says of one decision: nats in 1/256, limited."""
    total = np.int32(bias)
    for j in range(len(hidden)):
        total = np.int32(total + np.int32(row[j]) * np.int32(hidden[j]))
    return min(max((np.int64(total) + 2) >> 2, -LOGIT_LIMIT), LOGIT_LIMIT)


@_inline
def _mixed(node, ctx, counters, stretch, w, places, inputs):  # type: ignore[no-untyped-def]
    """inputs[0] and the logits of the counters, which go to inputs[1:], weighted; fills `places` of the counters."""
    total, mask = w[0] * inputs[0], np.uint64(counters.shape[1] - 1)
    for k in range(N_COUNTERS):
        h = np.uint64(node) * _K2
        if k > 0:
            h += ctx[k - 1] * _K3
        places[k] = np.int64((h >> _36) & mask)
        p22 = np.int64(counters[k, places[k]] >> np.uint32(10)) ^ _HALF
        inputs[1 + k] = stretch[p22 >> 10]
        total += w[1 + k] * inputs[1 + k]
    return min(max(total >> 16, -LOGIT_LIMIT), LOGIT_LIMIT)


@_inline
def _learn(bit, p, inputs, w, counters, places, reciprocal):  # type: ignore[no-untyped-def]
    """Move weights and counters towards the bit that came."""
    error = (bit << 16) - p
    for k in range(1 + N_COUNTERS):
        w[k] += np.int32((inputs[k] * error + (1 << (_RATE_SHIFT - 1))) >> _RATE_SHIFT)
    for k in range(N_COUNTERS):
        entry = counters[k, places[k]]
        p22, n = np.int64(entry >> np.uint32(10)) ^ _HALF, np.int64(entry & np.uint32(1023))
        p22 += (((bit << 22) - bit - p22) * reciprocal[n]) >> 16
        counters[k, places[k]] = np.uint32((p22 ^ _HALF) << 10) | np.uint32(min(n + 1, len(reciprocal) - 1))


@_inline
def _shift_in(value, stream, used):  # type: ignore[no-untyped-def]
    """Take the next byte of the stream into `value`; zeros follow its end."""
    return (value << _8) | (np.uint64(stream[used]) if used < len(stream) else _0)


@numba.njit(cache=True, nogil=True)
def code(  # type: ignore[no-untyped-def]
    data, decoding, stream, contexts, which, bits, n_seconds, start, width, table, weight1, bias1, weight2, bias2,
    squash, stretch, reciprocal, mixer, places, history, counters,
):  # fmt: skip
    """Code data (n,) uint8 into `stream`, or decode `stream` into data; the bytes used of the stream, -1 if it is too short.

    mixer (16, 1 + N_COUNTERS) int32 in 1/2^16 is learnt on; places, history, counters come zeroed, sizes powers of two.
    """
    s, brackets, ctx = np.zeros(N_STATE, np.uint64), np.zeros(16, np.uint64), np.zeros(N_CONTEXTS, np.uint64)
    slots, found = np.zeros(len(which), np.int64), np.zeros(len(which), np.uint32)
    rows, x, hidden = (
        np.zeros(len(start), np.int32),
        np.zeros(weight1.shape[1], np.int16),
        np.zeros(len(bias1), np.int16),
    )
    inputs, counter = np.zeros(1 + N_COUNTERS, np.int64), np.zeros(N_COUNTERS, np.int64)
    carry, used = np.array([-1, 0]), 0
    low, span, value = _0, np.uint64(1 << 48), _0
    if decoding:
        for _ in range(6):
            value = _shift_in(value, stream, used)
            used += 1
    for i in range(len(data)):
        contexts_at(data, i, s, brackets, ctx)
        match = match_at(data, i, s, ctx[4], places)
        successors_of(ctx, which, history, slots, found)
        rows_of(ctx, contexts, bits, match, found, n_seconds, rows)
        _network(rows, start, width, table, weight1, bias1, x, hidden)
        w, byte, node = mixer[match >> 8], np.int64(data[i]), 1
        for shift in range(7, -1, -1):
            inputs[0] = _logit(hidden, weight2[node], bias2[node])
            p = np.int64(squash[_mixed(node, ctx, counters, stretch, w, counter, inputs) + LOGIT_LIMIT])
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
            _learn(bit, p, inputs, w, counters, counter, reciprocal)
            node = 2 * node + bit
        data[i] = np.uint8(node & 255)
        succeed(history, slots, found, data[i])
    if not decoding:  # the shortest number in [low, low + span): span >= 2^40, so its top byte is enough
        low = (low + _LOW40) & ~_LOW40
        for _ in range(2):
            used, low = _emit(stream, used, carry, low)
    return used
