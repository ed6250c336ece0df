"""Documents from files and folders, in a stated order: arguments as given, folders by sorted relative path, records in order."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from compressors import sources
from compressors.errors import InputError
from compressors.sources import Source

_RECORDS = (".jsonl", ".jsonl.gz", ".jsonl.zst")
_TEXTS = {"string", "large_string", "string_view", "binary", "large_binary", "binary_view"}  # columns of a Parquet file
_ROWS = 64  # of a Parquet file held at once


@dataclass(frozen=True)
class Document:
    """One text, as bytes; `id` says where it came from, `n_read` how many bytes of the input had been read with it."""

    id: str
    data: bytes
    n_read: int = 0


@dataclass
class Reader:
    """Reads documents from text files (one document each, any bytes), folders, `.jsonl[.gz|.zst]`, and `.parquet`.

    Paths with ``://`` are read through fsspec. A record must be a JSON object with a string in `text_field`, a row have
    a string or bytes in that column; others are counted in `n_bad`, or fatal if `strict`.
    Raises `InputError` for a path that is missing or unreadable, and at the end if there was no document at all.
    """

    paths: list[Path | str]
    text_field: str = "text"
    pattern: str = "*"  # of the files taken from folders
    strict: bool = False
    n_bad: int = 0
    first_bad: str = field(default="")

    def __iter__(self) -> Iterator[Document]:
        self.n_bad, n_documents, n_before = 0, 0, 0
        for source in sources.find(self.paths, self.pattern):
            for document in self._documents(source, n_before):
                n_documents += 1
                yield document
            n_before += source.size
        if n_documents == 0:
            bad = f"; {self.n_bad} bad records, the first: {self.first_bad}" if self.n_bad else ""
            raise InputError(f"no documents in {', '.join(map(str, self.paths)) or 'an empty list of paths'}{bad}")

    @property
    def size(self) -> int:
        """Bytes of all files, as they are stored: what `Document.n_read` goes up to."""
        return sum(source.size for source in sources.find(self.paths, self.pattern))

    @property
    def bad_records(self) -> str:
        """How many were left out, and the first of them; for a person to read."""
        return f"{self.n_bad} bad records skipped; the first: {self.first_bad}"

    def _documents(self, source: Source, n_before: int) -> Iterator[Document]:
        """Those of one file; `n_before` bytes were read of the files before it."""
        try:
            with source.open() as file:
                if source.name.endswith(_RECORDS):
                    yield from self._records(source, file, n_before)
                elif source.name.endswith(".parquet"):
                    yield from self._rows(source, file, n_before)
                else:
                    yield Document(source.name, file.read(), n_before + source.size)
        except (OSError, EOFError, zlib.error) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"cannot read {source.name}: {getattr(error, 'strerror', None) or error}") from error

    def _records(self, source: Source, file: BinaryIO, n_before: int) -> Iterator[Document]:
        import zstandard

        try:
            with _decompressed(file, source.name) as lines:
                for number, line in enumerate(lines, 1):
                    try:
                        data = json.loads(line)[self.text_field].encode()
                    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
                        self._bad(f"{source.name}:{number}: {error!r}")
                    else:
                        yield Document(f"{source.name}:{number}", data, n_before + file.tell())
        except zstandard.ZstdError as error:
            raise InputError(f"cannot read {source.name}: {error}") from error

    def _rows(self, source: Source, file: BinaryIO, n_before: int) -> Iterator[Document]:
        """Page by page: some files have a single row group, so that to hold one would be to hold the file."""
        import pyarrow
        from pyarrow import parquet

        number = 0
        try:
            opened = parquet.ParquetFile(file, buffer_size=1 << 20, page_checksum_verification=True)
            self._check_column(source, opened.schema_arrow)
            for batch in opened.iter_batches(_ROWS, columns=[self.text_field], use_threads=False):
                column = batch.column(0)
                column = column.dictionary_decode() if pyarrow.types.is_dictionary(column.type) else column
                for data in column.cast(pyarrow.large_binary()).to_pylist():  # bytes: nobody checked that it is UTF-8
                    number += 1
                    if data is None:
                        self._bad(f"{source.name}:{number}: null")
                    else:
                        n_read = source.size * number // opened.metadata.num_rows
                        yield Document(f"{source.name}:{number}", data, n_before + n_read)
        except pyarrow.ArrowException as error:
            raise InputError(f"cannot read {source.name}: {error}") from error

    def _check_column(self, source: Source, schema: Any) -> None:
        if self.text_field not in schema.names:
            known = ", ".join(map(repr, schema.names))
            raise InputError(
                f"{source.name} has no column {self.text_field!r}, it has: {known}; choose one with --field"
            )
        kind = schema.field(self.text_field).type
        if str(getattr(kind, "value_type", kind)) not in _TEXTS:
            raise InputError(f"{source.name}: column {self.text_field!r} has {kind}, expected strings or bytes")

    def _bad(self, what: str) -> None:
        if self.strict:
            raise InputError(f"bad record, expected a string in {self.text_field!r}: {what}")
        self.n_bad += 1
        self.first_bad = self.first_bad or what


def _decompressed(file: BinaryIO, name: str) -> BinaryIO:
    if name.endswith(".gz"):
        return gzip.GzipFile(fileobj=file)  # type: ignore[return-value] # it reads as one
    if name.endswith(".zst"):
        import zstandard

        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        return io.BufferedReader(reader, 1 << 20)
    return file
