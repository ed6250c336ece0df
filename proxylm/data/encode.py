"""Corpus -> view store, shard by shard; a killed run goes on at the first missing view of a shard."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

from compressors.base import Compressor
from compressors.corpus import Document
from compressors.errors import InvalidConfig
from proxylm.data.store import Store
from proxylm.data.store_writer import Maker, Shard, finish, missing
from proxylm.view_spec import RAW

SHARD_BYTES = 64 << 20  # raw bytes of a shard; memory holds one being read, one encoded, and a column being written

# Told (documents, raw bytes, bytes of the input read) finished since the last call.
Progress: TypeAlias = Callable[[int, int, int], None]
# Makes the columns that are missing in the store at a path, and yields what progress is told of each shard.
Engine: TypeAlias = Callable[[Iterator[Shard], Path, Sequence[Maker], int], Iterator[tuple[int, int, int]]]


def local(shards: Iterator[Shard], path: Path, makers: Sequence[Maker], threads: int) -> Iterator[tuple[int, int, int]]:
    """The engine of one process: a shard is read and a column written while another is encoded."""
    with ThreadPoolExecutor(1, "write") as writer:
        written = writer.submit(lambda: None)
        for shard in _ahead(shards):
            for write in missing(path, shard, makers, threads):
                written.result()  # at most one column waits
                written = writer.submit(write)
            yield shard.counts
        written.result()


def encode(
    documents: Iterable[Document] | None,
    path: Path,
    views: Mapping[str, Compressor],
    *,
    threads: int = 1,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress = lambda n_documents, n_bytes, n_read: None,
    engine: Engine = local,
) -> Store:
    """Write or finish the store at `path`; with `documents` None, add `views` to the store that is there.

    The same call after a kill goes on where it stopped; every engine makes the same files. Raises `StoreError` if the
    documents are not those the store was begun with, `FingerprintMismatch` if a view of the same name has another codec.
    """
    for name in views:
        if name == RAW or not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name[0] == ".":
            raise InvalidConfig(f"view name {name!r}: use letters, digits, '-', '_' and '.', and not 'raw'")
    shards = _stored(Store.open(path, check=(RAW,))) if documents is None else _shards(documents, shard_bytes)
    n_shards = 0
    for counts in engine(shards, path, [Maker(name, codec) for name, codec in views.items()], threads):
        progress(*counts)
        n_shards += 1
    finish(path, views, n_shards)
    return Store.open(path)


def _ahead(shards: Iterator[Shard]) -> Iterator[Shard]:
    """The same, each shard read while the one before it is encoded: reading takes about as long as encoding."""
    with ThreadPoolExecutor(1, "read") as reader:
        following = reader.submit(next, shards, None)
        while (shard := following.result()) is not None:
            following = reader.submit(next, shards, None)
            yield shard


def _shards(documents: Iterable[Document], shard_bytes: int) -> Iterator[Shard]:
    numbers = itertools.count()
    held: list[bytes] = []
    size = n_read = n_before = 0
    for document in documents:
        held.append(document.data)
        size, n_read = size + len(document.data), document.n_read
        if size >= shard_bytes:
            yield Shard(next(numbers), held, n_read - n_before)
            held, size, n_before = [], 0, n_read
    if held:
        yield Shard(next(numbers), held, n_read - n_before)


def _stored(store: Store) -> Iterator[Shard]:
    """The documents of an existing store, shard by shard."""
    raw = store.column(RAW)
    for number, shard in enumerate(raw.shards):
        yield Shard(number, [document.tobytes() for document in shard.documents()], len(shard.values))
