"""Cuts drawn in a terminal: pieces in alternating colours, what an edit changes, what bytes cost.

`drawn` gives the text that `proxyc show` prints, with escape codes for colours or with marks in
their
place. `picture` gives the same as SVG, for the documentation. Both draw with `rich`.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.cells import cell_len
from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

from compressors.errors import counted
from compressors.show.cut import Cut, changed_symbols, visible

Costs: TypeAlias = "Sequence[tuple[str, npt.NDArray[np.float64]]]"  # name, (n,) bits of each byte

# Two backgrounds that differ on light and dark terminals, and one for symbols that differ after an edit.
_PIECES = ("white on grey35", "white on deep_sky_blue4")
_CHANGED = "bold white on red3"
_HEAT = ("grey35", "white", "khaki1", "orange1", "red1")  # a character below 0.5, 2, 4, 8 bits, and above
_STEPS = (0.5, 2.0, 4.0, 8.0)
_SHOWN_SYMBOLS = 24  # of a view without pieces


def drawn(
    cuts: Sequence[Cut],
    edits: Sequence[Cut] = (),
    costs: Costs = (),
    *,
    width: int = 80,
    colour: bool = True,
    most: int = 2000,
) -> str:
    """What to print: each view of the text under the other, the first `most` bytes of it.

    edits: the same views of the edited text.
    costs: name and (n,) bits of each byte of the text.
    """
    console = _console(width, colour)
    _print(console, cuts, edits, costs, colour=colour, most=most)
    out = console.file
    assert isinstance(out, io.StringIO)
    return out.getvalue()


def picture(
    cuts: Sequence[Cut], edits: Sequence[Cut] = (), costs: Costs = (), *, width: int = 80, most: int = 2000
) -> str:
    """The same as an SVG picture of a terminal, as wide as what it shows; it asks for no font from elsewhere."""
    console = _console(width, colour=True, record=True)
    _print(console, cuts, edits, costs, colour=True, most=most)
    # rich's frame loads its font from a server: cut that out, and let the viewer take any monospace
    # font.
    frame = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL).replace("Fira Code, ", "")
    # With a size in pixels a page shows it as large as its text, not as wide as the page.
    frame = frame.replace("<svg ", '<svg width="{width}" height="{height}" ', 1)
    console.width = max(map(cell_len, console.export_text(clear=False).rstrip().split("\n")))
    # The name in the SVG's classes is a checksum of what it shows, so equal pictures are equal files.
    return console.export_svg(title="", theme=SVG_EXPORT_THEME, code_format=frame)


def _console(width: int, colour: bool, record: bool = False) -> Console:
    """A console that writes into memory; 256 colours, so that what it gives does not depend on the
    terminal.
    """
    return Console(
        file=io.StringIO(), width=width, force_terminal=colour, no_color=not colour, highlight=False, record=record,
        color_system="256" if colour else None, legacy_windows=False,
    )  # fmt: skip


def _print(
    console: Console, cuts: Sequence[Cut], edits: Sequence[Cut], costs: Costs, *, colour: bool, most: int
) -> None:
    """Each view with its edited twin under it, then each codec's costs."""
    for i, cut in enumerate(cuts):
        console.print(_head(cut))
        console.print(_body(cut, most, colour))
        if edits:
            marks = changed_symbols(cut.symbols, edits[i].symbols)
            console.print(Text(f"after the edit {int(marks.sum()):,} of {len(marks):,} symbols differ", "italic"))
            console.print(_body(edits[i], most, colour, marks))
        console.print()
    for name, bits in costs:
        console.print(_cost_head(name, bits))
        console.print(_heat(cuts[0].data[:most], bits))
        console.print()


def _head(cut: Cut) -> Text:
    """The line above a view: its name, symbols, bytes, and their ratio."""
    line = Text(cut.view, "bold")
    line.append(
        f"  {counted(len(cut.symbols), 'symbol')} for {counted(len(cut.data), 'byte')}, {cut.bytes_per_symbol:.2f} bytes a symbol",
        "not bold",
    )
    return line


def _body(cut: Cut, most: int, colour: bool, marks: npt.NDArray[np.bool_] | None = None) -> Text:
    """The pieces of a cut, or its first symbols where it has none; `marks` (n,) are the symbols to point out."""
    if cut.spans is None:
        return _numbers(cut, marks)
    text = Text(overflow="fold")
    shown = 0
    for i, piece in enumerate(cut.pieces):
        if shown + len(piece) > most:
            text.append(f" … {len(cut.data) - shown:,} bytes more", "dim")
            break
        shown += len(piece)
        is_marked = marks is not None and bool(marks[i])
        _append(text, piece, _CHANGED if is_marked else _PIECES[i % 2], colour, "[]" if is_marked else "|")
    if text.plain.endswith("\n"):  # printing ends the line anyway
        text.right_crop(1)
    return text


def _append(text: Text, piece: bytes, style: str, colour: bool, marks: str) -> None:
    """Add a piece; without colours, marks stand around it. A colour ends before a line does."""
    if not colour:
        text.append(f"{marks[0]}{visible(piece)}{marks[1:]}")
        return
    for line in visible(piece).splitlines(keepends=True):
        text.append(line.rstrip("\n"), style)
        text.append("\n" if line.endswith("\n") else "")


def _numbers(cut: Cut, marks: npt.NDArray[np.bool_] | None) -> Text:
    """The first symbols of a view that does not align with bytes."""
    text = Text(overflow="fold")
    for i, symbol in enumerate(cut.symbols[:_SHOWN_SYMBOLS].tolist()):
        text.append(str(symbol), _CHANGED if marks is not None and marks[i] else _PIECES[i % 2])
        text.append(" ")
    if len(cut.symbols) > _SHOWN_SYMBOLS:
        text.append("…", "dim")
    return text


def _cost_head(name: str, bits: npt.NDArray[np.float64]) -> Text:
    """The line above a heat map: the codec, its mean cost, and the legend of the colours."""
    line = Text(name, "bold")
    line.append(f"  {bits.mean() if len(bits) else 0:.3f} bits a byte", "not bold")
    for style, words in zip(_HEAT, ("  below 0.5", " to 2", " to 4", " to 8", " more"), strict=True):
        line.append(words, style)
    return line


def _heat(data: bytes, bits: npt.NDArray[np.float64]) -> Text:
    """The text, each character in the colour of what its bytes cost together."""
    text, at = Text(overflow="fold"), 0
    for character in data.decode("utf-8", "surrogateescape"):
        raw = character.encode("utf-8", "surrogateescape")
        # A character has one to four bytes: its colour is that of their sum.
        cost = float(bits[at : at + len(raw)].sum())
        text.append(visible(raw), _HEAT[int(np.searchsorted(_STEPS, cost, side="right"))])
        at += len(raw)
    if text.plain.endswith("\n"):
        text.right_crop(1)
    return text
