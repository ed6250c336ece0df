"""The table of all commands: within the width of a terminal, or whole as Markdown, CSV or records for JSON.

`rich` draws it. It is imported when something is drawn, so that help does not wait for it.
"""

from __future__ import annotations

import csv
import io
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from compressors.cli.shown import shown

DASH = "-"  # in place of what was not measured
_GAP = 2  # blanks between two columns
_NARROWEST = 4  # characters of a column whose cells are cut
_HEAD_LINES = 2  # a column gets room for a head of this number of lines, if there is any
_NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*(?:e[-+]?\d+)?")  # that a cell begins with: 1,234 or 1.234 (1.2 to 1.3)


@dataclass(frozen=True)
class Table:
    """Rows under their heads. As text (`str`) it is Markdown.

    The first `text` columns are words, at the left; the others are numbers, at the right. A cell
    that is None becomes a dash. Raises `ValueError` if a row has more or fewer cells than there
    are heads.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str | None]]
    text: int = 1
    drops: Sequence[str] = ()
    """Heads in the order in which a narrow terminal goes without them; then the others from the right."""
    best: Mapping[str, Callable[[Iterable[float]], float]] = field(default_factory=dict)
    """Head -> min or max: which value of that column is printed bold."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.heads):
                raise ValueError(f"a row of {len(row)} cells under {len(self.heads)} heads: {row}")

    def __str__(self) -> str:
        """Markdown, with all columns."""
        marks = ["---"] * self.text + ["---:"] * (len(self.heads) - self.text)
        lines = [f"| {' | '.join(self.heads)} |", f"|{'|'.join(marks)}|"]
        lines += [f"| {' | '.join(_or_dash(row))} |" for row in self.rows]
        return "\n".join(lines)

    def csv(self) -> str:
        """Comma-separated values; numbers without commas, nothing where there is a dash."""
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([self.heads, *(map(_bare, row) for row in self.rows)])
        return out.getvalue().rstrip("\n")

    def records(self) -> list[dict[str, Any]]:
        """A mapping of each row, head -> number or words, for JSON."""
        return [dict(zip(self.heads, map(_value, row), strict=True)) for row in self.rows]

    def fitted(self, width: int | None, *, colour: bool = False) -> str:
        """For a terminal of `width` columns: no line is longer, and no cell is broken.

        Columns without a value are left out; of the others a line below names those that do not
        fit. None: all columns, however wide.
        """
        cells = [[shown(cell) for cell in _or_dash(row)] for row in self.rows]
        kept = self._kept(cells, width)
        widths = _widths([self.heads[i] for i in kept], [[row[i] for row in cells] for i in kept], width)
        lines = self._drawn(cells, dict(zip(kept, widths, strict=True)), colour)
        missing = [
            head or "one without a name" for i, head in enumerate(self.heads) if i in self._known() and i not in kept
        ]
        is_cut = any(_length(row[i]) > wide for row in cells for i, wide in zip(kept, widths, strict=True))
        notes = [f"left out here: {', '.join(missing)}"] if missing else []
        notes += ["what ends in … is cut"] if is_cut else []
        if notes:
            note = f"{'; '.join(notes)}; --wide shows all"
            lines += (_dim(line, colour) for line in textwrap.wrap(note, width or len(note)))
        return "\n".join(lines)

    def _known(self) -> list[int]:
        """Numbers of the columns with a value, and of the first."""
        return [i for i in range(len(self.heads)) if not i or any(row[i] not in (None, DASH) for row in self.rows)]

    def _kept(self, cells: list[list[str]], width: int | None) -> list[int]:
        """Numbers of the columns that fit, at least the first one and the one that is dropped last."""
        if width is None:
            return list(range(len(self.heads)))
        kept = self._known()
        dropped = [i for head in self.drops for i in kept if i and self.heads[i] == head]
        dropped += [i for i in reversed(kept) if i and i not in dropped]
        for i in dropped[:-1]:
            needed = (_narrowest(self.heads[k], [row[k] for row in cells]) for k in kept)
            if sum(needed) + _GAP * (len(kept) - 1) <= width:
                break
            kept.remove(i)
        return kept

    def _drawn(self, cells: list[list[str]], widths: Mapping[int, int], colour: bool) -> list[str]:
        """Lines of the columns `widths` (number -> characters), the best values in bold."""
        from rich.table import Table as Drawing
        from rich.text import Text

        drawing = Drawing(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="cyan")
        for i, wide in widths.items():
            side: Any = "left" if i < self.text else "right"
            drawing.add_column(Text(self.heads[i]), width=wide, justify=side, overflow="fold")
        best = {i: self._best(self.heads[i], [row[i] for row in cells]) for i in widths}
        for row in cells:
            texts = (Text(_cut(row[i], wide), "bold" if row[i] in best[i] else "") for i, wide in widths.items())
            drawing.add_row(*texts)
        return drawn(drawing, sum(widths.values()) + _GAP * len(widths), colour=colour).splitlines()

    def _best(self, head: str, column: Sequence[str]) -> set[str]:
        """The cells of a column that hold its best value; none where all are equal."""
        found = {cell: _number(cell) for cell in column}
        numbers = {value for value in found.values() if value is not None}
        if head not in self.best or len(numbers) < 2:
            return set()
        return {cell for cell, value in found.items() if value == self.best[head](numbers)}


