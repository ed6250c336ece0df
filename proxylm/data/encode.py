"""Corpus -> view store, shard by shard; after a kill it resumes at the first missing view of a shard."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

from compressors.base import Compressor
from compressors.corpus import Document
from compressors.corpus import documents as documents_of
from compressors.errors import InputError, InvalidConfig, SlowPath
from compressors.file_lock import NAME, lock, open_lock
from proxylm.data.store import Store
from proxylm.data.store_writer import Maker, Shard, finish, makers_for, missing
from proxylm.view_spec import RAW

SHARD_BYTES = 64 << 20  # raw bytes of a shard; memory holds one being read, one encoded, and a column being written

# Called with (documents, raw bytes, bytes of the input read), each since the last call.
Progress: TypeAlias = Callable[[int, int, int], None]
# Makes the columns that are missing in the store at a path, and yields the arguments of progress for each shard.
Engine: TypeAlias = Callable[[Iterator[Shard], Path, Sequence[Maker], int], Iterator[tuple[int, int, int]]]


def local(shards: Iterator[Shard], path: Path, makers: Sequence[Maker], threads: int) -> Iterator[tuple[int, int, int]]:
    """The engine of one process: a shard is read and a column written while another is encoded."""
    with ThreadPoolExecutor(1, "write") as writer:
        written = writer.submit(lambda: None)
        for shard in read_ahead(shards):
            for write in missing(path, shard, makers, threads):
                written.result()  # at most one column waits
                written = writer.submit(write)
            yield shard.counts
        written.result()


def encode(
    documents: Iterable[Any] | Path | str | None,
    path: str | Path,
    views: Mapping[str, Compressor],
    *,
    threads: int = 1,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress = lambda n_documents, n_bytes, n_read: None,
    engine: Engine = local,
) -> Store:
    """Write or finish the store at `path`; with `documents` None, add `views` to the store that is there.

    documents: whatever `compressors.corpus.documents` takes: a `Reader`, a path or URL, an iterable of bytes, strings,
        `Document`, or rows of `datasets`.
    views: a codec by the name of its view. threads: that encode one shard. shard_bytes: raw bytes that fill a shard.
    progress: called after each shard. engine: who makes the shards (`local`, or `proxylm.data.encode_on_ray.on_ray`).

    The same call after a kill resumes where it stopped; two calls for one store at once work one after the other. Every
    engine makes the same files. Raises `StoreError` if the documents are not those the store was begun with,
    `FingerprintMismatch` if a view of the same name has another codec, `InputError` if `documents` is empty.
    """
    path = Path(path)
    for name in views:
        if name == RAW or not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name[0] == ".":
            raise InvalidConfig(f"view name {name!r}: use letters, digits, '-', '_' and '.', and not 'raw'")
    shards = (
        _stored(Store.open(path, check=(RAW,)))
        if documents is None
        else shards_of(documents_of(documents), shard_bytes)
    )
    with _alone(path):
        return _written(shards, path, views, threads, progress, engine)


def _written(
    shards: Iterator[Shard],
    path: Path,
    views: Mapping[str, Compressor],
    threads: int,
    progress: Progress,
    engine: Engine,
) -> Store:
    """Have the engine make what is missing, then write the manifest: before that the store cannot be opened."""
    n_shards = 0
    for counts in engine(shards, path, makers_for(path, views), threads):
        progress(*counts)
        n_shards += 1
    if n_shards == 0:
        raise InputError(f"no documents for {path}; give at least one")
    finish(path, views, n_shards)
    return Store.open(path)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process writes a store at a time: each removes what looks left over from a run that was killed."""
    is_new = not path.exists()
    path.mkdir(parents=True, exist_ok=True)
    with open_lock(path) as file:
        if not lock(file):
            warnings.warn(f"another process writes {path}; waiting for it to end", SlowPath, stacklevel=4)
            lock(file, wait=True)
        try:
            yield
        finally:
            if is_new and os.listdir(path) == [NAME]:  # nothing was written
                (path / NAME).unlink()
                with suppress(OSError):  # another process has begun to write
                    path.rmdir()


def read_ahead(shards: Iterator[Shard]) -> Iterator[Shard]:
    """The same, each shard read while the one before it is encoded: reading takes about as long as encoding."""
    with ThreadPoolExecutor(1, "read") as reader:
        following = reader.submit(next, shards, None)
        while (shard := following.result()) is not None:
            following = reader.submit(next, shards, None)
            yield shard


def shards_of(documents: Iterable[Document], shard_bytes: int) -> Iterator[Shard]:
    """Documents in the order they come; a shard ends with the document that fills it, so none is cut."""
    numbers = itertools.count()
    held: list[bytes] = []
    ids: list[str] = []
    size = n_read = n_before = 0
    for document in documents:
        held.append(document.data)
        ids.append(document.id)
        # n_read counts from the start of the corpus.
        size, n_read = size + len(document.data), document.n_read
        if size >= shard_bytes:
            yield Shard(next(numbers), held, n_read - n_before, ids)
            held, ids, size, n_before = [], [], 0, n_read  # new lists: the shard keeps the old ones
    if held:
        yield Shard(next(numbers), held, n_read - n_before, ids)


def _stored(store: Store) -> Iterator[Shard]:
    """The documents of an existing store, shard by shard."""
    raw = store.column(RAW)
    for number, shard in enumerate(raw.in_turn()):
        yield Shard(number, [document.tobytes() for document in shard.documents()], len(shard.values))
