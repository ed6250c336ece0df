"""Cuts drawn as HTML: one self-contained page that works offline, and the fragment that a notebook
shows.

`page` writes the cuts as JSON into the template `page.html`, whose script draws them. `fragment`
needs no
script, since notebooks often forbid it; `Cut._repr_html_` calls it.
"""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from compressors.errors import counted
from compressors.show.cut import Cut, changed_symbols, visible

Costs = Sequence[tuple[str, npt.NDArray[np.float64]]]  # name, (n,) bits of each byte

# Backgrounds of pieces, in turn.
_COLOURS = ("#dbe9fb", "#fdeecb", "#def3e0", "#f6dff0")
_FRAGMENT_BYTES = 2000  # of the text; a notebook keeps the whole fragment in its file


def page(cuts: Sequence[Cut], edits: Sequence[Cut] = (), costs: Costs = ()) -> str:
    """A page with every view of a text side by side, hover for symbol and bytes, a slider for merges, costs as
    a heat map.

    edits: the same views of the edited text; the symbols that the edit changed are outlined. costs: name
    and (n,) bits of each byte of the text.
    """
    parts = [_part(cuts[0].data, [_view(cut) for cut in cuts], costs)]
    if edits:
        views = []
        for cut, edited in zip(cuts, edits, strict=True):
            marks = changed_symbols(cut.symbols, edited.symbols)
            note = f"{int(marks.sum()):,} differ after the edit"
            views.append(_view(edited) | {"view": f"{edited.view}, edited", "changed": marks.tolist(), "note": note})
        parts.append(_part(edits[0].data, views, ()))
    facts = {
        "about": f"A text of {len(cuts[0].data):,} bytes. Point at a piece for its symbol and bytes.",
        "parts": parts,
    }
    # Nothing in the text may end the script element that carries it.
    carried = json.dumps(facts, separators=(",", ":")).replace("<", "\\u003c")
    template = resources.files("compressors.show").joinpath("page.html").read_text("utf-8")
    return template.replace("__DATA__", carried)


def _part(data: bytes, views: list[dict[str, Any]], costs: Costs) -> dict[str, Any]:
    """One text as the page reads it: its bytes in base64, its views, its costs to a thousandth of a
    bit.
    """
    heat = [{"name": name, "bits": np.round(bits, 3).tolist()} for name, bits in costs]
    return {"text": base64.b64encode(data).decode(), "views": views, "costs": heat}


def _view(cut: Cut) -> dict[str, Any]:
    """A cut as the page reads it; of a refinable vocabulary only the splits of symbols that occur."""
    return {
        "view": cut.view,
        "n": len(cut.symbols),
        "ids": cut.symbols.tolist(),
        "spans": None if cut.spans is None else cut.spans.tolist(),
        "splits": None if cut.splits is None else _needed_splits(cut),
        "merges": 0 if cut.splits is None else len(cut.splits),
        "changed": None,
        "note": "",
    }


def _needed_splits(cut: Cut) -> dict[int, list[int]]:
    """Splits of the symbols that occur, and of their parts, and so on: what the slider for merges
    needs.
    """
    assert cut.splits is not None
    needed: dict[int, list[int]] = {}
    waiting = [int(symbol) for symbol in np.unique(cut.symbols) if symbol >= 256]
    while waiting:
        symbol = waiting.pop()
        if symbol not in needed:
            needed[symbol] = cut.splits[symbol - 256].tolist()
            waiting += [part for part in needed[symbol] if part >= 256]
    return needed


def fragment(cuts: Sequence[Cut]) -> str:
    """HTML for a notebook: the pieces of each cut in alternating colours, the first bytes of the text, no script."""
    return "".join(map(_drawn, cuts))


def _drawn(cut: Cut) -> str:
    """The fragment of one cut: its pieces, or its first symbols where it has none."""
    head = f"<b>{html.escape(cut.view)}</b> {counted(len(cut.symbols), 'symbol')}, {cut.bytes_per_symbol:.2f} bytes a symbol"
    if cut.spans is None:
        numbers = " ".join(map(str, cut.symbols[:200].tolist()))
        return f"<div>{head}<pre style='white-space:pre-wrap'>{numbers}{' …' if len(cut.symbols) > 200 else ''}</pre></div>"
    spans, shown = [], 0
    for i, piece in enumerate(cut.pieces):
        if shown + len(piece) > _FRAGMENT_BYTES:
            spans.append(f" … {len(cut.data) - shown:,} bytes more")
            break
        shown += len(piece)
        symbol, colour = int(cut.symbols[i]), _COLOURS[i % len(_COLOURS)]
        style = f"background:{colour};color:#1a1c20;unicode-bidi:isolate"
        spans.append(f"<span title='{symbol}: {piece.hex(' ')}' style='{style}'>{html.escape(visible(piece))}</span>")
    return f"<div>{head}<pre style='white-space:pre-wrap;direction:ltr'>{''.join(spans)}</pre></div>"
