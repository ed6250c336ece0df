"""Plan -> Batch: the ids of the planned segments, read from the store."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from compressors.errors import InvalidConfig
from proxylm.config import RunConfig
from proxylm.data import alphabet as ids
from proxylm.data import mixture, row_plan
from proxylm.data.alphabet import COMP_OFFSET, RAW_SLICE, Alphabet
from proxylm.data.chunks import Chunks
from proxylm.data.row_plan import (
    COMP_FIRST,
    COMP_STOP,
    COUNT,
    DOCUMENT,
    ENDS,
    KIND,
    RAW_FIRST,
    RAW_STOP,
    READING,
    ROW,
    START,
    Ints,
    Planner,
)
from proxylm.data.store import RAW, Store
from proxylm.data.views import Shown


@dataclass
class Shares:
    """What a batch really showed, by view: documents begun (or chunks of them), symbols, and bytes of text they stand for."""

    documents: dict[str, int] = field(default_factory=lambda: {"raw": 0, "comp": 0, "pair": 0})
    symbols: dict[str, int] = field(default_factory=lambda: {"raw": 0, "comp": 0})
    n_bytes: dict[str, float] = field(default_factory=lambda: {"raw": 0.0, "comp": 0.0})


@dataclass(frozen=True)
class Batch:
    """Rows of a step."""

    inputs: Ints  # (B, T)
    targets: Ints  # (B, T), -1 = not scored
    doc: npt.NDArray[np.int32]  # (B, T) segment within the row, -1 = padding; attention stays within one
    mode: npt.NDArray[np.int8]  # (B, T) whose softmax predicts the target: 0 raw, 1 + place of the reading
    shares: Shares
    documents: list[list[int]]  # of each row: the numbers of its documents
    bags: npt.NDArray[np.int16] | None = None  # (B, T, size) bytes of each target that is a bag; -1 where there is none

    def parts(self, rows: int) -> Iterator[Batch]:
        """The rows, so many at a time; every part carries the shares of the whole."""
        for first in range(0, len(self.inputs), rows):
            here = slice(first, first + rows)
            bags = None if self.bags is None else self.bags[here]
            yield Batch(
                self.inputs[here],
                self.targets[here],
                self.doc[here],
                self.mode[here],
                self.shares,
                self.documents[here],
                bags,
            )

    @property
    def checksum(self) -> int:
        """Sum of the rows' CRC-32, so that the shares of several processes add up to the same number."""
        total = 0 if self.bags is None else sum(zlib.crc32(row.astype("<i2").tobytes()) for row in self.bags)
        return total + sum(
            zlib.crc32(np.stack([a, b]).astype("<i8").tobytes()) for a, b in zip(self.inputs, self.targets, strict=True)
        )


