"""The mixing of one decision: what the network and the document's own history say, weighted, and corrected at the end.

Inputs are logits (1/256 nat): of the network; of its output layer, which learns in the document; of the match; of the bit
history of every context; of counters of the last bytes. Several sets of weights, each chosen by its own context, mix them,
and a second mixer mixes the answers. Adaptive probability maps refine the result. Logistic mixing, indirect histories and
maps are those of PAQ and ZPAQ (M. Mahoney, 2005-2013). Integers only.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from compressors._machine_words import prefetch
from compressors.kernels import inlined
from compressors.neural._histories import find_bucket
from compressors.neural._network import logit
from compressors.neural._vectors import dot, dot_output, learn, learn_output

LOGIT_LIMIT = 2815  # 11 nats
N_FIXED = 3  # inputs before those of the contexts: network, its learning output, match
APM_STEPS = 24  # cells of a map: a nat apart
_APM_RATE = 6
_HALF = np.int64(1 << 21)
_10, _1023 = np.uint32(10), np.uint32(1023)
_K1, _K2, _K3 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93), np.uint64(0xA0761D6478BD642F)


class Tables(NamedTuple):
    """What never changes."""

    squash: npt.NDArray[np.int32]  # (2 LOGIT_LIMIT + 1,) probability in 1/2^16 of a logit
    stretch: npt.NDArray[np.int16]  # (4096,) logit of a probability
    after: npt.NDArray[np.uint8]  # (512,) the next state of a bit history
    reciprocal: npt.NDArray[np.int64]  # (1024,) how far a probability moves, by how often it did
    which: npt.NDArray[np.int64]  # (contexts,) their numbers
    sets: npt.NDArray[np.int64]  # (sets of weights,) what chooses the row of each: MATCH, BITS or BEFORE
    first_rows: npt.NDArray[np.int64]  # (sets,) where its rows begin
    settings: npt.NDArray[np.int64]  # (6,) see below


# What chooses weights: the length of the match (16 rows), the bits known of the byte (256), the byte before (256).
MATCH, BITS, BEFORE = range(3)
# Slots of the settings.
RATE, RATE_BOOST, FINAL_RATE, OUTPUT_RATE, MAP_LIMIT, COUNTER_LIMIT = range(6)


class Memory(NamedTuple):
    """What is learnt in the document."""

    weights: npt.NDArray[np.int32]  # flat (rows of all sets, inputs) in 1/2^16
    final: npt.NDArray[np.int32]  # (16, sets), by the match
    maps: npt.NDArray[np.uint32]  # (contexts, 256) probability of a one by bit history: 22 bits, 10 of a count
    matches: npt.NDArray[np.uint32]  # (16,) that the match is right, by its length
    output: npt.NDArray[np.int16]  # flat (256, units) weights of the network's output layer, in 1/2^8 of theirs
    bias: npt.NDArray[np.int32]  # (256,) the same
    histories: npt.NDArray[np.uint8]  # flat, see `_histories`
    counters: npt.NDArray[np.uint32]  # (counters, slots) probability of a one: 22 bits, of a count 10
    apm: npt.NDArray[np.uint32]  # (1 or 2 maps, rows * APM_STEPS) probabilities in 1/2^22


class Decision(NamedTuple):
    """The decision at hand."""

    inputs: npt.NDArray[np.int32]  # (inputs,), a whole number of vectors
    buckets: npt.NDArray[np.int64]  # (contexts,) of this half of the byte
    states: npt.NDArray[np.int64]  # (contexts,)
    places: npt.NDArray[np.uint64]  # (counters,)
    rows: npt.NDArray[np.int64]  # (sets,) of the weights
    answers: npt.NDArray[np.int64]  # (sets,) logits
    cells: npt.NDArray[np.int64]  # (maps,): row and nearest step, flat
    s: npt.NDArray[np.int64]  # (8,) see below


# Slots of `Decision.s`.
_ADAPTED, _EXPECTED, _LENGTH, _MIXED, _BEFORE, _RATE = 0, 1, 2, 3, 4, 5


@inlined
def limited(x):
    """Within LOGIT_LIMIT."""
    return min(max(x, np.int64(-LOGIT_LIMIT)), np.int64(LOGIT_LIMIT))


@inlined
def _probability(x, tables):
    return np.int64(tables.squash[np.uint64(x + LOGIT_LIMIT)])


@inlined
def _stretched(p22, tables):
    return np.int32(tables.stretch[np.uint64(p22 >> 10)])


@inlined
def _moved(entry, bit, limit, tables):
    """A probability of 22 bits and its count, after `bit` came."""
    p22, n = np.int64(entry >> _10), np.int64(entry & _1023)
    p22 += (((bit << 22) - bit - p22) * tables.reciprocal[np.uint64(n)]) >> 16
    return np.uint32(p22 << 10) | np.uint32(min(n + 1, limit))


@inlined
def start_byte(i, match, before, decision, memory, tables):
    """What holds for a byte: position i, row of the match (16 * 256), the byte before."""
    s, settings = decision.s, tables.settings
    s[_LENGTH] = match >> 8
    s[_EXPECTED] = (match & 255) | 256
    s[_RATE] = settings[RATE] + settings[RATE_BOOST] * 256 // (i + 256)
    s[_BEFORE] = np.int64(before)


@inlined
def start_half(node, keys, decision, memory):
    """Find the buckets of half a byte."""
    for k in range(len(keys)):
        decision.buckets[k] = find_bucket(keys[k], node, memory.histories)


@inlined
def _counter(node, key, memory):
    """The slot of a decision's counter."""
    return ((np.uint64(node) * _K2 + key) >> np.uint64(36)) & np.uint64(memory.counters.shape[1] - 1)


