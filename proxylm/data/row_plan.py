"""Row k of a run as a pure function of (lengths in the store, config, seed, k).

Documents are cut into chunks (`proxylm.data.chunks`), and these are dealt, in the order of a keyed permutation per epoch, to lanes,
of which there are as many as rows in a step: row i of a step continues row i of the step before. The kind of the j-th chunk (raw,
comp, pair) is drawn from a hash of (seed, j) and the schedule at the row where it begins. So the rows do not depend on the
number of processes, and a plan needs lengths and cuts only.

A document is shown as `bos <raw> bytes </raw> eos` (or <comp>, or both views one after the other). What follows the first
two marks is its *body*; of chunks the last alone has the end. A row is filled with segments of bodies; each is preceded by
`bos` and the mark of its view, also where it continues a document, so that a position always knows its view, as in
evaluation. `bos` predicts nothing and costs one position a segment; every element of a body is a target exactly once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

# Kinds of chunk
RAW, COMP, RAW_COMP, COMP_RAW = range(4)

# Columns of a plan: a segment of `COUNT` of a chunk's body, from `START` on; the chunk's positions in the document, raw and in
# its reading, first and last (exclusive); 1 where it is the document's last.
ROW, DOCUMENT, CHUNK, KIND, READING, START, COUNT, RAW_FIRST, RAW_STOP, COMP_FIRST, COMP_STOP, ENDS = range(12)


@dataclass
class Planner:
    """Plans rows one after the other, or jumps to any: forwards by skipping, backwards by starting again.

    raw_lengths (documents,), comp_lengths (readings, documents): symbols. before (documents + 1,): chunks of all documents
    before each; cuts (1 + readings, chunks): the position in its document, raw and in each reading, at which a chunk begins;
    without them documents are dealt whole. schedule: `mixture.table`; total_rows: the run's length, against which it is read.
    """

    raw_lengths: Ints
    comp_lengths: Ints
    schedule: npt.NDArray[np.float64]
    total_rows: int
    row_length: int
    lanes: int
    seed: int
    n_ahead: int = 0  # extra heads, whose targets are counted too
    before: Ints | None = None
    cuts: Ints | None = None

    def __post_init__(self) -> None:
        if self.before is None:
            self.before = np.arange(len(self.raw_lengths) + 1)
        if self.cuts is None:
            self.cuts = np.zeros((1 + len(self.comp_lengths), self.before[-1]), np.int64)
        self._restart()

    def _restart(self) -> None:
        self._next_row = 0
        self._lanes = np.zeros((self.lanes, 5), np.int64)  # document, chunk, kind, reading, position in the body
        self._lanes[:, 0] = -1  # no document yet
        self._drawn = np.zeros(1, np.int64)  # chunks dealt so far

    def plan(self, first: int, last: int) -> Ints:
        """(segments, 12) of rows first..last-1: the columns above."""
        most = (last - first) * (self.row_length // 2 + 1)  # a segment takes 2 positions or more
        out = np.empty((most, 12), np.int64)
        self._skip_to(first)
        return out[: self._advance(last, out, self._no_targets())]

    def targets(self, first: int, last: int) -> Ints:
        """(1 + readings + n_ahead,) positions with a target in rows first..last-1: raw, of each reading, of each extra head."""
        self._skip_to(first)
        scored = self._no_targets()
        self._advance(last, np.empty((0, 12), np.int64), scored)
        return scored

    @property
    def passes(self) -> float:
        """Passes over the corpus that the rows planned so far have begun: chunks dealt, over those there are."""
        assert self.before is not None  # set when it was made
        return float(self._drawn[0] / self.before[-1])

    def _no_targets(self) -> Ints:
        return np.zeros(1 + len(self.comp_lengths) + self.n_ahead, np.int64)

    def _skip_to(self, row: int) -> None:
        if row < self._next_row:
            self._restart()
        self._advance(row, np.empty((0, 12), np.int64), self._no_targets())

    def _advance(self, last: int, out: Ints, scored: Ints) -> int:
        written = _fill(
            self._next_row, last, self.row_length, self.total_rows, np.uint64(self.seed),
            self.before, self.cuts, self.raw_lengths, self.comp_lengths, self.schedule, self._lanes,
            self._drawn, out, scored,
        )  # fmt: skip
        self._next_row = last
        return int(written)


@numba.njit(cache=True, nogil=True)
def _mix(x):  # type: ignore[no-untyped-def] # a kernel
    """splitmix64: the output function of Steele, Lea, Flood (2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@numba.njit(cache=True, nogil=True)
def _hash(seed, index, purpose):  # type: ignore[no-untyped-def] # a kernel
    """64 random bits as a function of (seed, index, purpose)."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    return _mix(_mix(_mix(seed + golden) ^ (np.uint64(index) * golden)) + np.uint64(purpose))


@numba.njit(cache=True, nogil=True)
def _shuffled(i, n, seed, epoch):  # type: ignore[no-untyped-def] # a kernel
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
def _kind(seed, j, chance):  # type: ignore[no-untyped-def] # a kernel
    """Kind of the j-th chunk; chance: cumulative [raw, raw or comp]."""
    drawn = np.float64(_hash(seed, j, np.uint64(1)) >> np.uint64(11)) * 2.0**-53
    if drawn < chance[0]:
        return RAW
    if drawn < chance[1]:
        return COMP
    return RAW_COMP if _hash(seed, j, np.uint64(2)) & np.uint64(1) else COMP_RAW


@numba.njit(cache=True, nogil=True)
def _part(cuts, before, length, document, chunk):  # type: ignore[no-untyped-def] # a kernel
    """First and last (exclusive) of a document's `length` positions that are in a chunk."""
    i = before[document] + chunk
    return cuts[i], length if i + 1 == before[document + 1] else cuts[i + 1]


@numba.njit(cache=True, nogil=True)
def _body_length(kind, raw, comp, is_last):  # type: ignore[no-untyped-def] # a kernel
    """Symbols, between views close and open, and behind the last chunk of a document close and eos."""
    end = 2 if is_last else 0
    if kind == RAW:
        return raw + end
    return comp + end if kind == COMP else raw + 2 + comp + end


@numba.njit(cache=True, nogil=True)
def _reading(seed, j, chance):  # type: ignore[no-untyped-def] # a kernel
    """Reading of the j-th chunk; chance: their cumulative weights."""
    drawn = np.float64(_hash(seed, j, np.uint64(3)) >> np.uint64(11)) * 2.0**-53
    for r in range(len(chance) - 1):
        if drawn < chance[r]:
            return r
    return len(chance) - 1


@numba.njit(cache=True, nogil=True)
def _count_targets(kind, reading, raw, comp, start, count, scored, readings):  # type: ignore[no-untyped-def] # a kernel
    """Add the segment's targets to scored [raw, readings .., extra heads ..]; a pair's second mark is no target.

    raw, comp: symbols of the chunk, in which the segment begins at start.
    """
    before = scored[0]
    if kind == RAW:
        scored[0] += count
    elif kind == COMP:
        scored[1 + reading] += count
    else:
        first, second = (0, 1 + reading) if kind == RAW_COMP else (1 + reading, 0)
        mark = (raw if first == 0 else comp) + 1
        until_mark = min(max(mark - start, 0), count)
        scored[first] += until_mark
        scored[second] += count - until_mark - (1 if start <= mark < start + count else 0)
    for i in range(1, len(scored) - readings):  # of raw targets that follow each other the first i are none of head i
        scored[readings + i] += max(scored[0] - before - i, 0)


@numba.njit(cache=True, nogil=True)
def _deal(lane, j, seed, before, schedule, at):  # type: ignore[no-untyped-def] # a kernel
    """Give the j-th chunk to the lane; at: the place in the schedule."""
    n = before[-1]
    chunk = _shuffled(j % n, n, seed, j // n)
    document = np.searchsorted(before, chunk, side="right") - 1
    lane[0], lane[1] = document, chunk - before[document]
    lane[2] = _kind(seed, j, schedule[at])
    lane[3] = _reading(seed, j, schedule[at, 2:])
    lane[4] = 0


@numba.njit(cache=True, nogil=True)
def _fill(row, last, T, total_rows, seed, before, cuts, raw, comp, schedule, lanes, drawn, out, scored):  # type: ignore[no-untyped-def] # a kernel
    """Fill rows row..last-1; write segments to `out` unless it is empty; return how many."""
    written = 0
    for k in range(row, last):
        lane = lanes[k % len(lanes)]
        room = T
        while room >= 2:
            if lane[0] < 0:
                _deal(lane, drawn[0], seed, before, schedule, min(k * len(schedule) // total_rows, len(schedule) - 1))
                drawn[0] += 1
            document, chunk, kind, reading, start = lane[0], lane[1], lane[2], lane[3], lane[4]
            of_comp, ends = comp[reading, document], before[document] + chunk + 1 == before[document + 1]
            raw_first, raw_stop = _part(cuts[0], before, raw[document], document, chunk)
            first, stop = _part(cuts[1 + reading], before, of_comp, document, chunk)
            n_raw, n_comp = raw_stop - raw_first, stop - first
            length = _body_length(kind, n_raw, n_comp, ends)
            if length == 0:  # of few symbols not every chunk has one
                lane[0] = -1
                continue
            count = min(length - start, room - 1)
            if len(out):
                out[written] = (
                    k,
                    document,
                    chunk,
                    kind,
                    reading,
                    start,
                    count,
                    raw_first,
                    raw_stop,
                    first,
                    stop,
                    int(ends),
                )
                written += 1
            _count_targets(kind, reading, n_raw, n_comp, start, count, scored, len(comp))
            lane[4] += count
            room -= count + 1
            if lane[4] == length:
                lane[0] = -1
    return written
