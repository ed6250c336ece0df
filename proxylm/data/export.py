"""A view of a store in the formats that other trainers read: Megatron-LM, flat binaries, NumPy, Arrow.

One sequence a document, in the order of the store; ids are the symbols of the view, without the marks of `proxylm`.
"""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compressors.base import Compressor
from compressors.corpus import documents as documents_of
from compressors.errors import InputError, InvalidConfig, MissingExtra
from proxylm.data.encode import SHARD_BYTES, Progress, read_ahead, shards_of
from proxylm.data.store import Store

# Shard by shard: the symbols of its documents one after the other, and (documents + 1,) where each begins.
Symbols = Iterable[tuple[npt.NDArray[Any], npt.NDArray[np.int64]]]
# The same with (documents,) lengths.
Sequences = Iterator[tuple[npt.NDArray[Any], npt.NDArray[np.int64]]]

# megatron/core/datasets/indexed_dataset.py: magic, version, and the codes of element types. It has no unsigned 32 bits.
_MEGATRON_MAGIC = b"MMIDIDX\x00\x00"
_MEGATRON_VERSION = 1
_MEGATRON_CODES = {"uint8": 1, "int32": 4, "uint16": 8}


def export(
    store: Store, view: str, to: str, output: Path, *, eod: int | None = None, force: bool = False
) -> list[Path]:
    """Write view `view` of `store` in the format `to`, a key of `FORMATS`; the files or the folder that were written.

    output: a folder for arrow, else a prefix to which suffixes are added. eod: an id that is added behind every document.
    Raises `InputError` if something is there already, `InvalidConfig` for an unknown format or an id that does not fit.
    """
    n_ids = int(store.view(view)["vocab_size"])  # ids are 0..n_ids-1
    symbols = ((shard.values, shard.offsets) for shard in store.column(view).in_turn())
    return _export(symbols, n_ids, to, output, eod, force)


def encode_to(
    documents: Any,
    codec: Compressor,
    to: str,
    output: Path,
    *,
    eod: int | None = None,
    force: bool = False,
    threads: int = 1,
    shard_bytes: int = SHARD_BYTES,
    progress: Progress = lambda n_documents, n_bytes, n_read: None,
) -> list[Path]:
    """What `export` writes of a store that has `documents` in the view of `codec`, without writing the store.

    The arguments are those of `export` and of `proxylm.data.encode.encode`. Memory holds two shards. A call that is killed
    leaves nothing to resume from. Raises `InputError` without documents, and what `export` raises.
    """

    def symbols() -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[np.int64]]]:
        n_shards = 0
        for shard in read_ahead(shards_of(documents_of(documents), shard_bytes)):
            ids = codec.encode_batch(shard.documents, threads=threads)
            progress(*shard.counts)
            yield ids.values, ids.offsets
            n_shards += 1
        if n_shards == 0:
            raise InputError(f"no documents for {output}; give at least one")

    return _export(symbols(), codec.vocab.size, to, output, eod, force)


def _export(symbols: Symbols, n_ids: int, to: str, output: Path, eod: int | None, force: bool) -> list[Path]:
    """See `export`. What can be refused is refused before the first of `symbols` is asked for."""
    if to not in FORMATS:
        raise InvalidConfig(f"no format {to!r} to export to; there are {', '.join(FORMATS)}")
    write, suffixes, dtypes = FORMATS[to]
    dtype = _element_type(max(n_ids, 0 if eod is None else eod + 1), dtypes)
    if eod is not None and eod < 0:
        raise InvalidConfig(f"--eod {eod}: an id is 0 or more")
    targets = [output.with_name(output.name + suffix) for suffix in suffixes]
    if not output.parent.is_dir():
        raise InputError(f"cannot write {output}: its folder does not exist")
    if (there := [target for target in targets if target.exists()]) and not force:
        raise InputError(f"{there[0]} exists already; use --force to replace it")
    # Everything is written under other names first, so that nothing half-written carries the real ones.
    unfinished = [target.with_name(f".{target.name}.unfinished") for target in targets]
    for left in unfinished:  # by a call that was killed
        _remove(left)
    try:
        write(_sequences(symbols, eod, dtype), dtype, unfinished)
        for written, target in zip(unfinished, targets, strict=True):
            if target.is_dir():  # with --force
                shutil.rmtree(target)
            written.replace(target)
    finally:
        for left in unfinished:  # after an error
            _remove(left)
    return targets


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _element_type(n_ids: int, allowed: tuple[str, ...]) -> np.dtype[Any]:
    """The smallest of the types a format has in which all ids fit."""
    fitting = [np.dtype(name) for name in allowed if n_ids - 1 <= np.iinfo(name).max]
    if not fitting:
        raise InvalidConfig(f"ids up to {n_ids - 1} do not fit into {allowed[-1]}, the widest type of this format")
    return fitting[0].newbyteorder("<")


def _sequences(symbols: Symbols, eod: int | None, dtype: np.dtype[Any]) -> Sequences:
    """Shard by shard: the ids of its documents one after the other, and (documents,) their lengths."""
    for values, offsets in symbols:
        lengths = np.diff(offsets)  # (documents,) symbols
        ids = values.astype(dtype)
        if eod is not None:
            ids = np.insert(ids, offsets[1:], eod)  # before the first id of the next document
            lengths = lengths + 1
        yield ids, lengths


