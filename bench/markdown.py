"""Markdown: the one table of all benches, and files made of sections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from compressors.atomic import write_atomically

DASH = "-"  # in place of what was not measured


def table(heads: Sequence[str], rows: Iterable[Sequence[str | None]], text: int = 1) -> str:
    """Rows under their heads.

    The first `text` columns are words, at the left; the others are numbers, at the right.

    A cell that is None becomes a dash. Raises `ValueError` if a row has more or fewer cells than
    there are heads.
    """
    marks = ["---"] * text + ["---:"] * (len(heads) - text)
    lines = [_line(heads), f"|{'|'.join(marks)}|"]
    for row in rows:
        if len(row) != len(heads):
            raise ValueError(f"a row of {len(row)} cells under {len(heads)} heads: {row}")
        lines.append(_line([DASH if cell is None else cell for cell in row]))
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    """One line of a table."""
    return f"| {' | '.join(cells)} |"


def write(path: Path, sections: Sequence[tuple[str, str]]) -> None:
    """Write a file of (heading, text) sections; a section with an empty heading is text only."""
    parts = (f"## {heading}\n\n{text}\n" if heading else f"{text}\n" for heading, text in sections)
    write_atomically(path, "\n".join(parts).encode())
