"""Row k of a run as a pure function of (lengths in the store, config, seed, k).

Documents are cut into chunks (`proxylm.data.chunks`), and these are dealt in the order of a keyed permutation per epoch. Row i
of a step continues row i of the step before, and takes the next chunk where that ended. The kind of the j-th chunk (raw, comp,
pair) is drawn from a hash of (seed, j) and the schedule at the row where it begins. So the rows do not depend on the number of
processes, and a plan needs lengths and cuts only.

A row is filled with segments of bodies (`proxylm.data.frame`): of the chunks of a document only the last has the end. Each segment
stands behind an opening, also where it continues a chunk, so that a position always knows its view, as in evaluation. `bos`
predicts nothing and costs one position a segment; every element of a body is a target exactly once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from compressors.kernels import kernel
from proxylm.data.alphabet import Ints
from proxylm.data.frame import CLOSING, OPENING, SWITCH
from proxylm.data.layout import Layout

# Kinds of chunk: which views are shown, in which order.
RAW, COMP, RAW_COMP, COMP_RAW = range(4)


class Segment(NamedTuple):
    """A stretch of a chunk's body in a row."""

    row: int
    """Its number in the run."""
    document: int
    """Its number in the store."""
    chunk: int
    """Its number in the document."""
    kind: int
    """RAW, COMP, RAW_COMP or COMP_RAW."""
    view_index: int
    """Place of the compressed view among those of the run."""
    start: int
    """Place in the chunk's body of its first element."""
    length: int
    """Elements."""
    raw_first: int
    raw_stop: int
    """The chunk's bytes in the document, the last exclusive."""
    view_first: int
    view_stop: int
    """Its positions in the compressed view."""
    ends: int
    """1 where the chunk is the document's last."""

    def bounds(self, *, compressed: bool) -> tuple[int, int]:
        """First and last (exclusive) position of the chunk in its document, in one of the views."""
        return (self.view_first, self.view_stop) if compressed else (self.raw_first, self.raw_stop)


SEGMENT = np.dtype([(name, np.int64) for name in Segment._fields])
# What is left of the chunk that a row of the last step has not shown to its end; document -1: nothing.
_LANE = np.dtype([(name, np.int64) for name in ("document", "chunk", "kind", "view_index", "position")])


@dataclass(frozen=True)
class Scan:
    """What some rows show, without making them."""

    targets: Ints
    """(1 + views + n_ahead,) positions with a target: raw, of each view, of each extra head."""
    n_bytes: float
    """Bytes of text. Of a chunk that is cut, the share of its positions is taken for that of its bytes."""
    passes: float
    """Passes over the corpus that have begun by the last of them: chunks dealt, over those there are."""


