"""The coder of today's streams: the network and everything of `_mixing`, under the arithmetic coder of `_code`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from compressors.kernels import inlined, kernel
from compressors.neural._code import _TOP, _0, _8, _16, _emit, _finish, _shift_in
from compressors.neural._context import fetch_match, look, scan
from compressors.neural._histories import fetch_bucket, key
from compressors.neural._mixing import decide, start_byte, start_half, update
from compressors.neural._network import advance, fetch, gather

AHEAD = 16  # positions
N_COUNTERS = 4  # at most: of the last 0 to 3 bytes
_K3 = np.uint64(0xA0761D6478BD642F)
_56, _32 = np.uint64(56), np.uint64(32)


class Ahead(NamedTuple):
    """What is known of the next positions."""

    rows: npt.NDArray[np.int32]  # (AHEAD, features)
    matches: npt.NDArray[np.int64]  # (AHEAD,) row of the match
    keys: npt.NDArray[np.uint64]  # (AHEAD, contexts)
    counters: npt.NDArray[np.uint64]  # (AHEAD, N_COUNTERS)

    @classmethod
    def new(cls, n_features: int, n_contexts: int) -> Ahead:
        """Room for them."""
        rows, keys = np.zeros((AHEAD, n_features), np.int32), np.zeros((AHEAD, n_contexts), np.uint64)
        return cls(rows, np.zeros(AHEAD, np.int64), keys, np.zeros((AHEAD, N_COUNTERS), np.uint64))


@inlined
def _context(state, i, number):
    if number < 14:
        return state.contexts[number]
    last, column = state.scan[0], np.uint64(i & 3)
    if number == 14:
        return last & np.uint64(0xFFFF00)
    if number == 15:
        return last & np.uint64(0xFFFFFF00)
    if number == 16:
        return (last & np.uint64(0xFF00FF)) | _32 << _56
    if number == 17:
        return (last & np.uint64(0xFF000000FF000000)) + column
    if number == 18:
        return (last & np.uint64(0xFF0000FF)) + (column << _8)
    return (last & np.uint64(0xFFF0F0F0)) + (column << _56)


@inlined
def prepare(data, i, decoding, sight, state, network, ahead, at, memory, tables):
    """Look at position i, and ask for what coding it will touch of the tables and the histories."""
    scan(data, i, state)
    fetch_match(state)
    fetch(state.contexts, sight, network)
    keys, counters = ahead.keys[at], ahead.counters[at]
    half = 16 | (np.int64(data[i]) >> 4)
    for k in range(len(keys)):
        keys[k] = key(_context(state, i, tables.which[k]), k)
        fetch_bucket(keys[k], np.int64(1), memory.histories)
        if not decoding:
            fetch_bucket(keys[k], half, memory.histories)
    for k in range(1, N_COUNTERS):
        counters[k] = state.contexts[k - 1] * _K3
    ahead.matches[at] = look(data, i, sight, state, ahead.rows[at])


@kernel
def code(data, decoding, stream, sight, state, network, ahead, decision, memory, tables, carry):
    """Code data (n,) uint8 into `stream`, or decode `stream` into data; the bytes used of the stream, -1 if it is too short.

    As in `_code.code` the encoder prepares AHEAD positions together. carry is (-1, 0), the others are new, too.
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
                prepare(data, i + k, decoding, sight, state, network, ahead, k, memory, tables)
        gather(ahead.rows[at], network)
        advance(network)
        keys, counters = ahead.keys[at], ahead.counters[at]
        start_byte(i, ahead.matches[at], data[i - 1] if i else 0, decision, memory, tables)
        byte, node = np.int64(data[i]), np.int64(1)  # no literal: it would be compiled a second time for that
        for shift in range(7, -1, -1):
            if shift == 7 or shift == 3:
                start_half(node, keys, decision, memory)
            p = decide(node, shift, counters, counters[2], network, decision, memory, tables)
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
            update(node, shift, bit, network, decision, memory, tables)
            node = 2 * node + bit
            if decoding and shift == 5:
                for k in range(len(keys)):
                    fetch_bucket(keys[k], 2 * node, memory.histories)
                    fetch_bucket(keys[k], 2 * node + 1, memory.histories)
        data[i] = np.uint8(node & 255)
    return used if decoding else _finish(stream, used, carry, low)
