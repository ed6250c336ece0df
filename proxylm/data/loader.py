"""Plan -> Batch: the ids of the planned segments, read from the store."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from compressors.errors import InputError, InvalidConfig
from proxylm.config import RunConfig
from proxylm.data import mixture, pieces
from proxylm.data.alphabet import COMP_OFFSET, RAW_SLICE, Alphabet
from proxylm.data.batch import Batch
from proxylm.data.chunks import by_shard
from proxylm.data.layout import Layout
from proxylm.data.row_plan import COMP, RowPlanner
from proxylm.data.store import Store
from proxylm.data.symbol_ids import check_merges
from proxylm.data.views import Bytes, views_of
from proxylm.view_spec import RAW as RAW_VIEW

# What a chunk is counted as, by its kind.
_COUNTED = ("raw", "comp", "pair", "pair")


class Loader:
    """The rows of a run: `batch(step, rank, world)`; its whole state is the step."""

    def __init__(self, store: Store, config: RunConfig, total_rows: int) -> None:
        """total_rows: the run's length. Raises `InvalidConfig` if a view cannot be shown as `config` says."""
        self.alphabet = alphabet_of(store, config)
        self._views = views_of(store, config.mix.specs, self.alphabet)
        self.heads = (RAW_SLICE, *(view.head for view in self._views))
        self._raw, self._bag = store.column(RAW_VIEW), max((view.bag for view in self._views), default=0)
        self._bytes, self._n_shards = Bytes(store), len(self._raw.shards)
        self._has_bags = np.array([view.bag > 0 for view in self._views] or [False])
        self._row_length, self._rows = config.train.row_length, config.train.rows
        self.planner = RowPlanner(
            Layout.of(store, self._views, config.chunk),
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
        # Every process plans all rows of the step: that is cheap, and they agree.
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
        batch = Batch.blank(last - first, self._row_length, self._bag)
        # Segments come row by row.
        own = planned[slice(*np.searchsorted(planned["row"], (first, last)))]
        self._read(batch, pieces.lay_out(batch, own, first))
        pieces.finish(batch, own, first)
        for row, document, kind, start in own[["row", "document", "kind", "start"]].tolist():
            batch.documents[row - first].append(document)
            batch.shares.documents[_COUNTED[kind]] += start == 0
        return batch if self._bag and self._in_bags(planned) else replace(batch, bags=None)

    def _in_bags(self, planned: npt.NDArray[np.void]) -> bool:
        """Whether segments show a bag, and not only closing marks."""
        in_bags = (planned["kind"] == COMP) & self._has_bags[planned["view_index"]]
        in_bags &= planned["start"] < planned["view_stop"] - planned["view_first"]
        return bool(in_bags.any())

    def _read(self, batch: Batch, planned: npt.NDArray[np.void]) -> None:
        """Write the ids (and bags) of pieces, and count what they show."""
        bags = batch.bags
        assert bags is not None
        # Those of one view and one shard together. View -1 are the bytes.
        for key, here in by_shard((planned["view_index"] + 1) * self._n_shards + planned["shard"]):
            view, shard = divmod(key, self._n_shards)
            reader = self._views[view - 1] if view else self._bytes
            reader.read(planned, here, shard, batch.targets, bags)
        for view, length, n_bytes in planned[["view_index", "length", "n_bytes"]].tolist():
            name = "raw" if view < 0 else "comp"
            batch.shares.symbols[name] += length
            batch.shares.n_bytes[name] += n_bytes


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
        # The merges of all views share one table.
        rows = alphabet.merge_ids(view, np.arange(256, len(pieces))) - COMP_OFFSET
        for row, piece in zip(rows, pieces[256:], strict=True):
            found[row, : len(piece)] = np.frombuffer(piece[:longest], np.uint8)
    return found
