"""The view store: a corpus encoded once, memory-mapped for ever; document i has index i in every view.

STORE/bpe.splits               of a refinable vocabulary: the two earlier symbols of each later one, (size - 256, 2) u32
STORE/manifest.json            format, counts, and the view's codec, configuration, fingerprint, vocabulary size
STORE/00000/raw.bin raw.off    the bytes of the documents, and where each begins: (documents + 1) u64
STORE/00000/bpe.bin .off .len  symbols; offsets; bytes per symbol (u16, only for views that align with bytes)
STORE/00000/bpe.crc            checksums of the blocks of .bin and .len (`proxylm.data.blocks`)
STORE/00000/ids.jsonl.zst      a line of JSON with version and number, then the id of each document, a JSON string a line
STORE/00000/bpe.json           sizes and SHA-256 of the view's files: written last, so what has one is complete
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compressors.base import Compressor, digest
from compressors.errors import FingerprintMismatch
from proxylm.data.column import Column, ColumnShard, StoreError, check_digest
from proxylm.data.derived import Derived
from proxylm.view_spec import RAW

__all__ = ["Column", "Store", "StoreError"]

FORMAT = 1  # of the manifest; another number is refused, not guessed at
IDS, IDS_VERSION = "ids.jsonl.zst", 1


def is_store(path: str | Path) -> bool:
    """Whether a finished view store lies at `path`."""
    return (Path(path) / "manifest.json").is_file()


@dataclass(frozen=True)
class Store:
    """An opened view store. Use `Store.open`."""

    path: Path
    """The folder."""
    manifest: dict[str, Any]
    """What manifest.json says."""
    _columns: dict[str, Column] = field(default_factory=dict, compare=False, repr=False)
    """Those that were asked for."""

    @classmethod
    def open(cls, path: str | Path, *, check: tuple[str, ...] | None = None) -> Store:
        """Open a store, checking the sizes of all files, or of the views in `check`. Raises `StoreError`."""
        path = Path(path)
        file = path / "manifest.json"
        if not file.is_file():
            raise StoreError(
                f"{path} is not a finished view store; make or finish it with `proxyc encode CORPUS -o {path}`"
            )
        try:
            manifest = json.loads(file.read_bytes())
        except ValueError as error:
            raise StoreError(f"{file} is damaged: {error}; run the same `proxyc encode` again") from error
        if not isinstance(manifest, dict) or not isinstance(manifest.get("views"), dict):
            raise StoreError(f"{file} is damaged: it has no views; run the same `proxyc encode` again")
        if manifest.get("format") != FORMAT:
            raise StoreError(f"{path}: store format {manifest.get('format')}, this version reads {FORMAT}")
        store = cls(path, manifest)
        store._check_sizes(check)
        return store

    @property
    def derived(self) -> Derived:
        """What is computed from the store once and kept beside it. Fingerprints do not cover it."""
        return Derived(self.path / "derived")

    @property
    def views(self) -> list[str]:
        """Names of the compressed views."""
        return [name for name in self.manifest["views"] if name != RAW]

    @property
    def refinable(self) -> list[str]:
        """Names of the views whose later symbols are made of two earlier ones."""
        return [name for name in self.views if self.view(name).get("splits")]

    @property
    def fingerprint(self) -> str:
        """64 hex digits over documents, views and their files: equal for equal stores, on any machine."""
        return digest(self.manifest)

    def fingerprint_of(self, *views: str) -> str:
        """64 hex digits over the raw bytes and the given views; other views may come and go without changing it."""
        return digest([self.manifest["views"][RAW], *map(self.view, views)])

    def __len__(self) -> int:
        """Number of documents."""
        return int(self.manifest["documents"])

    def view(self, name: str) -> dict[str, Any]:
        """What the manifest says of a view. Raises `StoreError` if there is none of that name."""
        if name not in self.manifest["views"]:
            known = ", ".join(self.views) or "none"
            raise StoreError(
                f"{self.path} has no view {name!r}, it has: {known}; add it with `proxyc encode -o {self.path} --view ...`"
            )
        facts: dict[str, Any] = self.manifest["views"][name]
        return facts

    def n_symbols(self, name: str) -> int:
        """Symbols of view `name` over all documents; of "raw": bytes."""
        view = self.view(name)
        n_bytes: int = sum(files["bin"]["bytes"] for files in view["files"].values())
        return n_bytes // int(np.dtype(view["dtype"]).itemsize)

    def size_on_disk(self, name: str) -> int:
        """Bytes of all files of view `name`, but for those that describe and check them (.json, .crc)."""
        splits = self.splits(name)
        of_shards: int = sum(facts["bytes"] for view, _, facts in self._files() if view == name)
        return of_shards + (0 if splits is None else splits.nbytes)

    def summary(self) -> dict[str, Any]:
        """What is in the store, ready for JSON; sizes in bytes."""
        n_bytes = self.n_symbols(RAW)
        views = {
            name: {
                "symbols": self.n_symbols(name),
                "bytes_per_symbol": n_bytes / max(self.n_symbols(name), 1),
                "size_on_disk": self.size_on_disk(name),
                **{key: view[key] for key in ("vocab_size", "codec", "config", "fingerprint")},
            }
            for name, view in self.manifest["views"].items()
        }
        shards = len(self.manifest["shards"])
        return {
            "documents": len(self),
            "bytes": n_bytes,
            "shards": shards,
            "fingerprint": self.fingerprint,
            "views": views,
        }

    def check_codec(self, name: str, codec: Compressor) -> None:
        """Raise `FingerprintMismatch` unless view `name` was made by `codec`."""
        view = self.view(name)
        stored = view["fingerprint"]
        if stored == codec.fingerprint:
            return
        if stored == codec.fingerprint_with(view["libraries"]):
            raise other_versions(f"view {name!r} of {self.path}", view["libraries"], codec)
        raise FingerprintMismatch(
            f"view {name!r} of {self.path} was made by {stored[:12]} ({view['codec']}), not by {codec.fingerprint[:12]}; "
            "give the artifact it was made with, or encode a new view under another name"
        )

    def column(self, name: str) -> Column:
        """The symbols of view `name`, or the bytes for "raw", memory-mapped.

        A shard is checked when it is first read, which raises `StoreError` where it is damaged.
        """
        if name not in self._columns:
            view = self.view(name)
            aligned = bool(view["aligned"]) and name != RAW
            self._columns[name] = Column(
                tuple(
                    ColumnShard(self.path / shard / name, view["dtype"], aligned, view["files"][shard])
                    for shard in self.manifest["shards"]
                ),
                aligned,
            )
        return self._columns[name]

    def id_of(self, document: int) -> str | None:
        """Where a document came from (file:line, row), or None in a store without ids. Raises `StoreError`."""
        files = self.view(RAW)["files"]
        for shard in self.manifest["shards"]:
            # Offsets are u64, and one more than documents.
            count = files[shard]["off"]["bytes"] // 8 - 1
            if document < count:
                return _id_in(self.path / shard / IDS, document, count)
            document -= count  # its number in the shards that follow
        raise IndexError(f"{self.path} has {len(self)} documents")

    def splits(self, name: str) -> npt.NDArray[np.uint32] | None:
        """(size - 256, 2) the two earlier symbols of each symbol of a refinable view, or None. Raises `StoreError`."""
        file, expected = self.path / f"{name}.splits", self.view(name).get("splits")
        if expected is None:
            return None
        data = file.read_bytes() if file.is_file() else b""
        if hashlib.sha256(data).hexdigest() != expected:
            raise StoreError(f"{file} is missing or damaged: its SHA-256 differs; run the same `proxyc encode` again")
        return np.frombuffer(data, "<u4").reshape(-1, 2)

    def verify(self) -> None:
        """Read everything and compare with the recorded SHA-256. Raises `StoreError` naming the file."""
        for name in self.manifest["views"]:
            self.splits(name)
        for _, file, facts in self._files():
            with open(file, "rb") as opened:
                found = (
                    hashlib.file_digest(opened, "sha256")
                    if hasattr(hashlib, "file_digest")
                    else hashlib.sha256(opened.read())
                )
            check_digest(Path(file), found.hexdigest(), facts["sha256"])

    def _files(self) -> list[tuple[str, str, dict[str, Any]]]:
        """View, file, its size and SHA-256. Of a large store these are many: text is made faster than paths."""
        views = self.manifest["views"].items()
        return [
            (name, f"{self.path}/{shard}/{name}.{kind}", facts)
            for name, view in views
            for shard, files in view["files"].items()
            for kind, facts in files.items()
        ]

    def _check_sizes(self, views: tuple[str, ...] | None) -> None:
        """Sizes only, which takes no reading. Raises `StoreError`."""
        for name, file, facts in self._files():
            if views is not None and name not in views:
                continue
            try:
                size = os.stat(file).st_size
            except OSError:
                size = None
            if size != facts["bytes"]:
                found, path = "is missing" if size is None else f"has {size} bytes", Path(file)
                raise StoreError(
                    f"{path} {found}, expected {facts['bytes']}; delete {path.with_suffix('.json')} and run the same `proxyc encode` again"
                )


def other_versions(what: str, made_with: Mapping[str, str], codec: Compressor) -> FingerprintMismatch:
    """The error where new symbols of `codec` would be mixed with those of `what`, which other versions of libraries made."""
    before, now = (
        ", ".join(f"{name} {number}" for name, number in versions.items())
        for versions in (made_with, codec.library_versions())
    )
    return FingerprintMismatch(
        f"{what} was made with {before}, and this installation has {now}: new symbols may differ from the stored ones. Reading, "
        f"training and export work; to add symbols, install {before}, or encode a new view under another name"
    )


def _id_in(file: Path, document: int, count: int) -> str | None:
    """The id of a document of a shard that has `count` of them."""
    import zstandard

    if not file.is_file():
        return None
    try:
        head, *ids = map(json.loads, zstandard.decompress(file.read_bytes()).splitlines())
        if head != {"version": IDS_VERSION, "documents": count} or len(ids) != count:
            raise ValueError(f"expected version {IDS_VERSION} and {count} documents, found {head} and {len(ids)} ids")
    except (zstandard.ZstdError, ValueError) as error:
        raise StoreError(f"{file} cannot be read: {error}; delete it and run the same `proxyc encode` again") from error
    return str(ids[document])
