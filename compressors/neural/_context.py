"""What the model sees of the bytes already coded: hashed contexts, the document's own history, rows of the tables.

Integers only. Everything a position sees depends only on earlier bytes, so the decoder sees the same.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from compressors._machine_words import prefetch
from compressors.kernels import inlined, kernel

N_CONTEXTS = 14
_K1, _K2, _K3 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93), np.uint64(0xA0761D6478BD642F)
_0, _1, _8, _32 = np.uint64(0), np.uint64(1), np.uint64(8), np.uint64(32)
_BYTE, _BYTE4, _BYTE6 = np.uint64(0xFF), np.uint64(0xFFFFFFFF), np.uint64(0xFFFFFFFFFFFF)
_MIN_MATCH, _MAX_MATCH = 4, 32  # bytes; a longer match is as good as certain


class Sight(NamedTuple):
    """What a model looks at: see `model.Shape`."""

    contexts: npt.NDArray[np.int64]
    successors: npt.NDArray[np.int64]
    bits: npt.NDArray[np.int64]  # (contexts,) log2 of the rows of each table
    n_seconds: int


class State(NamedTuple):
    """What is known of the document so far."""

    scan: npt.NDArray[np.uint64]  # (N_SCAN,) see below
    brackets: npt.NDArray[np.uint64]  # (16,) hash of each open bracket and the word before it
    contexts: npt.NDArray[np.uint64]  # (N_CONTEXTS,) hashes at this position
    places: npt.NDArray[np.int32]  # (size,) hash of five bytes -> where they were last
    history: npt.NDArray[np.uint32]  # (successors, size) hash of a context -> what followed it
    slots: npt.NDArray[np.int64]  # (successors,) of this position in the history
    found: npt.NDArray[np.uint32]  # (successors,) and what is there

    @classmethod
    def new(cls, n_successors: int, size: int, n_places: int = 0) -> State:
        """Of an empty document; `size` and `n_places` (0: as `size`) are powers of two."""
        scan, brackets, contexts = (np.zeros(n, np.uint64) for n in (N_SCAN, 16, N_CONTEXTS))
        history = np.zeros((n_successors, size), np.uint32)
        slots, found = np.zeros(n_successors, np.int64), np.zeros(n_successors, np.uint32)
        return cls(scan, brackets, contexts, np.zeros(n_places or size, np.int32), history, slots, found)


# Slots of the array `scan`, here `s`, a uint64 array: what is carried from byte to byte.
N_SCAN = 16
_LAST8, _WORD, _WORD1, _WORD2, _INDENT, _FIRST, _LINE, _LINE1 = 0, 1, 2, 3, 4, 5, 6, 7
_SHAPE, _FIRST1, _END1, _VISIBLE, _DEPTH, _INSIDE, _MATCH, _LENGTH = 8, 9, 10, 11, 12, 13, 14, 15


@inlined
def _hash(a, b, c):
    x = (a + _K1) * _K2
    x ^= x >> np.uint64(29)
    x = (x + b) * _K1
    x ^= x >> _32
    x = (x + c) * _K3
    return x ^ (x >> np.uint64(31))


@inlined
def _read(b, i, s, brackets):
    """Take byte `b`, the one before position i, into the state."""
    s[_LAST8] = (s[_LAST8] << _8) | b
    lower = b | np.uint64(32)
    if (
        (lower >= np.uint64(97) and lower <= np.uint64(122))
        or b == np.uint64(95)
        or b >= np.uint64(128)
        or (b >= np.uint64(48) and b <= np.uint64(57))
    ):  # part of a word: its hash grows, the shape of the line has one "a" for all of it
        s[_WORD] = (s[_WORD] + b + _1) * _K1
        s[_WORD] ^= s[_WORD] >> np.uint64(27)
        if s[_SHAPE] & _BYTE != np.uint64(97):
            s[_SHAPE] = (s[_SHAPE] << _8) | np.uint64(97)
        s[_INSIDE] = _1
        s[_VISIBLE] = b
        return
    if s[_WORD] != _0:
        if s[_FIRST] == _0:
            s[_FIRST] = s[_WORD]
        s[_WORD2], s[_WORD1], s[_WORD] = s[_WORD1], s[_WORD], _0
    if b == np.uint64(10):
        s[_FIRST1], s[_END1], s[_LINE1] = s[_FIRST], s[_VISIBLE], s[_LINE]
        s[_FIRST], s[_LINE], s[_INDENT], s[_INSIDE] = _0, np.uint64(i), _0, _0
        s[_SHAPE] = (s[_SHAPE] << _8) | b
    elif b == np.uint64(32) or b == np.uint64(9):
        if s[_INSIDE] == _0:
            s[_INDENT] += _1
    else:
        s[_INSIDE] = _1
        if s[_FIRST] == _0:
            s[_FIRST] = b
        s[_SHAPE] = (s[_SHAPE] << _8) | b
        if b == np.uint64(40) or b == np.uint64(91) or b == np.uint64(123):  # ( [ {
            s[_DEPTH] = (s[_DEPTH] + _1) & np.uint64(15)
            brackets[s[_DEPTH]] = _hash(b, s[_WORD1], _1)
        elif b == np.uint64(41) or b == np.uint64(93) or b == np.uint64(125):
            brackets[s[_DEPTH]] = _0
            s[_DEPTH] = (s[_DEPTH] - _1) & np.uint64(15)
    if b > np.uint64(32):
        s[_VISIBLE] = b


@inlined
def contexts_at(data, i, s, brackets, ctx):
    """Take in ``data[i - 1]`` and fill ctx (14,) with hashes of what precedes position i; all 64 bits are mixed."""
    if i > 0:
        _read(np.uint64(data[i - 1]), i, s, brackets)
    c, w = s[_LAST8], s[_WORD]
    b = c & _BYTE
    out = b if w == _0 else _0  # between words the last byte tells more than an empty word
    # The last 1 to 6 bytes; the first two have a table row for each value.
    ctx[0] = (b << np.uint64(56)) | (_hash(b, _0, _0) >> _8)
    ctx[1] = (c << np.uint64(48)) | (_hash(c & np.uint64(0xFFFF), _0, _1) >> np.uint64(16))
    ctx[2] = _hash(c & np.uint64(0xFFFFFF), _0, np.uint64(2))
    ctx[3] = _hash(c & _BYTE4, _0, np.uint64(3))
    ctx[4] = _hash(c & np.uint64(0xFFFFFFFFFF), _0, np.uint64(4))
    ctx[5] = _hash(c & _BYTE6, _0, np.uint64(5))
    ctx[6] = _hash(w, b, np.uint64(6))  # the word so far; and one, two words before it
    ctx[7] = _hash(w, s[_WORD1], out + np.uint64(7))
    ctx[8] = _hash(w + _8, s[_WORD1], s[_WORD2] + out)
    ctx[9] = _hash(w + (s[_INDENT] << np.uint64(56)), s[_FIRST], b)  # the line: indentation, first word
    above = np.int64(s[_LINE1]) + i - np.int64(s[_LINE])  # the same column of the line before
    pair = _0
    if above + 1 < np.int64(s[_LINE]):
        pair = np.uint64(data[above]) | (np.uint64(data[above + 1]) << _8)
    ctx[10] = _hash(pair, c & np.uint64(0xFFFF), np.uint64(10))
    ctx[11] = _hash(s[_SHAPE] & _BYTE6, b, np.uint64(11))  # punctuation, words as one letter
    ctx[12] = _hash(brackets[s[_DEPTH]], w, b)  # the open bracket and the word before it
    ctx[13] = _hash(s[_FIRST1] + (s[_INDENT] << np.uint64(56)), s[_END1] | (s[_INSIDE] << _8), w + b)  # the line before


@inlined
def fetch_match(state):
    """Ask for the memory that `match_at` will read."""
    prefetch(state.places, np.int64(state.contexts[4] & np.uint64(len(state.places) - 1)))


@inlined
def match_at(data, i, s, h, places):
    """Row of the predicted byte and how long the match is: the longest of the last match and the newest of 5 bytes."""
    at, length = np.int64(s[_MATCH]), np.int64(s[_LENGTH])
    if length > 0 and data[at] == data[i - 1]:
        at, length = at + 1, length + 1
    else:
        length = 0
    if i >= 5:
        slot = np.int64(h & np.uint64(len(places) - 1))
        if length < 24:
            other, n = np.int64(places[slot]), 0
            while n < _MAX_MATCH and other - n > 0 and data[other - 1 - n] == data[i - 1 - n]:
                n += 1
            if n >= _MIN_MATCH and n > length:
                at, length = other, n
        places[slot] = np.int32(i)
    s[_MATCH], s[_LENGTH] = np.uint64(at), np.uint64(length)
    if length == 0:
        return 0
    bucket = length - 1
    if length > 11:
        bucket = 11 if length == 12 else 12 if length <= 16 else 13 if length < 24 else 14 if length < 32 else 15
    return bucket * 256 + np.int64(data[at])


# A successor: what followed a context in this document. Bits 0-7 the last byte, 8-15 the last other one, 16-18 how often
# the last came in a row, 19 whether there was another, 20-31 check bits of the context.
_CHECK = np.uint32(0xFFF)


@inlined
def successors_of(ctx, which, table, slots, found):
    """Where each context of `which` has its successor in table (n, size), and what is there if the check bits agree."""
    mask = np.uint64(table.shape[1] - 1)
    for k in range(len(which)):
        h = ctx[which[k]]
        slot = np.int64((h >> _32) & mask)
        entry = table[k, slot]
        check = np.uint32(h & np.uint64(0xFFF)) << np.uint32(20)
        slots[k] = slot
        found[k] = entry if entry & ~np.uint32(0xFFFFF) == check else check


@inlined
def succeed(table, slots, found, byte):
    """Enter the byte that followed."""
    y = np.uint32(byte)
    for k in range(len(slots)):
        entry = found[k]
        run = (entry >> np.uint32(16)) & np.uint32(7)
        last = entry & np.uint32(0xFF)
        if run > np.uint32(0) and last == y:
            run = min(run + np.uint32(1), np.uint32(7))
            table[k, slots[k]] = (entry & ~np.uint32(0x70000)) | (run << np.uint32(16))
        else:
            other = entry & np.uint32(0x8FF00)
            if run > np.uint32(0):
                other = np.uint32(0x80000) | (last << np.uint32(8))
            table[k, slots[k]] = (entry & ~np.uint32(0xFFFFF)) | other | np.uint32(0x10000) | y


@inlined
def rows_of(ctx, contexts, bits, match, found, n_seconds, rows):
    """Fill rows with the row of each feature in its own table: contexts, match, last successors, the others."""
    f = 0
    for k in range(len(contexts)):
        rows[f] = np.int32(ctx[contexts[k]] >> np.uint64(64 - bits[k]))
        f += 1
    rows[f] = match
    f += 1
    for k in range(len(found)):
        rows[f] = np.int32(found[k] & np.uint32(0xFF)) | np.int32((found[k] >> np.uint32(8)) & np.uint32(0x700))
        f += 1
    for k in range(n_seconds):
        second = found[k] >> np.uint32(8)
        rows[f] = np.int32(second & np.uint32(0xFF)) | np.int32((second >> np.uint32(3)) & np.uint32(0x100))
        f += 1


@inlined
def scan(data, i, state):
    """Take in the byte before position i; positions come in turn, once each."""
    if i > 0:
        succeed(state.history, state.slots, state.found, data[i - 1])
    contexts_at(data, i, state.scan, state.brackets, state.contexts)


@inlined
def look(data, i, sight, state, rows):
    """Fill rows (features,) int32 of position i, which was scanned; the row of the match."""
    match = match_at(data, i, state.scan, state.contexts[4], state.places)
    successors_of(state.contexts, sight.successors, state.history, state.slots, state.found)
    rows_of(state.contexts, sight.contexts, sight.bits, match, state.found, sight.n_seconds, rows)
    return match


@kernel
def features(data, sight, state, rows):
    """rows (n, features) int32 of a whole document, data (n,) uint8, from a new state."""
    for i in range(len(data)):
        scan(data, i, state)
        look(data, i, sight, state, rows[i])
