"""Documents from files and folders, in a stated order.

The order: arguments as given, the files of a folder by sorted relative path, records as they stand
in
their file. `Reader` reads paths, `documents` takes whatever else holds documents. `corpus_sources`
finds
and opens the files, `corpus_formats` decompresses them and tells what they hold. `proxyc fit`,
`proxyc
encode` and the benches read their text through this module.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compressors import corpus_formats, corpus_sources
from compressors.corpus_formats import Content
from compressors.corpus_sources import Choice, Source
from compressors.errors import InputError, InvalidConfig
from compressors.sampling import Sample

_TEXTS = {"string", "large_string", "string_view", "binary", "large_binary", "binary_view"}  # columns of a Parquet file
_ROWS = 64  # of a Parquet file held at once
_BLOCK = 1 << 20  # bytes; a larger document is sampled in blocks


@dataclass(frozen=True)
class Document:
    """One text, as bytes; `id` says where it came from, `n_read` how many bytes of the input had been read with it."""

    id: str
    data: bytes
    n_read: int = 0


@dataclass
class Reader:
    """Reads documents from text files (one document each, any bytes), folders, JSON lines, and Parquet.

    Files may be compressed with gzip, zstd, xz, bzip2 or brotli, under any name; paths with ``://`` are read through
    fsspec. Names in ``.jsonl`` or ``.ndjson`` hold a record a line; names in ``.json`` or without a suffix do where the
    first line is a JSON object by itself. A record must be an object with a string in `text_field`, a row have
    a string or bytes in that column; others are counted in `n_bad`, or fatal if `strict`.
    Raises `InputError` for what is missing, unreadable, damaged, cut short, or an archive, and at the end if there was
    no document at all.
    """

    paths: Sequence[Path | str] | Path | str
    text_field: str = "text"
    pattern: str = "*"  # of the files taken from folders
    strict: bool = False
    exclude: tuple[str, ...] = ()  # patterns of files to leave out
    n_bad: int = field(default=0, init=False)
    first_bad: str = field(default="", init=False)

    def __iter__(self) -> Iterator[Document]:
        self.n_bad, self.first_bad, n_documents, n_before = 0, "", 0, 0
        for source in list(self._sources()):  # what is missing is said before the work
            for document in self._documents(source, n_before):
                n_documents += 1
                yield document
            n_before += source.size
        if n_documents == 0:
            bad = f"; {self.n_bad} bad records, the first: {self.first_bad}" if self.n_bad else ""
            raise InputError(f"no documents in {', '.join(map(str, self._paths)) or 'an empty list of paths'}{bad}")

    @property
    def size(self) -> int:
        """Bytes of all files, as they are stored: what `Document.n_read` goes up to."""
        return sum(source.size for source in self._sources())

    @property
    def bad_records(self) -> str:
        """How many were left out, and the first of them; for a person to read."""
        return f"{self.n_bad} bad records skipped; the first: {self.first_bad}"

    def sample(self, n_bytes: int) -> list[bytes]:
        """Documents of `n_bytes` together, chosen by hash; of large ones, blocks of 1 MiB. Raises `InvalidConfig`.

        Everything is read, and `n_bytes` are held. The sample does not depend on the order of the files.
        """
        if n_bytes < 1:
            raise InvalidConfig(f"sample is {n_bytes}; expected a number of bytes, at least 1")
        chosen = Sample(n_bytes)
        for document in self:
            for start in range(0, max(len(document.data), 1), _BLOCK):
                chosen.add(document.data[start : start + _BLOCK])
        return chosen.documents()

    @property
    def _paths(self) -> list[Path | str]:
        return [self.paths] if isinstance(self.paths, str | Path) else list(self.paths)

    def _sources(self) -> Iterator[Source]:
        return corpus_sources.find(self._paths, Choice(self.pattern, self.exclude))

    def _documents(self, source: Source, n_before: int) -> Iterator[Document]:
        """Those of one file; `n_before` bytes were read of the files before it."""
        with corpus_formats.opened(source) as content:
            if content.kind == "parquet":
                yield from self._rows(source, content, n_before)
                return
            # The name leaves open what is inside: the first two lines decide, and are then put back
            # in front.
            first = content.file.readline() if content.kind == "open" else b""
            second = content.file.readline() if first else b""
            if content.kind == "records" or (first and self._are_records(first, second)):
                yield from self._records(source, content, itertools.chain([first, second], content.file), n_before)
            else:
                yield Document(source.name, first + second + content.file.read(), n_before + source.size)

    def _are_records(self, first: bytes, second: bytes) -> bool:
        """One JSON value is one text; two objects on two lines are not, nor is one with the field that is asked for."""
        try:
            record = json.loads(first)
        except (ValueError, RecursionError):
            return False
        return isinstance(record, dict) and (
            second.lstrip().startswith(b"{") or isinstance(record.get(self.text_field), str)
        )

    def _records(self, source: Source, content: Content, lines: Iterable[bytes], n_before: int) -> Iterator[Document]:
        """One document for each line of JSON; its id is NAME:LINE. A line that does not fit is a bad
        record.
        """
        # `first` and `second` are empty where nothing had to be looked at.
        for number, line in enumerate((line for line in lines if line), 1):
            if not line.strip():  # pandas, pyarrow and datasets skip blank lines, too
                continue
            try:
                data = json.loads(line)[self.text_field].encode()
            except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
                self._bad(f"{source.name}:{number}: {error!r:.200}")
            else:
                # What a server has decompressed on the way is longer than what it stores.
                n_read = min(content.n_read, source.size or content.n_read)
                yield Document(f"{source.name}:{number}", data, n_before + n_read)

    def _rows(self, source: Source, content: Content, n_before: int) -> Iterator[Document]:
        """Page by page: some files have a single row group, so that to hold one would be to hold the file."""
        import pyarrow
        from pyarrow import parquet

        number = 0
        try:
            opened = parquet.ParquetFile(content.file, buffer_size=1 << 20, page_checksum_verification=True)
            self._check_column(source, opened.schema_arrow)
            for batch in opened.iter_batches(_ROWS, columns=[self.text_field], use_threads=False):
                column = batch.column(0)
                column = column.dictionary_decode() if pyarrow.types.is_dictionary(column.type) else column
                for data in column.cast(pyarrow.large_binary()).to_pylist():  # bytes: nobody checked that it is UTF-8
                    number += 1
                    if data is None:
                        self._bad(f"{source.name}:{number}: null")
                    else:
                        # Parquet is not read from front to back: the share of the rows stands for
                        # the share of the bytes.
                        n_read = source.size * number // opened.metadata.num_rows
                        yield Document(f"{source.name}:{number}", data, n_before + n_read)
        except (pyarrow.ArrowException, OSError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"cannot read {source.name}: {error}") from error

    def _check_column(self, source: Source, schema: Any) -> None:
        """Raise `InputError` unless the text column exists and holds strings or bytes, plain or by
        dictionary.
        """
        if self.text_field not in schema.names:
            known = ", ".join(map(repr, schema.names))
            raise InputError(
                f"{source.name} has no column {self.text_field!r}, it has: {known}; choose one with --field"
            )
        kind = schema.field(self.text_field).type
        if str(getattr(kind, "value_type", kind)) not in _TEXTS:
            raise InputError(f"{source.name}: column {self.text_field!r} has {kind}, expected strings or bytes")

    def _bad(self, what: str) -> None:
        """Count one bad record, `what` says which and why; raise `InputError` if `strict`."""
        if self.strict:
            raise InputError(f"bad record, expected a string in {self.text_field!r}: {what}")
        self.n_bad += 1
        self.first_bad = self.first_bad or what


def documents(source: Iterable[Any] | Path | str, text_field: str = "text") -> Iterator[Document]:
    """Whatever has documents, as documents: a path or URL, a `Reader`, or an iterable, also one that streams.

    Its items are `Document`, bytes, strings, or mappings with a string or bytes in `text_field`, as the rows of Hugging
    Face `datasets` are; an `id` in a mapping is kept. Raises `InputError` for any other item, and for what is one document
    or a mapping of corpora.
    """
    if isinstance(source, Mapping):  # its items would be its keys
        raise InputError(f"a mapping is not a corpus; choose one of its parts: {', '.join(map(str, source))[:60]}")
    if isinstance(source, bytes | bytearray | memoryview):  # its items would be numbers
        raise InputError("bytes are one document, not a corpus; put them in a list")
    items = Reader(source, text_field) if isinstance(source, str | Path) else source
    for number, item in enumerate(items, 1):
        if isinstance(item, Document):
            yield item
            continue
        row = isinstance(item, Mapping)
        data = item.get(text_field) if row else item
        if not isinstance(data, str | bytes | bytearray | memoryview):
            kind = f"a mapping with {data!r:.40} in {text_field!r}" if row else type(item).__name__
            raise InputError(f"document {number} is {kind}; expected bytes, a string, or a mapping with a string there")
        name = item.get("id") if row else None
        try:
            text = data.encode() if isinstance(data, str) else bytes(data)
        except UnicodeEncodeError as error:
            raise InputError(f"document {number} is not text that UTF-8 can hold: {error}") from error
        yield Document(f"row:{number}" if name is None else str(name), text)


def take(documents: Iterable[Document], n_bytes: int | None = None) -> Iterator[Document]:
    """Whole documents, in order, until they hold `n_bytes` together; None: all. No more are read than are given."""
    left = n_bytes
    # The check comes after the yield: the document that crosses the limit is still given whole.
    for document in documents if left is None or left > 0 else ():
        yield document
        if left is not None:
            left -= len(document.data)
            if left <= 0:
                return


def fingerprint(documents: Iterable[bytes]) -> str:
    """SHA-256, 64 hex digits, of the documents with a NUL between them: the digest of a corpus in all results."""
    digest = hashlib.sha256()
    for number, data in enumerate(documents):
        digest.update(b"\0" if number else b"")
        digest.update(data)
    return digest.hexdigest()


__all__ = ["Document", "Reader", "documents", "fingerprint", "take"]
