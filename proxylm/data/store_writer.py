"""Writes stores. The columns of a shard are a pure function of (documents, codecs), made the same way by every engine."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compressors.atomic import write_atomically
from compressors.base import Compressor
from compressors.errors import FingerprintMismatch
from compressors.identity import Identity
from proxylm.data import blocks
from proxylm.data.store import FORMAT, IDS, IDS_VERSION, StoreError, other_versions
from proxylm.view_spec import RAW


@dataclass(frozen=True)
class Shard:
    """Documents that are encoded together."""

    number: int  # from 0
    documents: list[bytes]
    n_read: int = 0  # bytes of the input that were read for it
    ids: list[str] | None = None  # where each document came from; None: not known

    @property
    def name(self) -> str:
        """Its folder in the store."""
        return f"{self.number:05d}"

    @property
    def counts(self) -> tuple[int, int, int]:
        """Documents, their bytes, bytes of the input read for them: the arguments of `encode.Progress`."""
        return len(self.documents), sum(map(len, self.documents)), self.n_read


@dataclass(frozen=True)
class Maker:
    """Writes one column (view) of one shard."""

    name: str
    """Of the view."""
    codec: Compressor
    """It encodes the documents."""
    made_with: Mapping[str, str] | None = None
    """Versions of the codec's libraries, where shards are there that other versions made: they are read, none is added."""

    def facts(self) -> dict[str, Any]:
        """What the manifest says of the view; two shards of a view must say the same."""
        vocab = self.codec.vocab
        little = vocab.dtype.newbyteorder("<").str  # files are little-endian on every machine
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
        } | ({} if self.codec.lossless else {"lossless": False})  # a one-way view: nobody may ask it for its bytes

    def arrays(self, documents: list[bytes], threads: int) -> dict[str, npt.NDArray[Any]]:
        """Files of the column by suffix: bin (symbols,), off (documents + 1,), and len (symbols,) u16 if the codec aligns.

        Raises `StoreError` for a symbol of more than 65,535 bytes.
        """
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
        """Write the files of `arrays` (see there), and behind them the facts, which say that the column is complete."""
        facts: dict[str, Any] = {"view": self.facts(), "documents": len(arrays["off"]) - 1, "files": {}}
        in_blocks = []
        for suffix, array in arrays.items():
            data = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).view(np.uint8).data
            write_atomically(shard / f"{self.name}.{suffix}", data)
            facts["files"][suffix] = {"bytes": data.nbytes, "sha256": hashlib.sha256(data).hexdigest()}
            if suffix != "off":  # offsets are read as a whole
                in_blocks.append((facts["files"][suffix]["sha256"], data))
        write_atomically(shard / f"{self.name}.crc", blocks.packed(in_blocks))
        write_atomically(shard / f"{self.name}.json", json.dumps(facts).encode())

    def complete(self, shard: Path) -> bool:
        """Is the column there, whole? Raises `FingerprintMismatch` if another codec made it, or if it is missing, and other
        versions of the codec's libraries made those that are there.
        """
        facts = read_facts(shard / f"{self.name}.json")
        if facts is None:
            if self.made_with is not None:
                raise other_versions(f"view {self.name!r} in {shard.parent}", self.made_with, self.codec)
            return False
        made_by = facts["view"]["fingerprint"]
        if made_by != self.codec.fingerprint_with(facts["view"]["libraries"]):
            raise FingerprintMismatch(
                f"view {self.name!r} in {shard} was made by {made_by[:12]}, not by {self.codec.fingerprint[:12]} "
                f"({self.codec.name}); choose another name for the view (NAME@{self.codec.name}...) or another folder"
            )
        return True


RAW_MAKER = Maker(RAW, Identity())


def makers_for(path: Path, views: Mapping[str, Compressor]) -> list[Maker]:
    """A maker for each of `views`, which knows what other versions of its libraries left in the store at `path`."""
    makers = []
    for name, codec in views.items():
        stored = (read_facts(file) or {} for file in sorted(path.glob(f"*/{name}.json")))
        versions = (facts["view"]["libraries"] for facts in stored)
        makers.append(
            Maker(name, codec, next((found for found in versions if found != codec.library_versions()), None))
        )
    return makers


