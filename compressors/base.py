"""THE CONTRACT: `Compressor`, `Vocab`, `Ragged`.

A compressor is a frozen keyword-only dataclass: its fields are its configuration, its repr, its equality and its JSON.

Laws (decidable; `compressors.testing.check(codec)` runs them all):

1. ``decode(encode(data)) == data`` and ``decompress(compress(data)) == data`` for every byte string, the empty one and
   invalid UTF-8 included.
2. ``encode`` is a function of (configuration, data): no clock, thread count, locale, batch or machine. Where the
   version of a library shapes the stream (zlib, zstd, brotli), that version is part of `fingerprint`.
3. Symbols are one-dimensional, of dtype ``vocab.dtype`` and below ``vocab.size``.
4. ``spans(data)`` gives the bytes each symbol stands for and sums to ``len(data)``; None for codecs without alignment.
5. ``encode_batch(documents)`` equals encoding one by one, whatever the number of threads.
6. Decoding anything the codec did not write raises `CorruptStream` or gives other bytes; it never crashes, hangs, or
   exceeds ``max_output``. Files (`.zst`, `.gz`, `.pxc`) and chunks of numcodecs have checksums and always raise; what
   `encode` and `compress` give need not have any.
7. Codecs pickle by configuration, and `fingerprint` is the same in every process and on every machine.

`vocab`, `encode` and `decode` are a whole codec: `compress` and `decompress` then code the symbols, as
`compressors.symbol_coder` says. A codec that knows better overrides them. A codec with ``lossless = False`` is a
one-way view: symbols to train on. It has neither `decode` nor files; all laws that need no decoding hold.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from compressors.errors import CorruptStream, InvalidConfig, OneWay, OutputLimitExceeded

if TYPE_CHECKING:  # numpy is imported where it is used: .zst, .gz and .br files need none of its 0.15 s
    import numpy as np
    import numpy.typing as npt

Symbols: TypeAlias = "npt.NDArray[Any]"  # (n,) unsigned, vocab.dtype
Spans: TypeAlias = "npt.NDArray[np.int64]"  # (n,) bytes per symbol


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Vocab:
    """The symbols a codec may emit: 0 <= s < size.

    `pieces` holds the bytes each symbol stands for, where a symbol always stands for the same bytes.
    `splits` (size-256, 2) makes a vocabulary refinable: ids 0-255 are the bytes, and symbol 256+i is the concatenation
    of the two earlier symbols ``splits[i]``.
    """

    size: int
    pieces: tuple[bytes, ...] | None = None
    splits: npt.NDArray[np.uint32] | None = None

    def __repr__(self) -> str:
        given = [f", {name}=..." for name in ("pieces", "splits") if getattr(self, name) is not None]
        return f"Vocab(size={self.size}{''.join(given)})"

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned type that holds every symbol."""
        import numpy as np

        return np.dtype(np.min_scalar_type(self.size - 1))

    @cached_property
    def lengths(self) -> Spans | None:
        """(size,) bytes per symbol, or None without `pieces`."""
        import numpy as np

        if self.pieces is None:
            return None
        return np.fromiter(map(len, self.pieces), np.int64, len(self.pieces))