def drawn(what: Any, width: int, *, colour: bool) -> str:
    """What `rich` makes of something: without codes for colours unless `colour`, without blanks at the ends of lines."""
    from rich.console import Console

    console = Console(
        file=io.StringIO(), width=width, force_terminal=colour, no_color=not colour, highlight=False,
        color_system="standard" if colour else None, legacy_windows=False,
    )  # fmt: skip
    console.print(what)
    out = console.file
    assert isinstance(out, io.StringIO)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def _dim(line: str, colour: bool) -> str:
    """A remark: less bright where there are colours."""
    return f"\033[2m{line}\033[0m" if colour else line


def _or_dash(row: Iterable[str | None]) -> list[str]:
    """The cells of a row, a dash for each that is None."""
    return [DASH if cell is None else cell for cell in row]


def _length(text: str) -> int:
    """Columns of a terminal that a text takes; Chinese characters take two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _narrowest(head: str, column: Iterable[str]) -> int:
    """The width at which no cell is broken, and no word of the head, which may have several lines."""
    return max(map(_length, [*column, *head.split(), ""]))


def _widths(heads: Sequence[str], columns: Sequence[Sequence[str]], width: int | None) -> list[int]:
    """Of each column. What is left of `width` goes to heads of many lines; where it is too little, the widest are cut."""
    if width is None:
        return [max(map(_length, [head, *column])) for head, column in zip(heads, columns, strict=True)]
    widths = [_narrowest(head, column) for head, column in zip(heads, columns, strict=True)]
    room = width - _GAP * (len(widths) - 1)
    while sum(widths) > room and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    for i, head in enumerate(heads):
        while sum(widths) < room and len(textwrap.wrap(head, widths[i] or 1)) > _HEAD_LINES:
            widths[i] += 1
    return widths


def _cut(cell: str, width: int) -> str:
    """A cell as far as it fits, with a mark where the rest is missing."""
    if _length(cell) <= width:
        return cell
    while _length(cell) > width - 1:
        cell = cell[:-1]
    return cell + "…"


def _number(cell: str | None) -> float | None:
    """The number that a cell begins with."""
    match = _NUMBER.match(cell or "")
    return float(match[0].replace(",", "")) if match else None


def _bare(cell: str | None) -> str:
    """A cell of CSV."""
    if cell is None or cell == DASH:
        return ""
    return cell.replace(",", "") if _NUMBER.fullmatch(cell) else cell


def _value(cell: str | None) -> Any:
    """A cell of JSON."""
    if cell is None or not _NUMBER.fullmatch(cell):
        return None if cell == DASH else cell
    bare = _bare(cell)
    return int(bare) if re.fullmatch(r"[-+]?\d+", bare) else float(bare)
