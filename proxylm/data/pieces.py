"""Planned segments -> marks in the rows of a batch, and pieces: the stretches of a view that are to be read into them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from compressors.kernels import kernel
from proxylm.data import frame
from proxylm.data.batch import Batch
from proxylm.data.frame import OPENING, SWITCH

# Positions of one chunk, in one view, that follow each other in a row.
PIECE = np.dtype(
    [
        ("row", np.int64),  # of the batch
        ("at", np.int64),  # its first target
        ("length", np.int64),  # positions
        ("view_index", np.int64),  # place of the view among those of the run; -1: the bytes
        ("shard", np.int64),
        ("document", np.int64),  # number among all documents
        ("begin", np.int64),  # the chunk's symbols (or bytes) in the shard, the last exclusive
        ("end", np.int64),
        ("skip", np.int64),  # positions of the chunk before the first
        ("byte_first", np.int64),  # the first byte of the chunk in the shard, where the view has bags
        ("n_bytes", np.float64),  # of text that it stands for; whoever reads it writes this
    ]
)
_BOTH = (False, True)
# (2, 2) each: [bytes, symbols], and their marks.
_OPENINGS = np.array([frame.opening(compressed=compressed) for compressed in _BOTH])
_CLOSINGS = np.array([frame.closing(compressed=compressed) for compressed in _BOTH])
_SWITCHES = np.array([frame.switch(compressed=compressed) for compressed in _BOTH])


def lay_out(batch: Batch, planned: npt.NDArray[np.void], first_row: int) -> npt.NDArray[np.void]:
    """Write everything into the rows but ids, and return the (n,) of `PIECE` that these are; row 0 of the batch is `first_row` of the run."""
    pieces = np.empty(2 * len(planned), PIECE)
    n = _lay_out(
        planned, first_row, _OPENINGS, _CLOSINGS, _SWITCHES, batch.inputs, batch.targets, batch.doc, batch.mode, pieces
    )
    return pieces[:n]


def finish(batch: Batch, planned: npt.NDArray[np.void], first_row: int) -> None:
    """Once all targets are there: what is read is what was predicted before. No opening mark is a target."""
    _finish(planned, first_row, _SWITCHES, batch.inputs, batch.targets)


@kernel
def _lay_out(planned, first_row, openings, closings, switches, inputs, targets, doc, mode, pieces):  # type: ignore[no-untyped-def] # a kernel
    """See `lay_out`; pieces (2 * segments,). Returns how many there are."""
    n, row, at, number = 0, -1, 0, 0
    for s in range(len(planned)):
        segment = planned[s]
        if segment.row - first_row != row:  # the first segment of a row
            row, at, number = segment.row - first_row, 0, 0
        t = at + 1  # `bos` predicts nothing
        # Both count from the first element of the view at hand: negative before it, large behind it.
        start, stop = segment.start, segment.start + segment.length
        # Kinds: raw, compressed, raw and then compressed, compressed and then raw.
        n_parts = 2 if segment.kind >= 2 else 1
        for part in range(n_parts):
            compressed = 1 if segment.kind == 1 or segment.kind == 3 - part else 0
            length = segment.view_stop - segment.view_first if compressed else segment.raw_stop - segment.raw_first
            # Positions a..b-1 of the chunk lie in the segment.
            a, b = min(max(start, 0), length), min(max(stop, 0), length)
            if b > a:
                piece = pieces[n]
                n += 1
                piece.row, piece.at, piece.length, piece.shard, piece.document = (
                    row,
                    t,
                    b - a,
                    segment.shard,
                    segment.document,
                )
                piece.view_index = segment.view_index if compressed else -1
                piece.begin = segment.symbol_first if compressed else segment.raw_at
                piece.end = segment.symbol_stop if compressed else segment.raw_at + length
                piece.skip, piece.byte_first = a, segment.byte_first
            # Of the marks behind them those that lie in the segment.
            marks = closings if part == n_parts - 1 else switches
            n_marks = SWITCH if part < n_parts - 1 or segment.ends else 0
            first_mark, last_mark = min(max(start - length, 0), n_marks), min(max(stop - length, 0), n_marks)
            end = t + (b - a) + max(last_mark - first_mark, 0)
            for m in range(first_mark, last_mark):
                targets[row, t + (b - a) + m - first_mark] = marks[compressed, m]
            for i in range(t, end):
                mode[row, i] = 1 + segment.view_index if compressed else 0
            if t == at + 1 and end > t:  # the first element says how the segment opens
                inputs[row, at], inputs[row, at + 1] = openings[compressed, 0], openings[compressed, 1]
            t = end
            # Counted from the next view.
            start, stop = start - length - SWITCH, stop - length - SWITCH
        for i in range(at, t):
            doc[row, i] = number
        # Where the next segment begins in the row.
        at, number = at + OPENING - 1 + segment.length, number + 1
    return n


@kernel
def _finish(planned, first_row, switches, inputs, targets):  # type: ignore[no-untyped-def] # a kernel
    """See `finish`."""
    row, at = -1, 0
    for s in range(len(planned)):
        segment = planned[s]
        if segment.row - first_row != row:
            row, at = segment.row - first_row, 0
        stop = at + 1 + segment.length
        # Two opening marks, and the body but its last element.
        for i in range(at + 1, stop):
            if i + 1 < stop:
                inputs[row, i + 1] = targets[row, i]
            if targets[row, i] == switches[0, 1] or targets[row, i] == switches[1, 1]:
                targets[row, i] = -1
        at = stop
