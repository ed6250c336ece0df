"""Row k of a run as a pure function of (lengths in the store, config, seed, k).

Documents are cut into chunks (`proxylm.data.chunks`), and these are dealt in the order of a keyed permutation per epoch. Row i
of a step continues row i of the step before, and takes the next chunk where that ended. The kind of the j-th chunk (raw, comp,
pair) is drawn from a hash of (seed, j) and the schedule at the row where it begins. So the rows do not depend on the number of
processes, and a plan needs lengths and cuts only.

Which chunk a row takes depends on all rows before it, so a plan cannot be computed from the middle. What it can: its whole state
is a `cursor` of a few numbers a row of a step. Checkpoints keep one, and a resumed run begins there.

A row is filled with segments of bodies (`proxylm.data.frame`): of the chunks of a document only the last has the end. Each segment
stands behind an opening, also where it continues a chunk, so that a position always knows its view, as in evaluation. `bos`
predicts nothing and costs one position a segment; every element of a body is a target exactly once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from compressors.kernels import kernel
from proxylm.data.alphabet import Ints
from proxylm.data.draws import draws
from proxylm.data.frame import CLOSING, OPENING, SWITCH
from proxylm.data.layout import Layout

# Kinds of chunk: which views are shown, in which order. Known to `proxylm.data.pieces` too.
RAW, COMP, RAW_COMP, COMP_RAW = range(4)

# A stretch of a chunk's body in a row; and, as what is left of the chunk that a row of the last step has not shown to its end.
SEGMENT = np.dtype(
    [
        ("row", np.int64),  # its number in the run
        ("document", np.int64),  # its number in the store; of a row that waits for a chunk -1
        ("chunk", np.int64),  # its number in the document
        ("kind", np.int64),  # RAW, COMP, RAW_COMP or COMP_RAW
        ("view_index", np.int64),  # place of the compressed view among those of the run
        ("start", np.int64),  # place in the chunk's body of its first element
        ("length", np.int64),  # elements
        ("raw_first", np.int64),  # the chunk's bytes in the document, the last exclusive
        ("raw_stop", np.int64),
        ("view_first", np.int64),  # its positions in the compressed view
        ("view_stop", np.int64),
        ("ends", np.int64),  # 1 where the chunk is the document's last
        ("turn", np.int64),  # at which it was dealt
        ("shard", np.int64),
        ("raw_at", np.int64),  # its first byte in the shard
        ("symbol_first", np.int64),  # its symbols in the shard
        ("symbol_stop", np.int64),
        ("byte_first", np.int64),  # the first byte of its bags in the shard
    ]
)
# Chunks that are looked up at once: to walk over many rows, at least some of each shard; and, of a store of few shards, ahead of
# the next steps.
_WALK, _OF_SHARD, _AHEAD = 1 << 16, 16, 1 << 12


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
    """Plans rows one after the other, or jumps to any: forwards by skipping, backwards by starting again, or to a cursor."""

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
        self._ahead = max(_AHEAD // layout.n_shards, 1)
        # The places of the schedule at which a compressed view may be drawn: behind the last nobody asks where those lie.
        self._last_compressed = int(np.flatnonzero(schedule[:, 0] < 1).max(initial=-1))
        self.restart(total_rows)

    def restart(self, total_rows: int) -> None:
        """Begin again, as a run of `total_rows` rows."""
        self.total_rows = total_rows
        self._lanes = np.zeros(self._rows, SEGMENT)  # row i of a step continues lane i
        self._lanes["document"] = -1  # no chunk has begun
        # The row at hand, its positions that are free, and chunks dealt so far.
        self._state = np.array([0, self._row_length, 0])
        self._look_up(0, 0, views=True)

    @property
    def next_row(self) -> int:
        """The first row that is not planned yet."""
        return int(self._state[0])

    @property
    def cursor(self) -> dict[str, Any]:
        """All that the next rows depend on, ready for JSON. It fits plans of the same store, configuration and length."""
        lanes = self._lanes[["document", "turn", "kind", "view_index", "start"]].tolist()
        return {
            "row": self.next_row,
            "dealt": int(self._state[2]),
            "lanes": [lane[1:] if lane[0] >= 0 else None for lane in lanes],
        }

    def jump(self, cursor: dict[str, Any]) -> None:
        """Continue at a cursor."""
        self.restart(self.total_rows)
        self._state[:] = cursor["row"], self._row_length, cursor["dealt"]
        begun = np.array([i for i, lane in enumerate(cursor["lanes"]) if lane is not None], np.int64)
        left = np.array([cursor["lanes"][i] for i in begun], np.int64).reshape(-1, 4)
        found = self._found(left[:, 0], views=bool((left[:, 1] != RAW).any()))
        _take_again(self._lanes, begun, left, *found)

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
        if row < self.next_row:
            self.restart(self.total_rows)
        if row > self.next_row:
            self._advance(row, np.empty(0, SEGMENT))

    def _advance(self, last: int, segments: npt.NDArray[np.void]) -> tuple[int, Scan]:
        """Fill the rows up to `last`. The number of segments, which are written if there is room, and what the rows show."""
        targets = np.zeros(1 + self._places.shape[1] + self._n_ahead, np.int64)
        n_bytes, written = np.zeros(1), 0
        while True:
            written = _fill(
                self._state, last, self._row_length, self.total_rows, self._draws, self._chunks, self._places,
                self._schedule, self._lanes, segments, written, targets, n_bytes,
            )  # fmt: skip
            if self.next_row >= last:
                break
            # Every chunk that was looked up is dealt.
            n, row = min(last - self.next_row, max(_WALK, _OF_SHARD * self._layout.n_shards)), self.next_row
            self._look_up(
                int(self._state[2]), max(n, self._ahead), views=self._schedule_at(row) <= self._last_compressed
            )
        return int(written), Scan(targets, float(n_bytes[0]), float(self._state[2] / self._layout.n_chunks))

    def _schedule_at(self, row: int) -> int:
        """Where in the schedule a row is."""
        return min(row * len(self._schedule) // self.total_rows, len(self._schedule) - 1)

    def _look_up(self, turn: int, count: int, *, views: bool) -> None:
        """Find the chunks of the next turns."""
        turns = np.arange(turn, turn + count)
        self._draws, self._chunks, self._places = self._found(turns, views=views)

    def _found(
        self, turns: Ints, *, views: bool
    ) -> tuple[npt.NDArray[np.void], npt.NDArray[np.void], npt.NDArray[np.void]]:
        """(n,) draws, (n,) chunks, (n, views) places of turns; views: whether a compressed one may be shown."""
        drawn = draws(turns, self._layout.n_chunks, self._seed)
        return drawn, *self._layout.find(drawn["number"], views=views)


@kernel
def _chosen(draw, chance):  # type: ignore[no-untyped-def] # a kernel
    """Kind and view of a chunk; chance: cumulative [raw, raw or comp], then weights of the views."""
    view = len(chance) - 3
    for v in range(len(chance) - 3):
        if draw.for_view < chance[2 + v]:
            view = v
            break
    if draw.for_kind < chance[0]:
        return RAW, view
    if draw.for_kind < chance[1]:
        return COMP, view
    return (COMP_RAW if draw.compressed_first else RAW_COMP), view


@kernel
def _take(lane, draw, chunk, place, kind, view):  # type: ignore[no-untyped-def] # a kernel
    """Give a chunk to a lane."""
    lane.turn, lane.kind, lane.view_index, lane.start = draw.turn, kind, view, 0
    lane.document, lane.chunk, lane.shard = chunk.document, chunk.chunk, chunk.shard
    lane.ends = 1 if chunk.chunk + 1 == chunk.n_chunks else 0
    lane.raw_first, lane.raw_stop, lane.raw_at = chunk.raw_first, chunk.raw_stop, chunk.raw_at
    lane.view_first, lane.view_stop = place.first, place.stop
    lane.symbol_first, lane.symbol_stop, lane.byte_first = place.symbol_first, place.symbol_stop, place.byte_first


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
def _take_again(lanes, begun, left, draws, chunks, places):  # type: ignore[no-untyped-def] # a kernel
    """Give lanes what they had at a cursor; begun (n,) lanes, left (n, 4) turn, kind, view and start of each."""
    for w in range(len(begun)):
        lane, kind, view = lanes[begun[w]], left[w, 1], left[w, 2]
        _take(lane, draws[w], chunks[w], places[w, view], kind, view)
        lane.start = left[w, 3]


@kernel
def _fill(state, last, T, total_rows, draws, chunks, places, schedule, lanes, out, written, targets, n_bytes):  # type: ignore[no-untyped-def] # a kernel
    """Fill rows up to last - 1, or until no chunk is left of those that were looked up; `state` says how far it came.

    Writes segments to `out`, behind the first `written`, unless it is empty; returns how many there are.
    """
    k, room, turn = state[0], state[1], state[2]
    waits = False
    while k < last and not waits:
        lane = lanes[k % len(lanes)]  # a view: what is written stays for the next step
        while room >= OPENING:
            if lane.document < 0:
                q = turn - draws[0].turn if len(draws) else np.int64(0)
                waits = bool(q >= len(draws))
                if waits:
                    break
                # The schedule at the row in which the chunk begins.
                kind, view = _chosen(draws[q], schedule[min(k * len(schedule) // total_rows, len(schedule) - 1)])
                _take(lane, draws[q], chunks[q], places[q, view], kind, view)
                turn += 1
            kind, view = lane.kind, lane.view_index
            n_raw, n_comp = lane.raw_stop - lane.raw_first, lane.view_stop - lane.view_first  # bytes, positions
            length = _body_length(kind, n_raw, n_comp, lane.ends)
            if length == 0:  # of few symbols not every chunk has one
                lane.document = -1
                continue
            # The opening takes two positions, and the last element none: it is only predicted.
            count = min(length - lane.start, room - (OPENING - 1))
            if len(out):
                lane.row, lane.length = k, count
                out[written] = lane
                written += 1
            _count_targets(kind, view, n_raw, n_comp, lane.start, count, targets, places.shape[1])
            # A pair shows its bytes twice.
            n_bytes[0] += count * n_raw * (2.0 if kind >= RAW_COMP else 1.0) / length
            lane.start += count
            room -= count + OPENING - 1
            if lane.start == length:  # the chunk is done: the lane takes another
                lane.document = -1
        if not waits:
            k, room = k + 1, T
    state[0], state[1], state[2] = k, room, turn
    return written
