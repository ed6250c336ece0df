"""Compressors side by side: a table for each product of theirs, the smallest files first."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bench.markdown import Table, table

Row = dict[str, Any]
Best = Callable[[Iterable[float]], float]  # min or max
Columns = dict[str, tuple[str, str]]  # heading -> (key of a row, format)
FILES: Columns = {
    "ratio": ("ratio", ".2f"),
    "bits per byte, each document": ("document_bits_per_byte", ".3f"),
    "as one file": ("whole_bits_per_byte", ".3f"),
    "documents and model": ("with_model", ".3f"),
    "compress MB/s": ("compress_mb_s", ",.1f"),
    "decompress MB/s": ("decompress_mb_s", ",.1f"),
    "time of a call over the library's": ("call_ratio", ".2f"),
    "peak MB": ("peak_mb", ",.0f"),
    "model bytes": ("model_bytes", ",d"),
}
SYMBOLS: Columns = {
    "bytes per symbol": ("bytes_per_symbol", ".2f"),
    "vocabulary": ("vocabulary", ",d"),
    "unigram bits per symbol": ("unigram_bits_per_symbol", ".2f"),
    "encode MB/s": ("encode_mb_s", ",.1f"),
    "encode one by one": ("encode_one_mb_s", ",.1f"),
    "decode MB/s": ("decode_mb_s", ",.1f"),
    "distance at 10 % deletion": ("distance", ".3f"),
    "colliding chunks": ("colliding", ".0%"),
}
# The order in which a narrow terminal goes without columns, and the better end of each column.
_DROPS = (
    "time of a call over the library's", "documents and model", "encode one by one", "unigram bits per symbol", "as one file",
    "model bytes", "colliding chunks", "peak MB", "decode MB/s", "decompress MB/s", "vocabulary", "distance at 10 % deletion",
)  # fmt: skip
_BEST: Mapping[str, Best] = {
    "ratio": max, "bits per byte, each document": min, "as one file": min, "documents and model": min, "compress MB/s": max,
    "decompress MB/s": max, "peak MB": min, "bytes per symbol": max, "unigram bits per symbol": min, "encode MB/s": max,
    "encode one by one": max, "decode MB/s": max, "distance at 10 % deletion": min, "colliding chunks": min,
}  # fmt: skip


def with_ratio(row: Row) -> Row:
    """The row with the ratio of its files: bytes of the documents over bytes of the streams."""
    bits = row.get("document_bits_per_byte")
    return row | ({"ratio": 8 / bits} if bits else {})


def ranked(rows: Sequence[Row]) -> list[Row]:
    """The smallest files first; then what has no files, as it came."""
    return sorted(map(with_ratio, rows), key=lambda row: row.get("document_bits_per_byte") or math.inf)


def codecs(rows: Sequence[Row]) -> list[Table]:
    """Files and symbols; a dash where a measure does not apply, no column where nobody took it."""
    files = _table("compressor", FILES, ranked(rows), lambda row: "document_bits_per_byte" in row)
    symbols = _table("symbols of", SYMBOLS, rows, lambda row: "encode_mb_s" in row or "bytes_per_symbol" in row)
    return [found for found in (files, symbols) if found.rows]


def one(rows: Sequence[Row]) -> Table:
    """Files and symbols in one table, for CSV."""
    return _table("name", FILES | SYMBOLS, ranked(rows), lambda row: True)


def _table(first: str, columns: Columns, rows: Sequence[Row], belongs: Callable[[Row], bool]) -> Table:
    """The rows that belong to a product, with the columns that at least one of them has a value
    for.
    """
    rows = [row for row in rows if belongs(row)]
    shown = {title: cell for title, cell in columns.items() if any(row.get(cell[0]) is not None for row in rows)}
    cells = ([row["name"], *(_cell(row.get(key), spec) for key, spec in shown.values())] for row in rows)
    return table([first, *shown], cells, drops=_DROPS, best=_BEST)


def _cell(value: Any, spec: str) -> str | None:
    """A value in the format of its column; None stays None, and becomes a dash."""
    return None if value is None else format(value, spec)


def described(facts: dict[str, Any]) -> str:
    """The tables, and what they were measured on, as Markdown."""
    return "\n\n".join(map(str, (*codecs(facts["rows"]), measured_on(facts))))


def measured_on(facts: dict[str, Any]) -> str:
    """The texts, threads, rounds and machine of a result."""
    threads = "one thread" if facts["threads"] == 1 else f"{facts['threads']} threads"
    slow = [row["name"] for row in facts["rows"] if row.get("rounds", facts["rounds"]) < facts["rounds"]]
    rounds = "one round" if facts["rounds"] == 1 else f"medians of {facts['rounds']} rounds"
    fewer = f" ({', '.join(slow)}: one)" if slow else ""
    return (
        f"{', '.join(facts['corpus'])}: {facts['documents']:,} documents, {facts['bytes']:,} bytes "
        f"(SHA-256 {facts['corpus_sha256'][:16]}); {threads}, {rounds}{fewer}; {facts['environment']}."
    )
