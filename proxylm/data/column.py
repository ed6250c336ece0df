"""One view of all documents of a store, read shard by shard. Part of `proxylm.data.store`, which opens it."""

from __future__ import annotations

import bisect
import hashlib
import itertools
import mmap
import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compressors.errors import ProxycError
from proxylm.data.blocks import Blocks, Stretches

Ints = npt.NDArray[np.int64]
_IN_BLOCKS = ("bin", "len")  # files that are read in stretches


class StoreError(ProxycError, ValueError):
    """A view store that is missing, incomplete, damaged, or not made the way it is to be used."""


@dataclass(frozen=True)
class ColumnShard:
    """The part of a column that lies in one shard: mapped, and checked when it is first read."""

    path: Path
    """Without the suffix."""
    dtype: str
    """Of the symbols, little-endian: `<u2`."""
    aligned: bool
    """Whether there is a file of bytes per symbol."""
    files: dict[str, dict[str, Any]]
    """Bytes and SHA-256 of each file by suffix."""
    _checked: set[str] = field(default_factory=set, compare=False, repr=False)
    """Suffixes of the files that were found to be as they were written."""
    _maps: dict[str, npt.NDArray[Any]] = field(default_factory=dict, compare=False, repr=False)
    """Files that are open, by suffix; each holds a file descriptor of the process."""

    @property
    def n_documents(self) -> int:
        """Documents of the shard, without reading it."""
        return int(self.files["off"]["bytes"]) // 8 - 1

    @property
    def n_symbols(self) -> int:
        """Symbols of the shard, without reading it."""
        return int(self.files["bin"]["bytes"]) // np.dtype(self.dtype).itemsize

    @property
    def offsets_digest(self) -> str:
        """SHA-256 of the offsets: equal for shards whose documents are as long."""
        return str(self.files["off"]["sha256"])

    @property
    def digest(self) -> str:
        """SHA-256 of all files, one after the other."""
        return " ".join(facts["sha256"] for _, facts in sorted(self.files.items()))

    @property
    def values(self) -> npt.NDArray[Any]:
        """(symbols,) of all documents of the shard, one after the other."""
        return self._whole("bin")

    @property
    def offsets(self) -> npt.NDArray[np.int64]:
        """(documents + 1,) where each document begins in `values`."""
        return self._whole("off")

    @property
    def spans(self) -> npt.NDArray[np.uint16]:
        """(symbols,) bytes of each symbol. Only of a view that aligns with bytes."""
        return self._whole("len")

    def values_in(self, stretches: Stretches, here: Ints, *, one_each: bool = False) -> npt.NDArray[Any]:
        """`values`, of which only stretches are read (`Blocks.damaged`). What lies between may be damaged."""
        return self._in_stretches("bin", stretches, here, one_each)

    def spans_in(self, stretches: Stretches, here: Ints, *, one_each: bool = False) -> npt.NDArray[np.uint16]:
        """`spans`, likewise."""
        return self._in_stretches("len", stretches, here, one_each)

    def documents(self) -> list[npt.NDArray[Any]]:
        """The symbols of each document."""
        return [self.values[a:b] for a, b in itertools.pairwise(self.offsets.tolist())]

    def close(self) -> None:
        """Let go of the files; what was read of them stays valid, and what is read next maps them again."""
        self._maps.clear()

    def _whole(self, suffix: str) -> npt.NDArray[Any]:
        """(n,) numbers of one file. Raises `StoreError` if its SHA-256 is not the recorded one."""
        mapped = self._mapped(suffix)
        if suffix not in self._checked:
            found = hashlib.sha256(mapped.data).hexdigest()
            check_digest(self._file(suffix), found, self.files[suffix]["sha256"])
            self._checked.add(suffix)
        return mapped

    def _in_stretches(self, suffix: str, stretches: Stretches, here: Ints, one_each: bool) -> npt.NDArray[Any]:
        """(n,) numbers of one file, of which some are checked: with all of it, if nothing is known of its blocks."""
        if suffix in self._checked or self._blocks is None:
            return self._whole(suffix)
        mapped, blocks = self._mapped(suffix), self._blocks[suffix]
        if blocks.damaged(mapped.view(np.uint8).data, stretches, here, mapped.itemsize, one_each=one_each):
            check_digest(self._file(suffix), "", self.files[suffix]["sha256"])
        return mapped

    @cached_property
    def _blocks(self) -> dict[str, Blocks] | None:
        """Checksums of the blocks of the files that are read in stretches, or None if there are none."""
        suffixes = [suffix for suffix in _IN_BLOCKS if suffix in self.files]
        try:
            data = self._file("crc").read_bytes()
        except OSError:  # a store of an earlier version
            return None
        facts = [(self.files[suffix]["sha256"], self.files[suffix]["bytes"]) for suffix in suffixes]
        found = Blocks.unpacked(data, facts)
        return None if found is None else dict(zip(suffixes, found, strict=True))

    def _file(self, suffix: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{suffix}")

    def _mapped(self, suffix: str) -> npt.NDArray[Any]:
        """(n,) numbers of one file, unchecked."""
        if suffix not in self._maps:
            dtype = {"bin": self.dtype, "off": "<i8", "len": "<u2"}[suffix]  # offsets are u64, and below 2^63
            file = self._file(suffix)
            # A plain array: slices of a memmap are slow to make. An empty file cannot be mapped.
            empty = file.stat().st_size == 0
            self._maps[suffix] = np.empty(0, dtype) if empty else _map(file, dtype)
        return self._maps[suffix]


@dataclass(frozen=True)
class Column:
    """One view (or the raw bytes) of all documents: symbols by document index, over shards."""

    shards: tuple[ColumnShard, ...]
    aligned: bool
    """Whether the bytes of each symbol are known."""
    _recent: dict[int, None] = field(default_factory=dict, compare=False, repr=False)
    """Numbers of the shards that are open, the one that was used last at the end."""

    @cached_property
    def firsts(self) -> npt.NDArray[np.int64]:
        """(shards + 1,) the first document of each shard, and the number of documents."""
        return np.array([0, *itertools.accumulate(shard.n_documents for shard in self.shards)])

    @cached_property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(documents,) symbols of each document."""
        return np.concatenate([np.diff(shard.offsets) for shard in self.in_turn()])

    def __len__(self) -> int:
        """Number of documents."""
        return int(self.firsts[-1])

    def shard(self, number: int) -> ColumnShard:
        """A shard, to be read: of a large store those that were not used for long are closed."""
        if self._recent.pop(number, 0) == 0 and len(self._recent) >= _most_open():
            oldest = next(iter(self._recent))
            del self._recent[oldest]
            self.shards[oldest].close()
        self._recent[number] = None
        return self.shards[number]

    def in_turn(self) -> Iterator[ColumnShard]:
        """All shards, never many open."""
        return (self.shard(number) for number in range(len(self.shards)))

    def _locate(self, document: int) -> tuple[ColumnShard, slice]:
        """The shard of a document, and where its symbols lie in it."""
        # The last shard that begins at or before it.
        number = bisect.bisect_right(self.firsts, document) - 1
        # i: its number in the shard.
        shard, i = self.shard(number), document - int(self.firsts[number])
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


def _map(file: Path, dtype: str) -> npt.NDArray[Any]:
    """(n,) numbers of a file. As `np.memmap`, which takes as long to make as reading a row takes."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        return np.frombuffer(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ), dtype)
    finally:
        os.close(descriptor)


def _most_open() -> int:
    """Shards of a column that may be open: each map holds a descriptor, of which a process often has only 1,024."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A column has three files, and a run may show several views.
    return 4096 if soft == resource.RLIM_INFINITY else min(max(soft // 16, 4), 4096)


def check_digest(file: Path, found: str, recorded: str) -> None:
    """Raise `StoreError` if a file is not as it was written."""
    if found != recorded:
        raise StoreError(f"{file} is damaged: its SHA-256 differs; delete {file.with_suffix('.json')} and encode again")
