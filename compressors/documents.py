"""Documents from files and folders, in a stated order: arguments as given, folders by sorted relative path, lines in order."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from compressors.errors import InputError

_RECORDS = (".jsonl", ".jsonl.gz", ".jsonl.zst")


@dataclass(frozen=True)
class Document:
    """One text, as bytes; `id` says where it came from."""

    id: str
    data: bytes


@dataclass
class Reader:
    """Reads documents from text files (one document each, any bytes), folders, and `.jsonl[.gz|.zst]` records.

    A record must be a JSON object with a string in `text_field`; others are counted in `n_bad`, or fatal if `strict`.
    Raises `InputError` for a path that is missing or unreadable, and at the end if there was no document at all.
    """

    paths: list[Path]
    text_field: str = "text"
    pattern: str = "*"  # of the files taken from folders
    strict: bool = False
    n_bad: int = 0
    first_bad: str = field(default="")

    def __iter__(self) -> Iterator[Document]:
        self.n_bad, n_documents = 0, 0
        for path in self._files():
            for document in self._records(path) if path.name.endswith(_RECORDS) else self._whole(path):
                n_documents += 1
                yield document
        if n_documents == 0:
            bad = f"; {self.n_bad} bad records, the first: {self.first_bad}" if self.n_bad else ""
            raise InputError(f"no documents in {', '.join(map(str, self.paths)) or 'an empty list of paths'}{bad}")

    def _files(self) -> Iterator[Path]:
        for path in self.paths:
            if path.is_dir():
                inside = (p for p in path.rglob(self.pattern) if p.is_file())
                visible = (p for p in inside if not any(part.startswith(".") for part in p.relative_to(path).parts))
                yield from sorted(visible, key=lambda p: p.relative_to(path).as_posix())
            elif path.exists():
                yield path
            else:
                raise InputError(f"no file or folder {path}")

    def _whole(self, path: Path) -> Iterator[Document]:
        try:
            yield Document(str(path), path.read_bytes())
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from error

    def _records(self, path: Path) -> Iterator[Document]:
        import zstandard

        try:
            with open(path, "rb") as file, _decompressed(file, path.name) as lines:
                for number, line in enumerate(lines, 1):
                    try:
                        yield Document(f"{path}:{number}", json.loads(line)[self.text_field].encode())
                    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
                        self._bad(f"{path}:{number}: {error!r}")
        except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"cannot read {path}: {error}") from error

    @property
    def bad_records(self) -> str:
        """How many were left out, and the first of them; for a person to read."""
        return f"{self.n_bad} bad records skipped; the first: {self.first_bad}"

    def _bad(self, what: str) -> None:
        if self.strict:
            raise InputError(f"bad record, expected a JSON object with a string in {self.text_field!r}: {what}")
        self.n_bad += 1
        self.first_bad = self.first_bad or what


def _decompressed(file: BinaryIO, name: str) -> BinaryIO:
    if name.endswith(".gz"):
        return gzip.GzipFile(fileobj=file)  # type: ignore[return-value]
    if name.endswith(".zst"):
        import zstandard

        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        return io.BufferedReader(reader, 1 << 20)
    return file