class RowPlanner:
    """Plans rows one after the other, or jumps to any: forwards by skipping, backwards by starting again."""

    def __init__(
        self,
        layout: Layout,
        schedule: npt.NDArray[np.float64],
        *,
        total_rows: int,
        row_length: int,
        rows: int,
        seed: int,
        n_ahead: int = 0,
    ) -> None:
        """schedule: `mixture.table`, read against total_rows, the run's length; rows: of a step; n_ahead: extra heads."""
        self._layout, self._schedule, self._row_length = layout, schedule, row_length
        self._rows, self._seed, self._n_ahead = rows, seed, n_ahead
        self.restart(total_rows)

    def restart(self, total_rows: int) -> None:
        """Begin again, as a run of `total_rows` rows."""
        self.total_rows, self._next_row = total_rows, 0
        self._lanes = np.zeros(self._rows, _LANE)  # row i of a step continues lane i
        self._lanes["document"] = -1  # no chunk has begun
        self._dealt = np.zeros(1, np.int64)  # chunks so far

    def plan(self, first: int, last: int) -> npt.NDArray[np.void]:
        """(segments,) of `SEGMENT`: rows first..last-1."""
        self._skip_to(first)
        # Room for the worst case; pages that are never written cost no memory.
        most = (last - first) * (self._row_length // OPENING + 1)  # a segment takes 2 positions or more
        segments = np.empty(most, SEGMENT)
        return segments[: self._advance(last, segments)[0]]

    def scan(self, first: int, last: int) -> Scan:
        """What rows first..last-1 show."""
        self._skip_to(first)
        return self._advance(last, np.empty(0, SEGMENT))[1]

    def _skip_to(self, row: int) -> None:
        if row < self._next_row:
            self.restart(self.total_rows)
        self._advance(row, np.empty(0, SEGMENT))

    def _advance(self, last: int, segments: npt.NDArray[np.void]) -> tuple[int, Scan]:
        """Fill the rows up to `last`. The number of segments, which are written if there is room, and what the rows show."""
        at = self._layout
        targets, n_bytes = np.zeros(1 + len(at.view_lengths) + self._n_ahead, np.int64), np.zeros(1)
        written = _fill(
            self._next_row, last, self._row_length, self.total_rows, np.uint64(self._seed), at.before, at.cuts,
            at.raw_lengths, at.view_lengths, self._schedule, self._lanes, self._dealt, segments, targets, n_bytes,
        )  # fmt: skip
        self._next_row = last
        return int(written), Scan(targets, float(n_bytes[0]), float(self._dealt[0] / at.n_chunks))


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
def _kind(seed, j, chance):  # type: ignore[no-untyped-def] # a kernel
    """Kind of the j-th chunk; chance: cumulative [raw, raw or comp]."""
    # 53 bits: uniform in [0, 1)
    drawn = np.float64(_hash(seed, j, np.uint64(1)) >> np.uint64(11)) * 2.0**-53
    if drawn < chance[0]:
        return RAW
    if drawn < chance[1]:
        return COMP
    return RAW_COMP if _hash(seed, j, np.uint64(2)) & np.uint64(1) else COMP_RAW


@kernel
def _view(seed, j, chance):  # type: ignore[no-untyped-def] # a kernel
    """View of the j-th chunk; chance: their cumulative weights."""
    # Uniform in [0, 1)
    drawn = np.float64(_hash(seed, j, np.uint64(3)) >> np.uint64(11)) * 2.0**-53
    for v in range(len(chance) - 1):
        if drawn < chance[v]:
            return v
    return len(chance) - 1


@kernel
def _part(cuts, before, length, document, chunk):  # type: ignore[no-untyped-def] # a kernel
    """First and last (exclusive) of a document's `length` positions that are in a chunk."""
    i = before[document] + chunk  # its number among all chunks
    return cuts[i], length if i + 1 == before[document + 1] else cuts[i + 1]


@kernel
def _body_length(kind, raw, comp, ends):  # type: ignore[no-untyped-def] # a kernel
    """Elements of a chunk of `raw` bytes and `comp` positions; ends: whether it is the document's last."""
    end = CLOSING if ends else 0
    if kind == RAW:
        return raw + end
    return comp + end if kind == COMP else raw + SWITCH + comp + end


@kernel
def _count_targets(kind, view, raw, comp, start, count, targets, views):  # type: ignore[no-untyped-def] # a kernel
    """Add the segment's targets to [raw, views .., extra heads ..]; a pair's second mark is not a target.

    raw, comp: elements of the chunk, in whose body the segment begins at start.
    """
    before = targets[0]
    if kind == RAW:
        targets[0] += count
    elif kind == COMP:
        targets[1 + view] += count
    else:
        first, second = (0, 1 + view) if kind == RAW_COMP else (1 + view, 0)
        # Of a pair's body: the first view, its closing mark, the opening mark at `mark`, the second view.
        mark = (raw if first == 0 else comp) + 1
        # Elements of the segment before the opening mark.
        until_mark = min(max(mark - start, 0), count)
        targets[first] += until_mark
        targets[second] += count - until_mark - (1 if start <= mark < start + count else 0)
    for i in range(1, len(targets) - views):  # of raw targets that follow each other the first i are none of head i
        targets[views + i] += max(targets[0] - before - i, 0)


@kernel
def _deal(lane, j, seed, before, schedule, at):  # type: ignore[no-untyped-def] # a kernel
    """Give the j-th chunk to the lane; at: the place in the schedule."""
    n = before[-1]
    chunk = _shuffled(j % n, n, seed, j // n)  # every pass over the chunks has its order
    # The last that begins at or before it.
    lane.document = np.searchsorted(before, chunk, side="right") - 1
    lane.chunk = chunk - before[lane.document]
    lane.kind = _kind(seed, j, schedule[at])  # at: of the row in which the chunk begins
    lane.view_index = _view(seed, j, schedule[at, 2:])
    lane.position = 0


@kernel
def _fill(row, last, T, total_rows, seed, before, cuts, raw, comp, schedule, lanes, dealt, out, targets, n_bytes):  # type: ignore[no-untyped-def] # a kernel
    """Fill rows row..last-1; write segments to `out` unless it is empty; return how many."""
    written = 0
    for k in range(row, last):
        lane = lanes[k % len(lanes)]  # a view: what is written stays for the next step
        room = T
        while room >= OPENING:
            if lane.document < 0:
                _deal(lane, dealt[0], seed, before, schedule, min(k * len(schedule) // total_rows, len(schedule) - 1))
                dealt[0] += 1
            document, kind, view = lane.document, lane.kind, lane.view_index
            # Is it the last of its document?.
            ends = before[document] + lane.chunk + 1 == before[document + 1]
            raw_first, raw_stop = _part(cuts[0], before, raw[document], document, lane.chunk)
            first, stop = _part(cuts[1 + view], before, comp[view, document], document, lane.chunk)
            n_raw, n_comp = raw_stop - raw_first, stop - first  # bytes, and positions of the view
            length = _body_length(kind, n_raw, n_comp, ends)
            if length == 0:  # of few symbols not every chunk has one
                lane.document = -1
                continue
            # The opening takes two positions, and the last element none: it is only predicted.
            count = min(length - lane.position, room - (OPENING - 1))
            if len(out):
                segment = out[written]
                segment.row, segment.document, segment.chunk, segment.kind = k, document, lane.chunk, kind
                segment.view_index, segment.start, segment.length = view, lane.position, count
                segment.raw_first, segment.raw_stop, segment.view_first, segment.view_stop = (
                    raw_first,
                    raw_stop,
                    first,
                    stop,
                )
                segment.ends = int(ends)
                written += 1
            _count_targets(kind, view, n_raw, n_comp, lane.position, count, targets, len(comp))
            # A pair shows its bytes twice.
            n_bytes[0] += count * n_raw * (2.0 if kind >= RAW_COMP else 1.0) / length
            lane.position += count
            room -= count + OPENING - 1
            if lane.position == length:  # the chunk is done: the lane takes another
                lane.document = -1
    return written
