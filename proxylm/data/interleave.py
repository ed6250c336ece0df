"""Interleaved views: one document, its pieces in turn as bytes and as symbols of a view, cut where a symbol ends.

    bos <raw> bytes </raw> <comp> symbols </comp> <raw> bytes </raw> eos

Every byte is seen once, and each change of view forces the model to carry meaning across. A piece ends with the symbol that
brings it to its size in bytes. Documents with an even number begin with bytes, the others with symbols.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np
import numpy.typing as npt

from proxylm.data.alphabet import EOS, Alphabet
from proxylm.data.store import Column

Ints = npt.NDArray[np.int64]


@dataclass
class Interleaved:
    """The documents of a store in pieces of `raw_bytes` and `comp_bytes` in turn."""

    raw: Column
    comp: Column
    raw_bytes: int
    comp_bytes: int

    @cached_property
    def counts(self) -> Ints:
        """(3, documents) positions of a body but its last two; targets under the raw head; marks that are no targets."""
        assert self.comp.spans is not None
        found, document = np.empty((3, len(self.raw)), np.int64), 0
        for spans, offsets in zip(self.comp.spans, self.comp.offsets, strict=True):
            last = document + len(offsets) - 1
            _count(spans, offsets, document, self.raw_bytes, self.comp_bytes, found[:, document:last])
            document = last
        return found

    def body(self, document: int, view: str, alphabet: Alphabet) -> tuple[Ints, npt.NDArray[np.bool_], Ints]:
        """(positions,) ids with all marks; are they under the comp head; bytes they stand for, 0 for a mark."""
        symbols, spans, data = self.comp[document], self.comp.spans_of(document), self.raw[document]
        assert spans is not None
        cuts = np.empty(len(spans) + 2, np.int64)
        pieces = _cut(spans, document % 2, self.raw_bytes, self.comp_bytes, cuts)
        before = np.concatenate([[0], np.cumsum(spans, dtype=np.int64)])
        ids: list[Ints] = []
        comp: list[npt.NDArray[np.bool_]] = []
        sizes: list[Ints] = []
        for piece in range(pieces):
            a, b, of_comp = cuts[piece], cuts[piece + 1], (piece + document) % 2 == 1
            shown = alphabet.ids(view, symbols[a:b]) if of_comp else alphabet.ids("raw", data[before[a] : before[b]])
            close = alphabet.marks("comp" if of_comp else "raw")[1]
            following = alphabet.marks("raw" if of_comp else "comp")[0]
            ids += [shown, np.array([close, EOS if piece == pieces - 1 else following], np.int64)]
            comp.append(np.full(len(shown) + 2, of_comp))
            sizes += [spans[a:b].astype(np.int64) if of_comp else np.ones(len(shown), np.int64), np.zeros(2, np.int64)]
        return np.concatenate(ids), np.concatenate(comp), np.concatenate(sizes)


@numba.njit(cache=True, nogil=True)
def _cut(spans, of_comp, raw_bytes, comp_bytes, cuts):  # type: ignore[no-untyped-def] # a kernel
    """Write the symbol at which each piece begins, and their number behind; return how many pieces, one at least."""
    pieces, held = 0, 0
    cuts[0] = 0
    for i in range(len(spans) - 1):
        held += spans[i]
        if held >= (comp_bytes if of_comp else raw_bytes):
            pieces += 1
            cuts[pieces] = i + 1
            held, of_comp = 0, 1 - of_comp
    cuts[pieces + 1] = len(spans)
    return pieces + 1


@numba.njit(cache=True, nogil=True)
def _count(spans, offsets, first, raw_bytes, comp_bytes, out):  # type: ignore[no-untyped-def] # a kernel
    """`Interleaved.counts` of one shard, whose documents are first.. of the store."""
    cuts = np.empty(2 + np.max(offsets[1:] - offsets[:-1]), np.int64)
    for i in range(len(offsets) - 1):
        of_document = spans[offsets[i] : offsets[i + 1]]
        pieces = _cut(of_document, (first + i) % 2, raw_bytes, comp_bytes, cuts)
        elements, of_raw = 0, 0
        for piece in range(pieces):
            if (first + i + piece) % 2:
                elements += cuts[piece + 1] - cuts[piece]
            else:
                n_bytes = 0
                for span in of_document[cuts[piece] : cuts[piece + 1]]:
                    n_bytes += span
                elements += n_bytes
                of_raw += n_bytes + (2 if piece == pieces - 1 else 1)  # a piece predicts its end; the last one, eos too
        out[0, i], out[1, i], out[2, i] = elements + 2 * (pieces - 1), of_raw, pieces - 1