@dataclass(frozen=True, eq=False)
class Ragged:
    """Many symbol sequences in one buffer: row i is ``values[offsets[i]:offsets[i + 1]]``."""

    values: Symbols
    offsets: npt.NDArray[np.int64]  # (rows + 1,)

    @classmethod
    def from_rows(cls, rows: Sequence[Symbols], dtype: npt.DTypeLike) -> Ragged:
        """Join `rows`, each (n,), into one buffer of `dtype`; no rows give an empty buffer."""
        import numpy as np

        offsets = np.zeros(len(rows) + 1, np.int64)
        np.cumsum([len(row) for row in rows], out=offsets[1:])
        values = np.concatenate([np.empty(0, dtype), *rows]).astype(dtype, copy=False)
        return cls(values, offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> Symbols:
        if not -len(self) <= i < len(self):
            raise IndexError(f"row {i} of {len(self)}")
        # A negative index counts from the end, as in a list.
        i %= len(self)
        return self.values[self.offsets[i] : self.offsets[i + 1]]


@dataclass(frozen=True, kw_only=True)
class Compressor(ABC):
    """Bytes <-> symbols <-> compressed bytes. Subclasses are frozen keyword-only dataclasses."""

    name: ClassVar[str]
    config_version: ClassVar[int] = 1  # raise when the same configuration starts to mean other symbols
    lossless: ClassVar[bool] = True  # False: a one-way view, without `decode` and files
    verify_on_write: ClassVar[bool] = False  # learned codecs: every block of a file is decoded before it is written

    # The file format: how the files that `proxyc compress` writes are named, and how others' are recognised.
    suffix: ClassVar[str] = ".pxc"
    magics: ClassVar[tuple[bytes, ...]] = ()  # what a file may begin with, where that is not the .pxc container's
    archive_suffixes: ClassVar[tuple[str, ...]] = ()  # of compressed archives: what is in them ends in .tar

    def __init_subclass__(cls, **options: Any) -> None:
        """Give a one-way view a `decode` that raises `OneWay`, so that its class is not abstract."""
        super().__init_subclass__(**options)
        if cls.lossless is False and cls.decode is Compressor.decode:
            cls.decode = _refusing  # type: ignore[assignment] # so that nothing abstract is left

    # -- to be written by a codec ------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def vocab(self) -> Vocab:
        """The alphabet of `encode`."""

    @abstractmethod
    def encode(self, data: bytes) -> Symbols:
        """Symbols (n,) of dtype `vocab.dtype`; a pure function of the configuration and `data`."""

    @abstractmethod
    def decode(self, symbols: Symbols, *, max_output: int | None = None) -> bytes:
        """The bytes that `encode` was given.

        Raises `CorruptStream` on symbols it did not write, `OutputLimitExceeded` beyond `max_output` bytes.
        """

    # -- given -------------------------------------------------------------------------------------------------------

    def compress(self, data: bytes) -> bytes:
        """A compressed form of `data`, for storage. By default its symbols, entropy-coded. Raises `OneWay`."""
        check_lossless(self)
        from compressors.symbol_coder import compress

        return compress(self, data)

    def decompress(self, data: bytes, *, max_output: int | None = None) -> bytes:
        """Inverse of `compress`; raises like `decode`."""
        check_lossless(self)
        from compressors.symbol_coder import decompress

        return decompress(self, data, max_output=max_output)

    def spans(self, data: bytes) -> Spans | None:
        """(n,) bytes each symbol of ``encode(data)`` stands for, or None if symbols do not align with bytes."""
        lengths = self.vocab.lengths
        return None if lengths is None else lengths[self.encode(data)]

    def encode_batch(self, documents: Iterable[bytes], *, threads: int = 1) -> Ragged:
        """Encode many documents; equal to one by one. Threads pay where `encode` releases the GIL."""
        if threads <= 1:
            rows = [self.encode(document) for document in documents]
        else:
            with ThreadPoolExecutor(threads) as pool:
                rows = list(pool.map(self.encode, documents))
        return Ragged.from_rows(rows, self.vocab.dtype)

    def decode_batch(self, batch: Ragged, *, max_output: int | None = None) -> list[bytes]:
        """The documents of `encode_batch`, of which each may have `max_output` bytes; raises like `decode`."""
        return [self.decode(row, max_output=max_output) for row in map(batch.__getitem__, range(len(batch)))]

    def show(self, text: bytes | str) -> Any:
        """How this codec cuts `text`: a `compressors.show.Cut`, which a notebook draws."""
        # By name: this module stands below all others, and only people who look need the drawing.
        return importlib.import_module("compressors.show").Cut.of(self, text)

    def config(self) -> dict[str, Any]:
        """The configuration as JSON-ready values; an artifact stands as its fingerprint."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {key: getattr(value, "fingerprint", value) for key, value in values.items()}

    def stream_config(self) -> dict[str, Any]:
        """The part of `config` that `decompress` depends on.

        A `.pxc` file records it, and a reader's codec has to agree with nothing else.
        """
        return self.config()

    def library_versions(self) -> dict[str, str]:
        """Versions of the libraries that shape the symbols; empty where no library does."""
        return {}

    @cached_property
    def fingerprint(self) -> str:
        """64 hex digits: equal fingerprints give equal symbols for equal bytes."""
        return self.fingerprint_with(self.library_versions())

    def fingerprint_with(self, libraries: Mapping[str, str]) -> str:
        """The fingerprint of this configuration with these versions of its libraries."""
        return digest([self.name, self.config_version, self.config(), dict(libraries)])

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the configuration only: tables built from it are made again where they are needed."""
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def check_lossless(codec: Compressor) -> None:
    """Raise `OneWay` if `codec` is a one-way view."""
    if not codec.lossless:
        raise OneWay(
            f"{codec.name} is a one-way view: different bytes may share their symbols, so it neither decodes nor writes "
            "files; use it with `proxyc encode --view`, or another codec for files"
        )


def _refusing(codec: Compressor, symbols: Symbols, *, max_output: int | None = None) -> bytes:
    """`decode` of a one-way view."""
    check_lossless(codec)
    raise AssertionError  # check_lossless has raised


def digest(value: object) -> str:
    """SHA-256 of a JSON value in canonical form, 64 hex digits."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def checked_symbols(codec: Compressor, symbols: Symbols) -> Symbols:
    """`symbols` (n,) as ``vocab.dtype``. Raises `CorruptStream` for a value this codec never emits."""
    import numpy as np

    symbols = np.asarray(symbols)
    vocab = codec.vocab
    dtype = vocab.dtype
    # Of the type itself no value is negative, and perhaps all are symbols.
    full = vocab.size == 1 << 8 * dtype.itemsize
    if symbols.ndim == 1 and symbols.dtype == dtype and (full or symbols.max(initial=0) < vocab.size):
        return symbols
    if symbols.ndim != 1 or (symbols.size and not np.issubdtype(symbols.dtype, np.integer)):
        raise CorruptStream(
            f"{codec.name}: expected a one-dimensional integer array, got {symbols.ndim}-d {symbols.dtype}"
        )
    if symbols.size and (int(symbols.min()) < 0 or int(symbols.max()) >= vocab.size):
        bad = int(symbols.min()) if int(symbols.min()) < 0 else int(symbols.max())
        raise CorruptStream(
            f"{codec.name}: symbol {bad} is outside 0..{vocab.size - 1}; was this made by another codec?"
        )
    return symbols.astype(dtype, copy=False)


def check_output(codec: str, n_bytes: int, max_output: int | None) -> None:
    """Raise `OutputLimitExceeded` if `n_bytes` is more than `max_output` allows."""
    if max_output is not None and n_bytes > max_output:
        raise OutputLimitExceeded(
            f"{codec}: output exceeds the limit of {max_output} bytes; raise max_output if the data is trusted"
        )


def check_range(codec: str, field_name: str, value: int, low: int, high: int) -> None:
    """Raise `InvalidConfig` unless ``low <= value <= high``."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidConfig(f"{codec}: {field_name} is {value!r}; expected a whole number from {low} to {high}")


__all__ = [
    "Compressor",
    "Ragged",
    "Spans",
    "Symbols",
    "Vocab",
    "check_lossless",
    "check_output",
    "check_range",
    "checked_symbols",
    "digest",
]