class Loader:
    """The rows of a run: `batch(step, rank, world)`; its whole state is the step."""

    def __init__(self, store: Store, config: RunConfig, total_rows: int) -> None:
        mix = config.mix
        self._raw = store.column(RAW)
        self.alphabet = alphabet_of(store, config)
        self._shown = [Shown.of(store, reading, self.alphabet) for reading in mix.readings]
        self.heads = (RAW_SLICE, *(shown.head for shown in self._shown))
        self._bag, self._row_length, self._rows = mix.largest_bag, config.train.row_length, config.train.rows
        chunks = Chunks.of(self._raw.lengths, config.chunk)
        raw_cuts = chunks.shares(self._raw.lengths)
        self.planner = Planner(
            raw_lengths=self._raw.lengths,
            comp_lengths=np.stack([shown.lengths for shown in self._shown] or [self._raw.lengths]),
            schedule=mixture.table(mix.schedule, mix.views),
            total_rows=total_rows,
            row_length=self._row_length,
            lanes=self._rows,
            seed=config.train.seed,
            n_ahead=config.model.n_ahead,
            before=chunks.before,
            cuts=np.stack([raw_cuts, *([shown.cuts(chunks) for shown in self._shown] or [raw_cuts])]),
        )

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        """The rows of `step` (from 0) that process `rank` of `world` reads."""
        first = self.first_row(step, rank, world)
        return self.rows(first, first + self._rows // world)

    def first_row(self, step: int, rank: int = 0, world: int = 1) -> int:
        """The number of the first of them."""
        return step * self._rows + rank * (self._rows // world)

    def rows(self, first: int, last: int) -> Batch:
        """Rows first..last-1 of the run."""
        B, T = last - first, self._row_length
        inputs, targets = np.zeros((B, T), np.int64), np.full((B, T), -1, np.int64)
        doc, mode = np.full((B, T), -1, np.int32), np.zeros((B, T), np.int8)
        bags = np.full((B, T, self._bag), -1, np.int16)
        shares, documents = Shares(), list[list[int]]([] for _ in range(B))
        at, row, segment = 0, -1, 0
        for planned in self.planner.plan(first, last).tolist():
            if planned[ROW] != row:
                row, at, segment = planned[ROW], 0, 0
            b, count = row - first, planned[COUNT]
            body, view = self._body(planned, shares)
            here, scored = slice(at, at + count + 1), slice(at + 1, at + count + 1)
            inputs[b, at], inputs[b, at + 1] = ids.BOS, self.alphabet.marks("comp" if view[0] else "raw")[0]
            inputs[b, at + 2 : at + count + 1] = body[:-1]
            targets[b, scored] = body
            mode[b, scored] = view
            doc[b, here] = segment
            shown = self._shown[planned[READING]] if planned[KIND] == row_plan.COMP else None
            if shown is not None and shown.reading.bags:
                start = planned[COMP_FIRST] + planned[START]
                bags[b, scored, : shown.reading.bags] = shown.bags_of(planned[DOCUMENT], start, start + count)
            at, segment = at + count + 1, segment + 1
            documents[b].append(planned[DOCUMENT])
        targets[(targets == ids.RAW_OPEN) | (targets == ids.COMP_OPEN)] = -1
        return Batch(inputs, targets, doc, mode, shares, documents, bags if (bags >= 0).any() else None)

    def _body(self, planned: list[int], shares: Shares) -> tuple[Ints, npt.NDArray[np.int8]]:
        """(count,) ids of a segment of a chunk's body, and the mode of each, or (1,) of all."""
        document, kind, start = planned[DOCUMENT], planned[KIND], planned[START]
        stop = start + planned[COUNT]
        if start == 0:
            shares.documents[("raw", "comp", "pair", "pair")[kind]] += 1
        parts: list[npt.NDArray[Any]] = []
        modes: list[npt.NDArray[np.int8]] = []
        begin = 0
        for i, name in enumerate(_VIEWS[kind]):
            shown = self._shown[planned[READING]] if name == "comp" else None
            first, last = planned[RAW_FIRST : RAW_STOP + 1] if shown is None else planned[COMP_FIRST : COMP_STOP + 1]
            length, is_last = last - first, i == len(_VIEWS[kind]) - 1
            a, b = max(start - begin, 0), max(stop - begin, 0)  # places in the symbols of this view and its marks
            from_, to = min(first + a, last), min(first + b, last)
            part = (
                self.alphabet.ids("raw", self._raw[document][from_:to])
                if shown is None
                else shown.ids(document, from_, to)
            )
            following = ids.EOS if is_last else self.alphabet.marks(_VIEWS[kind][i + 1])[0]
            marks = [self.alphabet.marks(name)[1], following] if planned[ENDS] or not is_last else []
            tail = marks[max(a - length, 0) : max(b - length, 0)]
            parts += [part, np.array(tail, np.int64)]
            n_here = len(part) + len(tail) if len(_VIEWS[kind]) > 1 else 1
            modes.append(np.full(n_here, 0 if shown is None else 1 + planned[READING], np.int8))
            shares.symbols[name] += len(part)
            shares.n_bytes[name] += len(part) if shown is None else self._bytes(shown, document, len(part), from_)
            begin += length + 2
        return np.concatenate(parts), np.concatenate(modes)

    def _bytes(self, shown: Shown, document: int, count: int, first: int) -> float:
        """Bytes that positions of a document stand for; of a view without alignment in proportion."""
        sizes = shown.sizes(document)
        if sizes is not None:
            return int(sizes[first : first + count].sum())
        return count * int(self._raw.lengths[document]) / int(shown.lengths[document]) if count else 0


def alphabet_of(store: Store, config: RunConfig) -> Alphabet:
    """The ids of a run; bags need none of their own. Raises `InvalidConfig` if a view cannot share or compose the bytes'."""
    views = dict.fromkeys(reading.view for reading in config.mix.readings if not reading.bags)
    for view, setting in itertools.product(views, ("shared_bytes", "composed")):
        if getattr(config.mix, setting) and store.splits(view) is None:
            raise InvalidConfig(
                f"mix.{setting}: the first 256 symbols of view {view!r} are not the bytes; its vocabulary is not refinable"
            )
    return Alphabet({view: store.view(view)["vocab_size"] for view in views}, config.mix.shared_bytes)


def pieces_of(store: Store, alphabet: Alphabet, longest: int) -> npt.NDArray[np.int16]:
    """(comp_size, longest) the first bytes of what each compressed symbol stands for, -1 behind the last."""
    found = np.full((alphabet.comp_size, longest), -1, np.int16)
    for view in alphabet.views:
        pieces = [bytes([byte]) for byte in range(256)]
        splits = store.splits(view)
        assert splits is not None
        for left, right in splits.tolist():
            pieces.append(pieces[left] + pieces[right])
        for row, piece in zip(alphabet.ids(view, np.arange(len(pieces))) - COMP_OFFSET, pieces, strict=True):
            if row >= 0:  # a shared byte is read as the byte
                found[row, : len(piece)] = np.frombuffer(piece[:longest], np.uint8)
    return found


_VIEWS = {
    row_plan.RAW: ("raw",),
    row_plan.COMP: ("comp",),
    row_plan.RAW_COMP: ("raw", "comp"),
    row_plan.COMP_RAW: ("comp", "raw"),
}
