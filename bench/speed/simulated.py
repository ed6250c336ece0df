"""A store as large as one likes, of which nothing is read but what a step needs: made in seconds, on a disk that cannot hold it.

Its text is zeros, in files without blocks; its symbols and spans are one file, which all shards link to. Offsets are real: every
shard has documents of other lengths.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from proxylm.data import blocks
from proxylm.data.store import FORMAT

SPAN = 4  # bytes of a symbol
SYMBOL = 257  # which is two of symbol 256, which is two zeros
SPLITS = np.array([[0, 0], [256, 256]], "<u4")
VIEW = "bpe"


def write(path: Path, n_bytes: int, n_documents: int, n_shards: int) -> None:
    """Write a store of `n_bytes` in `n_documents`, all shards alike in size."""
    size, documents = n_bytes // n_shards // SPAN * SPAN, n_documents // n_shards
    path.mkdir(parents=True)
    shared = {"bin": np.full(size // SPAN, SYMBOL, "<u2"), "len": np.full(size // SPAN, SPAN, "<u2")}
    digests = {kind: _written(path / f"shared.{kind}", array) for kind, array in shared.items()}
    zeros = bytes(size)
    of_text = hashlib.sha256(zeros).hexdigest()
    crc = {"raw": blocks.packed([(of_text, memoryview(zeros))])}
    crc[VIEW] = blocks.packed((digests[kind]["sha256"], array.view(np.uint8).data) for kind, array in shared.items())
    for name, data in crc.items():
        (path / f"shared.{name}.crc").write_bytes(data)
    raw, view = dict[str, Any](), dict[str, Any]()
    for number in range(n_shards):
        name = f"{number:05d}"
        folder = path / name
        folder.mkdir()
        with open(folder / "raw.bin", "wb") as file:
            file.truncate(size)
        for kind in shared:
            os.link(path / f"shared.{kind}", folder / f"{VIEW}.{kind}")
        for view_name in crc:
            os.link(path / f"shared.{view_name}.crc", folder / f"{view_name}.crc")
        offsets = _offsets(size // SPAN, documents, number)
        raw[name] = {"bin": {"bytes": size, "sha256": of_text}, "off": _written(folder / "raw.off", offsets * SPAN)}
        view[name] = digests | {"off": _written(folder / f"{VIEW}.off", offsets)}
    splits = _written(path / f"{VIEW}.splits", SPLITS)["sha256"]
    common: dict[str, Any] = {"config": {}, "libraries": {}}
    views = {
        "raw": common | {"codec": "bytes", "fingerprint": "0" * 64, "vocab_size": 256, "dtype": "|u1", "aligned": True, "splits": None, "files": raw},
        VIEW: common | {"codec": "bpe", "fingerprint": "1" * 64, "vocab_size": 258, "dtype": "<u2", "aligned": True, "splits": splits, "files": view},
    }  # fmt: skip
    manifest = {"format": FORMAT, "documents": documents * n_shards, "shards": list(raw), "views": views}
    (path / "manifest.json").write_text(json.dumps(manifest, indent=1, sort_keys=True))


def _offsets(symbols: int, documents: int, seed: int) -> npt.NDArray[np.uint64]:
    """(documents + 1,) where each begins: cut at places drawn evenly."""
    cuts = np.random.default_rng(seed).integers(0, symbols + 1, documents - 1, np.uint64)
    cuts.sort()
    return np.concatenate([np.zeros(1, np.uint64), cuts, np.array([symbols], np.uint64)])


def _written(path: Path, numbers: npt.NDArray[Any]) -> dict[str, Any]:
    """Write a file; what a manifest says of it."""
    data = numbers.astype(numbers.dtype.newbyteorder("<")).tobytes()
    path.write_bytes(data)
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
