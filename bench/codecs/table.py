"""Compressors side by side, as Markdown: a table for each product of theirs, the smallest files
first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from bench import markdown

Row = dict[str, Any]
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


def with_ratio(row: Row) -> Row:
    """The row with the ratio of its files: bytes of the documents over bytes of the streams."""
    bits = row.get("document_bits_per_byte")
    return row | ({"ratio": 8 / bits} if bits else {})


def ranked(rows: Sequence[Row]) -> list[Row]:
    """The smallest files first; then what has no files, as it came."""
    return sorted(map(with_ratio, rows), key=lambda row: row.get("document_bits_per_byte") or math.inf)


def codecs(rows: Sequence[Row]) -> str:
    """Files and symbols; a dash where a measure does not apply, no column where nobody took it."""
    files = _table("compressor", FILES, ranked(rows), lambda row: "document_bits_per_byte" in row)
    symbols = _table("symbols of", SYMBOLS, rows, lambda row: "encode_mb_s" in row or "bytes_per_symbol" in row)
    return "\n\n".join(filter(None, (files, symbols)))


def _table(first: str, columns: Columns, rows: Sequence[Row], belongs: Callable[[Row], bool]) -> str:
    """The rows that belong to a product, with the columns that at least one of them has a value
    for; empty without rows.
    """
    rows = [row for row in rows if belongs(row)]
    shown = {title: cell for title, cell in columns.items() if any(row.get(cell[0]) is not None for row in rows)}
    cells = ([row["name"], *(_cell(row.get(key), spec) for key, spec in shown.values())] for row in rows)
    return markdown.table([first, *shown], cells) if rows else ""


def _cell(value: Any, spec: str) -> str | None:
    """A value in the format of its column; None stays None, and becomes a dash."""
    return None if value is None else format(value, spec)


def described(facts: dict[str, Any]) -> str:
    """The tables, and what they were measured on."""
    threads = "one thread" if facts["threads"] == 1 else f"{facts['threads']} threads"
    slow = [row["name"] for row in facts["rows"] if row.get("rounds", facts["rounds"]) < facts["rounds"]]
    rounds = "one round" if facts["rounds"] == 1 else f"medians of {facts['rounds']} rounds"
    fewer = f" ({', '.join(slow)}: one)" if slow else ""
    return (
        f"{codecs(facts['rows'])}\n\n{', '.join(facts['corpus'])}: {facts['documents']:,} documents, {facts['bytes']:,} bytes "
        f"(SHA-256 {facts['corpus_sha256'][:16]}); {threads}, {rounds}{fewer}; {facts['environment']}."
    )