def missing(path: Path, shard: Shard, makers: Sequence[Maker], threads: int) -> Iterator[Callable[[], None]]:
    """Encode the columns that the store at `path` lacks of `shard`; each comes as the call that writes it.

    So a killed run resumes here, and so may a second run after the first. Raises `StoreError` if other documents
    are there, `FingerprintMismatch` if another codec made a view.
    """
    folder = path / shard.name
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".*.tmp"):  # of a run that was killed: nobody else writes this shard now
        left.unlink()
    if RAW_MAKER.complete(folder):
        _check_same(folder, shard.documents)
    if shard.ids is not None and not (folder / IDS).exists():
        yield partial(write_atomically, folder / IDS, packed_ids(shard.ids))
    for maker in (RAW_MAKER, *makers):
        if not maker.complete(folder):
            yield partial(maker.write, folder, maker.arrays(shard.documents, threads))


def packed_ids(ids: list[str]) -> bytes:
    """The file of ids (see `store`): equal ids give equal bytes. Fingerprints do not cover it."""
    import zstandard

    lines = [json.dumps({"version": IDS_VERSION, "documents": len(ids)}), *map(json.dumps, ids)]
    return zstandard.compress("".join(f"{line}\n" for line in lines).encode())


def _check_same(shard: Path, documents: list[bytes]) -> None:
    """Raise `StoreError` unless the raw column of `shard` holds these documents."""
    facts = read_facts(shard / f"{RAW}.json") or {}
    arrays = RAW_MAKER.arrays(documents, 1)
    # Encoding bytes as bytes is cheap, so the digests are made again and compared.
    digests = {suffix: hashlib.sha256(array.tobytes()).hexdigest() for suffix, array in arrays.items()}
    if digests != {suffix: file["sha256"] for suffix, file in facts["files"].items()}:
        raise StoreError(
            f"{shard} holds other documents than the corpus gives now (or shards of another size); use another folder, or delete it"
        )


def read_facts(file: Path) -> dict[str, Any] | None:
    """What a column says of itself, or None if it is not complete. Raises `StoreError` if the file is damaged."""
    try:
        found: dict[str, Any] = json.loads(file.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StoreError(f"{file} is damaged: {error}; delete it and encode again") from error
    if not isinstance(found, dict) or not {"view", "documents", "files"} <= set(found):
        raise StoreError(f"{file} is damaged: it lacks a field; delete it and encode again")
    return found


def finish(path: Path, views: Mapping[str, Compressor], n_shards: int) -> None:
    """Write the manifest of a store whose shards are all there, and what `views` share over shards.

    Raises `StoreError` if there are more shards than `n_shards`, `FingerprintMismatch` if several codecs made one view.
    """
    if (path / f"{n_shards:05d}").exists():
        raise StoreError(
            f"{path} has more shards than the corpus fills ({n_shards}): the corpus has changed; use another folder"
        )
    for unfinished in path.glob(".*.tmp"):  # a run that was killed left it
        unfinished.unlink()
    for name, codec in views.items():
        if (splits := codec.vocab.splits) is not None:
            write_atomically(path / f"{name}.splits", splits.astype("<u4").tobytes())
    _write_manifest(path, [f"{number:05d}" for number in range(n_shards)])


def _write_manifest(path: Path, shards: list[str]) -> None:
    """Put together what the shards say of their columns: the views that all of them have."""
    columns = {
        shard: {file.stem: read_facts(file) or {} for file in sorted((path / shard).glob("*.json"))} for shard in shards
    }
    # A view that a shard lacks is not in the store.
    names = sorted(set.intersection(*(set(found) for found in columns.values())))
    first = columns[shards[0]]  # what every other shard is compared with
    for shard, name in itertools.product(shards, names):
        if columns[shard][name]["view"] != first[name]["view"]:
            raise FingerprintMismatch(
                f"view {name!r} in {path / shard} was made by another codec, or other versions of its libraries, than in "
                f"{path / shards[0]}; delete {path / shard / name}.json and encode again with one installation"
            )
    views = {
        name: first[name]["view"] | {"files": {shard: columns[shard][name]["files"] for shard in shards}}
        for name in names
    }
    documents = sum(found[RAW]["documents"] for found in columns.values())
    manifest = {"format": FORMAT, "documents": documents, "shards": shards, "views": views}
    write_atomically(path / "manifest.json", json.dumps(manifest, indent=1, sort_keys=True).encode())
