"""Plan -> Batch: the ids of the planned segments, read from the store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from compressors.errors import InputError, InvalidConfig
from proxylm.config import RunConfig
from proxylm.data import frame, mixture
from proxylm.data.alphabet import COMP_OFFSET, RAW_SLICE, Alphabet, Ints, byte_ids
from proxylm.data.batch import Batch, Shares
from proxylm.data.layout import Layout
from proxylm.data.row_plan import COMP, COMP_RAW, RAW, RAW_COMP, RowPlanner, Segment
from proxylm.data.store import Store
from proxylm.data.symbol_ids import check_merges
from proxylm.data.views import View, views_of
from proxylm.view_spec import RAW as RAW_VIEW

# Whether each view that a chunk shows is compressed, and what such a chunk is counted as, by its kind.
_SHOWS = {RAW: (False,), COMP: (True,), RAW_COMP: (False, True), COMP_RAW: (True, False)}
_COUNTED = ("raw", "comp", "pair", "pair")


class Loader:
    """The rows of a run: `batch(step, rank, world)`; its whole state is the step."""

    def __init__(self, store: Store, config: RunConfig, total_rows: int) -> None:
        """total_rows: the run's length. Raises `InvalidConfig` if a view cannot be shown as `config` says."""
        self.alphabet = alphabet_of(store, config)
        self._views = views_of(store, config.mix.specs, self.alphabet)
        self.heads = (RAW_SLICE, *(view.head for view in self._views))
        self._raw, self._bag = store.column(RAW_VIEW), max((view.bag for view in self._views), default=0)
        self._has_bags = np.array([view.bag > 0 for view in self._views] or [False])
        self._row_length, self._rows = config.train.row_length, config.train.rows
        self.planner = RowPlanner(
            Layout.of(self._raw.lengths, self._views, config.chunk),
            mixture.table(config.mix.schedule, config.mix.views),
            total_rows=total_rows,
            row_length=self._row_length,
            rows=self._rows,
            seed=config.train.seed,
            n_ahead=config.model.n_ahead,
        )

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """The rows of `step` (from 0) that process `rank` of `world` reads.

        Raises `InputError` past the end of the run, `InvalidConfig` if the processes cannot share the rows of a step.
        """
        if not 0 <= step < -(-self.planner.total_rows // self._rows):
            raise InputError(
                f"step {step} is not in this run; it has {self.planner.total_rows // self._rows} steps, from 0 on"
            )
        if self._rows % world:
            raise InvalidConfig(f"train.rows {self._rows} cannot be shared by {world} processes; use a multiple")
        first = self.first_row(step, rank, world)
        # All rows: cheap, and alike everywhere.
        of_step = self.planner.plan(step * self._rows, (step + 1) * self._rows)
        return self._made(of_step, first, first + self._rows // world)

    def first_row(self, step: int, rank: int = 0, world: int = 1) -> int:
        """The number of the first of them."""
        return step * self._rows + rank * (self._rows // world)

    def rows(self, first: int, last: int) -> Batch:
        """Rows first..last-1 of the run."""
        return self._made(self.planner.plan(first, last), first, last)

    def _made(self, planned: npt.NDArray[np.void], first: int, last: int) -> Batch:
        """Rows first..last-1 of those that are planned.

        The whole plan decides whether there are bags, so that every process decides alike.
        """
        in_bags = (planned["kind"] == COMP) & self._has_bags[planned["view_index"]]
        in_bags &= planned["start"] < planned["view_stop"] - planned["view_first"]  # not only closing marks
        batch = Batch.blank(last - first, self._row_length, self._bag)
        at, row, number = 0, -1, 0
        own = planned[(planned["row"] >= first) & (planned["row"] < last)]
        for segment in map(Segment._make, own.tolist()):
            if segment.row != row:  # the first segment of a row
                row, at, number = segment.row, 0, 0
            self._write(batch, segment, row - first, at, number)
            # Where the next segment begins in the row.
            at, number = at + frame.OPENING - 1 + segment.length, number + 1
        # A pair's second opening mark is not predicted.
        batch.targets[frame.is_opening_mark(batch.targets)] = -1
        return batch if in_bags.any() else replace(batch, bags=None)

    def _write(self, batch: Batch, segment: Segment, row: int, at: int, number: int) -> None:
        """Write a segment into a row, from position `at` on: the opening, and the body but its last id."""
        body, mode = self._body(segment, batch.shares)  # (count,) each
        stop = at + 1 + segment.length  # two opening marks, and the body without its last id
        # Position t reads input t and predicts target t: the body is shifted by one, and `bos` predicts nothing.
        batch.inputs[row, at:stop] = [*frame.opening(compressed=bool(mode[0])), *body[:-1]]
        batch.targets[row, at + 1 : stop] = body
        batch.mode[row, at + 1 : stop] = mode
        batch.doc[row, at:stop] = number
        batch.documents[row].append(segment.document)
        if segment.kind == COMP:
            view, first = self._views[segment.view_index], segment.view_first + segment.start
            bags = view.bags(segment.document, first, first + segment.length)
            if bags is not None and batch.bags is not None:
                batch.bags[row, at + 1 : stop, : view.bag] = bags

    def _body(self, segment: Segment, shares: Shares) -> tuple[Ints, npt.NDArray[np.int8]]:
        """(count,) ids of a segment of a chunk's body, and the mode of each."""
        start, stop = segment.start, segment.start + segment.length
        if start == 0:
            shares.documents[_COUNTED[segment.kind]] += 1
        parts: list[Any] = []
        modes: list[int] = []
        # start and stop count from the first element of the view at hand: negative before it, large behind it.
        for i, compressed in enumerate(_SHOWS[segment.kind]):
            is_last = i == len(_SHOWS[segment.kind]) - 1
            first, last = segment.bounds(compressed=compressed)
            # Places a..b-1 of the segment in this view and the marks behind it.
            a, b, length = max(start, 0), max(stop, 0), last - first
            # Positions of the document, at most to the chunk's end: what is behind are marks.
            shown = self._ids(segment, compressed, min(first + a, last), min(first + b, last), shares)
            marks: list[int] = []
            if not is_last:
                marks = frame.switch(compressed=compressed)
            elif segment.ends:
                marks = frame.closing(compressed=compressed)
            # The marks that lie in the segment.
            tail = marks[max(a - length, 0) : max(b - length, 0)]
            parts += [shown, np.array(tail, np.int64)]
            # Which softmax predicts them.
            modes += [1 + segment.view_index if compressed else 0] * (len(shown) + len(tail))
            # Counted from the next view.
            start, stop = start - length - frame.SWITCH, stop - length - frame.SWITCH
        return np.concatenate(parts), np.array(modes, np.int8)

    def _ids(self, segment: Segment, compressed: bool, first: int, last: int, shares: Shares) -> Ints:
        """Ids of some bytes of a document, or of some positions of its compressed view; counted in `shares`."""
        document = segment.document
        if not compressed:
            shown, n_bytes = byte_ids(self._raw[document][first:last]), float(last - first)
        else:
            view = self._views[segment.view_index]
            shown, n_bytes = view.ids(document, first, last), self._bytes(view, document, first, last)
        name = "comp" if compressed else "raw"
        shares.symbols[name] += len(shown)
        shares.n_bytes[name] += n_bytes
        return shown

    def _bytes(self, view: View, document: int, first: int, last: int) -> float:
        """Bytes that positions of a document stand for; of a view without alignment in proportion."""
        sizes = view.sizes(document)
        if sizes is not None:
            return float(sizes[first:last].sum())
        return (last - first) * int(self._raw.lengths[document]) / int(view.lengths[document]) if last > first else 0.0


def alphabet_of(store: Store, config: RunConfig) -> Alphabet:
    """The ids of a run; bags need none. Raises `InvalidConfig` if a view has fewer merges than `config` asks for."""
    symbols: dict[str, int] = {}
    merges: dict[str, int] = {}
    for spec in config.mix.specs:
        if spec.kind == "symbols":
            symbols[spec.view] = store.view(spec.view)["vocab_size"]
        elif spec.kind == "merges":
            merges[spec.view] = check_merges(spec, store.splits(spec.view))
    return Alphabet(symbols, merges)


def pieces_of(store: Store, alphabet: Alphabet, longest: int) -> npt.NDArray[np.int16]:
    """(n_merges, longest) the first bytes of what each merge stands for, -1 behind the last."""
    found = np.full((alphabet.n_merges, longest), -1, np.int16)
    for view in alphabet.merges:
        # Bytes of each symbol; the first 256 are single bytes.
        pieces = [bytes([byte]) for byte in range(256)]
        splits = store.splits(view)
        assert splits is not None
        for left, right in splits.tolist():
            pieces.append(pieces[left] + pieces[right])
        # Merges of all views share the table.
        rows = alphabet.merge_ids(view, np.arange(256, len(pieces))) - COMP_OFFSET
        for row, piece in zip(rows, pieces[256:], strict=True):
            found[row, : len(piece)] = np.frombuffer(piece[:longest], np.uint8)
    return found