@inlined
def decide(node, shift, counter_keys, hashed, network, decision, memory, tables):
    """The probability of a one, in 1/2^16, of the decision after the bits `node`, bit `shift` of the byte.

    counter_keys (counters,) uint64: hashes of what they count after; hashed: of the last two bytes, for the maps.
    """
    inputs, s, rows, answers = decision.inputs, decision.s, decision.rows, decision.answers
    units = len(network.hidden)
    _map_rows(node, hashed, decision, memory)
    for k in range(len(memory.counters)):
        decision.places[k] = _counter(node, counter_keys[k], memory)
        prefetch(memory.counters[k], decision.places[k])
    inputs[0] = limited((logit(node, network) + 2) >> 2)
    adapted = np.int64(dot_output(memory.output, node * units, network.hidden)) + np.int64(memory.bias[np.uint64(node)])
    s[_ADAPTED] = limited((adapted + 512) >> 10)
    inputs[1] = s[_ADAPTED]
    # The match: does its byte begin with the bits that are known?
    length, expected = s[_LENGTH], s[_EXPECTED]
    if expected >> (shift + 1) != node:
        length = np.int64(0)
        s[_LENGTH] = 0
    inputs[2] = 0
    if length > 0:
        sure = _stretched(np.int64(memory.matches[np.uint64(length)] >> _10), tables)
        inputs[2] = sure if (expected >> shift) & 1 else -sure
    # The contexts.
    half = node if shift > 3 else (node & ((1 << (4 - 1 - shift)) - 1)) | (1 << (4 - 1 - shift))
    at = N_FIXED
    for k in range(len(decision.buckets)):
        state = np.uint64(memory.histories[np.uint64(decision.buckets[k] + half)])
        decision.states[k] = state
        p22 = np.int64(memory.maps[k, state] >> _10)
        known = np.int64(state != np.uint64(0))  # an empty history says nothing
        inputs[at] = known * np.int64(_stretched(p22, tables))
        at += 1
    for k in range(len(memory.counters)):
        inputs[at + k] = _stretched(np.int64(memory.counters[k, decision.places[k]] >> _10) ^ _HALF, tables)
    # Two layers.
    total, n = np.int64(0), len(inputs)
    for k in range(len(rows)):
        choice = tables.sets[k]
        row = length if choice == MATCH else np.int64(node) if choice == BITS else s[_BEFORE]
        rows[k] = tables.first_rows[k] + row
        answers[k] = limited(dot(memory.weights, rows[k] * n, inputs) >> 16)
        total += np.int64(memory.final[length, k]) * answers[k]
    mixed = limited(total >> 16)
    p = _probability(mixed, tables)
    s[_MIXED] = p
    return _refined(p, mixed, decision, memory)


