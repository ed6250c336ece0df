"""Markdown: the one table of all benches, and files made of sections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from compressors.atomic import write_atomically
from compressors.cli.table import DASH, Table

__all__ = ["DASH", "Table", "table", "write"]


def table(heads: Sequence[str], rows: Iterable[Sequence[str | None]], text: int = 1, **more: Any) -> Table:
    """The table of all benches; `str` of it is Markdown. more: `drops` and `best` of `Table`."""
    return Table(list(heads), list(rows), text, **more)


def write(path: Path, sections: Sequence[tuple[str, str]]) -> None:
    """Write a file of (heading, text) sections; a section with an empty heading is text only."""
    parts = (f"## {heading}\n\n{text}\n" if heading else f"{text}\n" for heading, text in sections)
    write_atomically(path, "\n".join(parts).encode())
