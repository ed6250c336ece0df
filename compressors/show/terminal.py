"""Cuts drawn in a terminal: pieces in alternating colours, what an edit changes, what bytes cost."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.text import Text

from compressors.show.cut import Cut, changed_symbols, visible

# Two backgrounds that a black and a white foreground can both be read on, and one for symbols that differ after an edit.
_PIECES = ("on grey19", "on dark_blue")
_CHANGED = "bold white on red3"
_HEAT = ("grey35", "white", "khaki1", "orange1", "red1")  # below 0.5, 2, 4, 8 bits, and above
_STEPS = (0.5, 2.0, 4.0, 8.0)
_SHOWN_SYMBOLS = 24  # of a view without pieces


def drawn(
    cuts: Sequence[Cut],
    edits: Sequence[Cut] = (),
    costs: Sequence[tuple[str, npt.NDArray[np.float64]]] = (),
    *,
    width: int = 80,
    colour: bool = True,
    most: int = 2000,
) -> str:
    """What to print: each view of the text under the other, the first `most` bytes of it; `edits` are the same views of the edited text.

    costs: name and (n,) bits of each byte of the text.
    """
    console = Console(
        file=io.StringIO(), width=width, force_terminal=colour, no_color=not colour, highlight=False,
        color_system="256" if colour else None, legacy_windows=False,
    )  # fmt: skip
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
    out = console.file
    assert isinstance(out, io.StringIO)
    return out.getvalue()


def _head(cut: Cut) -> Text:
    line = Text(cut.view, "bold")
    line.append(
        f"  {len(cut.symbols):,} symbols for {len(cut.data):,} bytes, {cut.bytes_per_symbol:.2f} bytes a symbol",
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
        cost = float(bits[at : at + len(raw)].sum())
        text.append(visible(raw), _HEAT[int(np.searchsorted(_STEPS, cost, side="right"))])
        at += len(raw)
    return text
