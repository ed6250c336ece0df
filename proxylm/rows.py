"""Row k of a run as a pure function of (lengths in the store, config, seed, k).

Documents are dealt, in the order of a keyed permutation per epoch, to lanes; row k continues lane k % lanes. The kind of
the j-th document (raw, comp, pair) is drawn from a hash of (seed, j) and the schedule at the row where it begins. So the
rows do not depend on the number of processes, nor on how many rows make a step, and a plan needs lengths only.

A document is shown as `bos <raw> bytes </raw> eos` (or <comp>, or both views one after the other). What follows the first
two marks is its *body*. A row is filled with segments of bodies; each is preceded by `bos` and the mark of its view, also
where it continues a document, so that a position always knows its view, as in evaluation. `bos` predicts nothing and
costs one position a segment; every element of a body is a target exactly once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

# Kinds of document
RAW, COMP, RAW_COMP, COMP_RAW = range(4)

# Columns of a plan
ROW, DOCUMENT, KIND, READING, START, COUNT = range(6)


@dataclass
class Planner:
    """Plans rows one after the other, or jumps to any: forwards by skipping, backwards by starting again.

    raw_lengths (documents,), comp_lengths (readings, documents): symbols. comp_inner (readings, 2, documents): of a compressed
    body, the targets that are predicted as raw, and the marks inside that are no targets (`proxylm.interleave`). schedule:
    `mixing.table`; total_rows: the run's length, against which it is read.
    """

    raw_lengths: Ints
    comp_lengths: Ints
    comp_inner: Ints
    schedule: npt.NDArray[np.float64]
    total_rows: int
    row_length: int
    lanes: int
    seed: int
    n_ahead: int = 0  # extra heads, whose targets are counted too

    def __post_init__(self) -> None:
        self._restart()

    def _restart(self) -> None:
        self._next_row = 0
        self._lanes = np.zeros((self.lanes, 4), np.int64)  # document, kind, reading, position in the body
        self._lanes[:, 0] = -1  # no document yet
        self._drawn = np.zeros(1, np.int64)  # documents dealt so far

    def plan(self, first: int, last: int) -> Ints:
        """(segments, 6) of rows first..last-1: row, document, kind, reading, start in the body, count."""
        out = np.empty(
            ((last - first) * (self.row_length // 3 + 1), 6), np.int64
        )  # a new document takes 3 positions or more
        self._skip_to(first)
        return out[: self._advance(last, out, self._no_targets())]

    def targets(self, first: int, last: int) -> Ints:
        """(1 + readings + n_ahead,) positions with a target in rows first..last-1: raw, of each reading, of each extra head.

        Exact but for interleaved documents that a row cuts: their heads are taken to be spread evenly.
        """
        self._skip_to(first)
        scored = self._no_targets()
        self._advance(last, np.empty((0, 6), np.int64), scored)
        return scored

    def _no_targets(self) -> Ints:
        return np.zeros(1 + len(self.comp_lengths) + self.n_ahead, np.int64)

    def _skip_to(self, row: int) -> None:
        if row < self._next_row:
            self._restart()
        self._advance(row, np.empty((0, 6), np.int64), self._no_targets())

    def _advance(self, last: int, out: Ints, scored: Ints) -> int:
        written = _fill(
            self._next_row, last, self.row_length, self.total_rows, np.uint64(self.seed),
            self.raw_lengths, self.comp_lengths, self.comp_inner, self.schedule, self._lanes, self._drawn, out, scored,
        )  # fmt: skip
        self._next_row = last
        return int(written)


@numba.njit(cache=True, nogil=True)
def _mix(x):  # type: ignore[no-untyped-def]
    """splitmix64: the output function of Steele, Lea, Flood (2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def _hash(seed, index, purpose):  # type: ignore[no-untyped-def]
    """64 random bits as a function of (seed, index, purpose)."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    return _mix(_mix(_mix(seed + golden) ^ (np.uint64(index) * golden)) + np.uint64(purpose))


@numba.njit(cache=True, nogil=True)
def _shuffled(i, n, seed, epoch):  # type: ignore[no-untyped-def]
    """Place i of a keyed permutation of range(n): a 4-round Feistel network on 2h bits, walked until it is below n."""
    half = 1
    while (1 << (2 * half)) < n:
        half += 1
    mask = np.uint64((1 << half) - 1)
    value = np.uint64(i)
    while True:
        left, right = value >> np.uint64(half), value & mask
        for turn in range(4):
            left, right = (
                right,
                left ^ (_hash(seed, right, np.uint64(epoch) * np.uint64(8) + np.uint64(turn + 4)) & mask),
            )
        value = (left << np.uint64(half)) | right
        if value < np.uint64(n):
            return np.int64(value)


@numba.njit(cache=True, nogil=True)
def _kind(seed, j, chance):  # type: ignore[no-untyped-def]
    """Kind of the j-th document; chance: cumulative [raw, raw or comp]."""
    drawn = np.float64(_hash(seed, j, np.uint64(1)) >> np.uint64(11)) * 2.0**-53
    if drawn < chance[0]:
        return RAW
    if drawn < chance[1]:
        return COMP
    return RAW_COMP if _hash(seed, j, np.uint64(2)) & np.uint64(1) else COMP_RAW


@numba.njit(cache=True, nogil=True)
def _body_length(kind, raw, comp):  # type: ignore[no-untyped-def]
    """Symbols, then close and eos; a pair has close, open, close, eos."""
    if kind == RAW:
        return raw + 2
    return comp + 2 if kind == COMP else raw + comp + 4


@numba.njit(cache=True, nogil=True)
def _reading(seed, j, chance):  # type: ignore[no-untyped-def]
    """Reading of the j-th document; chance: their cumulative weights."""
    drawn = np.float64(_hash(seed, j, np.uint64(3)) >> np.uint64(11)) * 2.0**-53
    for r in range(len(chance) - 1):
        if drawn < chance[r]:
            return r
    return len(chance) - 1


@numba.njit(cache=True, nogil=True)
def _count_targets(kind, reading, raw, comp, inner, start, count, scored, readings):  # type: ignore[no-untyped-def]
    """Add the segment's targets to scored [raw, readings .., extra heads ..]; a pair's second mark is no target."""
    before, runs = scored[0], 1
    if kind == RAW:
        scored[0] += count
    elif kind == COMP:
        length, stop = comp + 2, start + count
        of_raw = (
            stop * inner[0] // length - start * inner[0] // length
        )  # sums to inner[0] over the segments of a document
        marks = stop * inner[1] // length - start * inner[1] // length
        scored[0] += of_raw
        scored[1 + reading] += count - of_raw - marks
        runs = marks // 2 + 1
    else:
        first, second = (0, 1 + reading) if kind == RAW_COMP else (1 + reading, 0)
        mark = (raw if first == 0 else comp) + 1
        until_mark = min(max(mark - start, 0), count)
        scored[first] += until_mark
        scored[second] += count - until_mark - (1 if start <= mark < start + count else 0)
    for i in range(1, len(scored) - readings):  # of raw targets that follow each other the first i are none of head i
        scored[readings + i] += max(scored[0] - before - i * runs, 0)


@numba.njit(cache=True, nogil=True)
def _fill(row, last, T, total_rows, seed, raw, comp, inner, schedule, lanes, drawn, out, scored):  # type: ignore[no-untyped-def]
    """Fill rows row..last-1; write segments to `out` unless it is empty; return how many."""
    written = 0
    for k in range(row, last):
        lane = lanes[k % len(lanes)]
        room = T
        while room >= 2:
            if lane[0] < 0:
                j = drawn[0]
                drawn[0] += 1
                at = min(k * len(schedule) // total_rows, len(schedule) - 1)
                lane[0] = _shuffled(j % len(raw), len(raw), seed, j // len(raw))
                lane[1] = _kind(seed, j, schedule[at])
                lane[2] = _reading(seed, j, schedule[at, 2:])
                lane[3] = 0
            document, kind, reading, start = lane[0], lane[1], lane[2], lane[3]
            length = _body_length(kind, raw[document], comp[reading, document])
            count = min(length - start, room - 1)
            if len(out):
                out[written, 0], out[written, 1], out[written, 2] = k, document, kind
                out[written, 3], out[written, 4], out[written, 5] = reading, start, count
                written += 1
            _count_targets(
                kind, reading, raw[document], comp[reading, document], inner[reading, :, document], start, count,
                scored, len(comp),
            )  # fmt: skip
            lane[3] += count
            room -= count + 1
            if lane[3] == length:
                lane[0] = -1
    return written
