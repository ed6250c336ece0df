"""Corpus -> view store, shard by shard; a killed run goes on at the first missing view of a shard."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compressors.atomic import write_atomically
from compressors.base import Compressor
from compressors.documents import Document
from compressors.errors import FingerprintMismatch, InvalidConfig
from compressors.identity import Identity
from proxylm.store import FORMAT, RAW, Store, StoreError

SHARD_BYTES = 64 << 20  # raw bytes of a shard; memory holds one being read, one encoded, and a column being written

Progress = Callable[[int, int], None]  # told (documents, raw bytes) finished since the last call


@dataclass(frozen=True)
class _Maker:
    """Writes one column (view) of one shard."""

    name: str
    codec: Compressor

    def facts(self) -> dict[str, Any]:
        vocab = self.codec.vocab
        little = vocab.dtype.newbyteorder("<").str
        return {
            "codec": self.codec.name,
            "config": self.codec.config(),
            "fingerprint": self.codec.fingerprint,
            "libraries": self.codec.library_versions(),
            "vocab_size": vocab.size,
            "dtype": little,
            "aligned": self.codec.spans(b"") is not None,
            "splits": None
            if vocab.splits is None
            else hashlib.sha256(vocab.splits.astype("<u4").tobytes()).hexdigest(),
        }

    def arrays(self, documents: list[bytes], threads: int) -> dict[str, npt.NDArray[Any]]:
        """Files of the column by suffix."""
        # A thread's turn for each document costs more than taking its bytes as they are.
        symbols = self.codec.encode_batch(documents, threads=threads if self.name != RAW else 1)
        arrays: dict[str, npt.NDArray[Any]] = {"bin": symbols.values, "off": symbols.offsets.astype("<u8")}
        if self.name != RAW and self.codec.spans(b"") is not None:
            lengths = self.codec.vocab.lengths
            if lengths is not None:
                narrow = lengths.astype("<u2") if lengths.max(initial=0) <= 0xFFFF else lengths
                spans = narrow[symbols.values]  # as wide as the store has them: the corpus has many symbols
            else:  # aligned, but without fixed pieces
                spans = np.concatenate([np.empty(0, np.int64), *(self.codec.spans(d) for d in documents)])
            if len(spans) and int(spans.max()) > 0xFFFF:
                raise StoreError(
                    f"view {self.name!r}: a symbol stands for {int(spans.max())} bytes; the store holds at most 65535"
                )
            arrays["len"] = spans.astype("<u2", copy=False)
        return arrays

    def write(self, shard: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
        for left in shard.glob(f".{self.name}.*.tmp"):  # of a run that was killed
            left.unlink()
        facts: dict[str, Any] = {"view": self.facts(), "documents": len(arrays["off"]) - 1, "files": {}}
        for suffix, array in arrays.items():
            data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).view(np.uint8).data
            write_atomically(shard / f"{self.name}.{suffix}", data)
            facts["files"][suffix] = {"bytes": data.nbytes, "sha256": hashlib.sha256(data).hexdigest()}
        write_atomically(shard / f"{self.name}.json", json.dumps(facts).encode())

    def complete(self, shard: Path) -> bool:
        """Is the column there, whole? Raises `FingerprintMismatch` if another codec made it."""
        facts = _read_json(shard / f"{self.name}.json")
        if facts is None:
            return False
        made_by = facts["view"]["fingerprint"]
        if made_by != self.codec.fingerprint:
            raise FingerprintMismatch(
                f"view {self.name!r} in {shard} was made by {made_by[:12]}, not by {self.codec.fingerprint[:12]} "
                f"({self.codec.name}); choose another name for the view (NAME@{self.codec.name}...) or another folder"
            )
        return True


def encode(
    documents: Iterable[Document] | None,
    path: Path,
    views: Mapping[str, Compressor],
    *,
    threads: int = 1,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress = lambda n, size: None,
) -> Store:
    """Write or finish the store at `path`; with `documents` None, add `views` to the store that is there.

    The same call after a kill goes on where it stopped. Raises `StoreError` if the documents are not those the store
    was begun with, `FingerprintMismatch` if a view of the same name has another codec.
    """
    for name in views:
        if name == RAW or not name.replace("-", "").replace("_", "").replace(".", "").isalnum() or name[0] == ".":
            raise InvalidConfig(f"view name {name!r}: use letters, digits, '-', '_' and '.', and not 'raw'")
    if documents is None:
        shards: Iterator[list[bytes]] = _stored(Store.open(path, check=(RAW,)))
    else:
        shards = _shards(documents, shard_bytes)
    makers = [_Maker(RAW, Identity()), *(_Maker(name, codec) for name, codec in views.items())]
    names: list[str] = []
    with ThreadPoolExecutor(1, "write") as writer:
        written = writer.submit(lambda: None)
        for number, contents in enumerate(_ahead(shards)):
            shard = path / f"{number:05d}"
            shard.mkdir(parents=True, exist_ok=True)
            names.append(shard.name)
            if makers[0].complete(shard):
                _check_same(shard, contents)
            for maker in makers:
                if not maker.complete(shard):
                    arrays = maker.arrays(contents, threads)
                    written.result()  # at most one column waits
                    written = writer.submit(maker.write, shard, arrays)
            progress(len(contents), sum(map(len, contents)))
        written.result()
    if (path / f"{len(names):05d}").exists():
        raise StoreError(
            f"{path} has more shards than the corpus fills ({len(names)}): the corpus has changed; use another folder"
        )
    for name, codec in views.items():
        if (splits := codec.vocab.splits) is not None:
            write_atomically(path / f"{name}.splits", splits.astype("<u4").tobytes())
    _write_manifest(path, names)
    return Store.open(path)


def _ahead(shards: Iterator[list[bytes]]) -> Iterator[list[bytes]]:
    """The same, each shard read while the one before it is encoded: reading takes about as long as encoding."""
    with ThreadPoolExecutor(1, "read") as reader:
        following = reader.submit(next, shards, None)
        while (shard := following.result()) is not None:
            following = reader.submit(next, shards, None)
            yield shard


def _shards(documents: Iterable[Document], shard_bytes: int) -> Iterator[list[bytes]]:
    held: list[bytes] = []
    size = 0
    for document in documents:
        held.append(document.data)
        size += len(document.data)
        if size >= shard_bytes:
            yield held
            held, size = [], 0
    if held:
        yield held


def _stored(store: Store) -> Iterator[list[bytes]]:
    """The documents of an existing store, shard by shard."""
    raw = store.column(RAW)
    for values, offsets in zip(raw.values, raw.offsets, strict=True):
        yield [values[a:b].tobytes() for a, b in itertools.pairwise(offsets)]


def _check_same(shard: Path, documents: list[bytes]) -> None:
    facts = _read_json(shard / f"{RAW}.json") or {}
    arrays = _Maker(RAW, Identity()).arrays(documents, 1)
    digests = {suffix: hashlib.sha256(array.tobytes()).hexdigest() for suffix, array in arrays.items()}
    if digests != {suffix: file["sha256"] for suffix, file in facts["files"].items()}:
        raise StoreError(
            f"{shard} holds other documents than the corpus gives now (or shards of another size); use another folder, or delete it"
        )


def _write_manifest(path: Path, shards: list[str]) -> None:
    """Put together what the shards say of their columns: the views that all of them have."""
    columns = {
        shard: {file.stem: _read_json(file) or {} for file in sorted((path / shard).glob("*.json"))} for shard in shards
    }
    names = sorted(set.intersection(*(set(found) for found in columns.values())))
    first = columns[shards[0]]
    views = {
        name: first[name]["view"] | {"files": {shard: columns[shard][name]["files"] for shard in shards}}
        for name in names
    }
    documents = sum(found[RAW]["documents"] for found in columns.values())
    manifest = {"format": FORMAT, "documents": documents, "shards": shards, "views": views}
    write_atomically(path / "manifest.json", json.dumps(manifest, indent=1, sort_keys=True).encode())


def _read_json(file: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StoreError(f"{file} is damaged: {error}; delete it and encode again") from error
    if not isinstance(found, dict) or not {"view", "documents", "files"} <= set(found):
        raise StoreError(f"{file} is damaged: it lacks a field; delete it and encode again")
    return found