def _write_megatron(sequences: Sequences, dtype: np.dtype[Any], targets: list[Path]) -> None:
    """`.bin` holds the ids, `.idx` their type, and of each sequence its length and the byte at which it begins."""
    all_lengths = _write_flat_ids(sequences, targets[0])
    lengths = all_lengths.astype("<i4")
    # Ids before each sequence, in bytes.
    begins = (np.cumsum(all_lengths) - all_lengths) * dtype.itemsize
    with open(targets[1], "wb") as index:
        index.write(_MEGATRON_MAGIC + struct.pack("<QB", _MEGATRON_VERSION, _MEGATRON_CODES[dtype.name]))
        # As many sequences as documents, and one more mark: document i is the sequences from mark i to mark i + 1.
        index.write(struct.pack("<QQ", len(lengths), len(lengths) + 1))
        for array in (lengths, begins.astype("<i8"), np.arange(len(lengths) + 1, dtype="<i8")):
            index.write(array.tobytes())


def _write_flat(sequences: Sequences, dtype: np.dtype[Any], targets: list[Path]) -> None:
    """Only the ids, as nanoGPT and OLMo map them; `.json` says their type, their number and that of the documents."""
    lengths = _write_flat_ids(sequences, targets[0])
    facts = {"dtype": dtype.name, "tokens": int(lengths.sum()), "documents": len(lengths)}
    targets[1].write_text(json.dumps(facts) + "\n")


def _write_flat_ids(sequences: Sequences, target: Path) -> npt.NDArray[np.int64]:
    """Write the ids one after the other; (documents,) their lengths."""
    found = [np.empty(0, np.int64)]
    with open(target, "wb") as file:
        for ids, lengths in sequences:
            file.write(np.ascontiguousarray(ids).data)
            found.append(lengths)
    return np.concatenate(found)


def _write_npy(sequences: Sequences, dtype: np.dtype[Any], targets: list[Path]) -> None:
    """Two arrays that `numpy.load` maps: ids (n,), and offsets (documents + 1,) of where each document begins."""
    raw = targets[0].with_name(targets[0].name + ".raw")
    try:
        # The header says the number of ids, which is known only when all are written.
        lengths = _write_flat_ids(sequences, raw)
        with open(raw, "rb") as source, open(targets[0], "wb") as file:
            header = {"descr": dtype.str, "fortran_order": False, "shape": (int(lengths.sum()),)}
            np.lib.format.write_array_header_1_0(file, header)
            # A megabyte at a time: a view may be larger than memory.
            shutil.copyfileobj(source, file, 1 << 20)
    finally:
        raw.unlink(missing_ok=True)
    with open(targets[1], "wb") as file:
        np.save(file, np.concatenate([[0], np.cumsum(lengths)]))


def _write_arrow(sequences: Sequences, dtype: np.dtype[Any], targets: list[Path]) -> None:
    """A folder that `datasets.load_from_disk` opens: a column `input_ids`, a file a shard."""
    try:
        import pyarrow as arrow
    except ModuleNotFoundError as error:
        raise MissingExtra("an export to arrow needs pyarrow: pip install 'proxyc[parquet]'") from error
    folder, names = targets[0], list[str]()
    folder.mkdir()
    element = arrow.from_numpy_dtype(dtype)
    schema = arrow.schema([("input_ids", arrow.large_list(element))])
    for number, (ids, lengths) in enumerate(sequences):
        names.append(f"data-{number:05d}.arrow")
        offsets = arrow.array(np.concatenate([[0], np.cumsum(lengths)]), arrow.int64())
        column = arrow.LargeListArray.from_arrays(offsets, arrow.array(ids, element))
        with arrow.OSFile(str(folder / names[-1]), "wb") as sink, arrow.ipc.new_stream(sink, schema) as writer:
            writer.write_batch(arrow.record_batch([column], schema=schema))
    feature = {"input_ids": {"feature": {"dtype": dtype.name, "_type": "Value"}, "_type": "LargeList"}}
    (folder / "dataset_info.json").write_text(json.dumps({"features": feature}))
    state: dict[str, Any] = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "0", "_format_columns": None,
             "_format_kwargs": {}, "_format_type": None, "_output_all_columns": False, "_split": None}  # fmt: skip
    (folder / "state.json").write_text(json.dumps(state))


# Format -> what writes it, the suffixes of its files, the element types it has, narrowest first.
FORMATS: dict[str, tuple[Callable[[Sequences, np.dtype[Any], list[Path]], None], tuple[str, ...], tuple[str, ...]]] = {
    "megatron": (_write_megatron, (".bin", ".idx"), ("uint8", "uint16", "int32")),
    "flat": (_write_flat, (".bin", ".json"), ("uint16", "uint32")),
    "npy": (_write_npy, (".npy", ".offsets.npy"), ("uint8", "uint16", "uint32")),
    "arrow": (_write_arrow, ("",), ("uint8", "uint16", "uint32")),
}
