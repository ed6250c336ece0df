"""One view of all documents of a store, read shard by shard. Part of `proxylm.data.store`, which opens it."""

from __future__ import annotations

import bisect
import hashlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compressors.errors import ProxycError


class StoreError(ProxycError, ValueError):
    """A view store that is missing, incomplete, damaged, or not made the way it is to be used."""


@dataclass(frozen=True)
class ColumnShard:
    """The part of a column that lies in one shard: mapped, and checked against its SHA-256, when it is first read."""

    path: Path
    """Without the suffix."""
    dtype: str
    """Of the symbols, little-endian: `<u2`."""
    aligned: bool
    """Whether there is a file of bytes per symbol."""
    digests: dict[str, str]
    """SHA-256 of each file by suffix."""

    @cached_property
    def values(self) -> npt.NDArray[Any]:
        """(symbols,) of all documents of the shard, one after the other."""
        return self._mapped("bin", self.dtype)

    @cached_property
    def offsets(self) -> npt.NDArray[np.int64]:
        """(documents + 1,) where each document begins in `values`."""
        return self._mapped("off", "<u8").astype(np.int64)

    @cached_property
    def spans(self) -> npt.NDArray[np.uint16]:
        """(symbols,) bytes of each symbol. Only of a view that aligns with bytes."""
        return self._mapped("len", "<u2")

    def documents(self) -> list[npt.NDArray[Any]]:
        """The symbols of each document."""
        return [self.values[a:b] for a, b in itertools.pairwise(self.offsets.tolist())]

    def totals(self, of_symbols: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """(documents,) the sum over each document of a number that every symbol of the shard has."""
        # (symbols + 1,) sum before each symbol.
        before = np.concatenate([[0], np.cumsum(of_symbols, dtype=np.int64)])
        totals: npt.NDArray[np.int64] = before[self.offsets[1:]] - before[self.offsets[:-1]]
        return totals

    def _mapped(self, suffix: str, dtype: str) -> npt.NDArray[Any]:
        """(n,) numbers of one file. Raises `StoreError` if its SHA-256 is not the recorded one."""
        file = self.path.with_name(f"{self.path.name}.{suffix}")
        # A plain array: slices of a memmap are slow to make. An empty file cannot be mapped.
        empty = file.stat().st_size == 0
        mapped: npt.NDArray[Any] = np.empty(0, dtype) if empty else np.asarray(np.memmap(file, dtype, "r"))
        check_digest(file, hashlib.sha256(mapped.data).hexdigest(), self.digests[suffix])
        return mapped


@dataclass(frozen=True)
class Column:
    """One view (or the raw bytes) of all documents: symbols by document index, over shards."""

    shards: tuple[ColumnShard, ...]
    aligned: bool
    """Whether the bytes of each symbol are known."""

    @cached_property
    def _firsts(self) -> list[int]:
        """The first document of each shard, and the number of documents."""
        return list(itertools.accumulate((len(shard.offsets) - 1 for shard in self.shards), initial=0))

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(documents,) symbols of each document."""
        return np.concatenate([np.diff(shard.offsets) for shard in self.shards])

    def totals(self, of_symbols: Callable[[ColumnShard], npt.NDArray[Any]]) -> npt.NDArray[np.int64]:
        """(documents,) the sum over each document of a number that every symbol of a shard has."""
        return np.concatenate([shard.totals(of_symbols(shard)) for shard in self.shards])

    def __len__(self) -> int:
        """Number of documents."""
        return self._firsts[-1]

    def _locate(self, document: int) -> tuple[ColumnShard, slice]:
        """The shard of a document, and where its symbols lie in it."""
        # The last shard that begins at or before it.
        number = bisect.bisect_right(self._firsts, document) - 1
        # i: its number in the shard.
        shard, i = self.shards[number], document - self._firsts[number]
        return shard, slice(int(shard.offsets[i]), int(shard.offsets[i + 1]))

    def __getitem__(self, document: int) -> npt.NDArray[Any]:
        """(n,) symbols of one document."""
        shard, where = self._locate(document)
        return shard.values[where]

    def spans_of(self, document: int) -> npt.NDArray[np.uint16] | None:
        """(n,) bytes per symbol of one document, or None where the view does not align with bytes."""
        if not self.aligned:
            return None
        shard, where = self._locate(document)
        return shard.spans[where]


def check_digest(file: Path, found: str, recorded: str) -> None:
    """Raise `StoreError` if a file is not as it was written."""
    if found != recorded:
        raise StoreError(f"{file} is damaged: its SHA-256 differs; delete {file.with_suffix('.json')} and encode again")