@inlined
def _map_rows(node, hashed, decision, memory):
    """Rows of the maps, by the byte before and by the two before; ask for their memory, and for that of the counters."""
    mask = np.uint64(memory.apm.shape[1] // APM_STEPS - 1)
    for k in range(len(decision.cells)):
        if k == 0:
            row = (np.uint64(decision.s[_BEFORE]) * np.uint64(0x9E35) + np.uint64(node)) & mask
        else:
            row = (((hashed + np.uint64(node) * _K1) * _K3) >> np.uint64(40)) & mask
        decision.cells[k] = np.int64(row) * APM_STEPS
        prefetch(memory.apm[k], decision.cells[k])
        prefetch(memory.apm[k], decision.cells[k] + 16)


@inlined
def _refined(p, mixed, decision, memory):
    """The mean of a probability and of what the maps make of it."""
    n_maps = memory.apm.shape[0]
    place = mixed + LOGIT_LIMIT
    step, part = place >> 8, place & 255
    total = n_maps * (p << 6)
    for k in range(n_maps):
        cell = np.uint64(decision.cells[k] + step)
        low, high = np.int64(memory.apm[k, cell]), np.int64(memory.apm[k, cell + np.uint64(1)])
        total += (low * (256 - part) + high * part) >> 8
        decision.cells[k] = np.int64(cell) + (part >> 7)
    return min(max(total >> (6 + n_maps), np.int64(1)), np.int64(65535))


@inlined
def update(node, shift, bit, network, decision, memory, tables):
    """Move everything that had a part in the decision towards the bit that came."""
    inputs, s, rows, answers, settings = decision.inputs, decision.s, decision.rows, decision.answers, tables.settings
    whole, n, units = bit << 16, len(decision.inputs), len(network.hidden)
    length = s[_LENGTH]
    error = ((whole - s[_MIXED]) * settings[FINAL_RATE] + 8) >> 4
    for k in range(len(rows)):
        memory.final[length, k] += np.int32((answers[k] * error + (1 << 15)) >> 16)
        own = ((whole - _probability(answers[k], tables)) * s[_RATE] + 8) >> 4
        learn(memory.weights, rows[k] * n, inputs, own)
    error = (whole - _probability(s[_ADAPTED], tables)) * settings[OUTPUT_RATE]
    memory.bias[np.uint64(node)] += np.int32(error >> 9)
    learn_output(memory.output, node * units, network.hidden, error >> 8)
    if length > 0:
        right = np.int64(((s[_EXPECTED] >> shift) & 1) == bit)
        memory.matches[np.uint64(length)] = _moved(memory.matches[np.uint64(length)], right, 255, tables)
    half = node if shift > 3 else (node & ((1 << (4 - 1 - shift)) - 1)) | (1 << (4 - 1 - shift))
    for k in range(len(decision.buckets)):
        state = np.uint64(decision.states[k])
        if settings[MAP_LIMIT] > 0:
            memory.maps[k, state] = _moved(memory.maps[k, state], bit, settings[MAP_LIMIT], tables)
        after = tables.after[np.uint64(2 * decision.states[k] + bit)]
        memory.histories[np.uint64(decision.buckets[k] + half)] = after
    flip = np.uint32(1 << 31)
    for k in range(len(memory.counters)):
        place = decision.places[k]
        moved = _moved(memory.counters[k, place] ^ flip, bit, settings[COUNTER_LIMIT], tables)
        memory.counters[k, place] = moved ^ flip
    target = (bit << 22) - bit
    for k in range(len(decision.cells)):
        cell = np.uint64(decision.cells[k])
        old = np.int64(memory.apm[k, cell])
        memory.apm[k, cell] = np.uint32(old + ((target - old) >> _APM_RATE))
