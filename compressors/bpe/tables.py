"""From splits to the tables that the kernel `_walk.walk` follows: one pass over the text for each table.

An entry says what follows from a state and the code of the next character: the state after it (times the width of the
table), and bits. A state is where the immediate splits stand that come first, the state of the matcher, and the kind of
the piece before; or OUTSIDE, after a byte outside UTF-8 text. A code is the class of a character, plus the number of
classes where a piece of the pass before begins with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compressors.bpe.immediate import Cutter, Nothing, Place, Split, Then
from compressors.bpe.matcher import GAP, MATCH, OUT, Alphabet, State
from compressors.bpe.regex_sets import Unsupported

STATE = (1 << 20) - 1  # the bits of an entry that are a state
ENDS = 1 << 20  # a piece ends before this character, and the next one begins with it
KEPT = 1 << 21  # the piece that ends is not part of the one before it
MAY_END = 1 << 22  # it may end here, if nothing longer comes of it
IS_GAP = 1 << 23  # the piece that may end here would be a gap
FALLS = 1 << 24  # nothing longer came of it: it ended where it might have
_NO_KIND = 2  # of the piece before the first, and where it does not matter
_OUTSIDE = None

Triple = tuple[Place | None, State, int]


@dataclass(frozen=True, eq=False)
class Table:
    """One pass over a text, for `_walk.walk`. A state is its row number times the width: an index into `entries`."""

    entries: npt.NDArray[np.uint32]  # (states * width,)
    falls: npt.NDArray[np.uint32]  # (states * width,): at state + kind: the state after a fall, and KEPT
    loops: npt.NDArray[np.bool_]  # (width,) classes of which a run that comes to nothing is a gap but for its end
    classes: int  # number of classes; the last of them is the end of the text
    initial: int  # the state before the first character


def of(splits: Sequence[Split], letters: Alphabet, marked: bool) -> list[Table]:
    """The tables for splits that follow each other; `marked`: in text that is in pieces already.

    Raises `Unsupported` if they would be too large.
    """
    tables: list[Table] = []
    cutter: Cutter = Nothing()
    for i, split in enumerate(splits):
        if split.kind_of is not None and i < len(splits) - 1:
            cutter = Then(cutter, split)
        else:
            tables.append(_Builder(cutter, split, letters, marked or bool(tables)).table())
            cutter = Nothing()
    return tables


class _Builder:
    """Numbers the states of one pass as it reaches them, and fills the table row by row."""

    def __init__(self, cutter: Cutter, split: Split, letters: Alphabet, marked: bool) -> None:
        self._cutter, self._split, self._size = cutter, split, letters.size
        # Marked text has every class twice: once inside a piece of the pass before, once at its
        # start.
        self._width = 2 * letters.size if marked else letters.size
        self._start = split.matcher.start
        # Kinds of pieces that join the piece before them: only then a state must remember that
        # kind.
        kinds = [(before, kind) for before in (MATCH, GAP) for kind in (MATCH, GAP)]
        reached = {kind for kind, _ in split.matcher.outcomes()}
        self._merging = {before for before, kind in kinds if split.merges(before, kind) and {before, kind} <= reached}
        self._numbers: dict[Triple | None, int] = {}
        self._queue: list[Triple | None] = []

    def table(self) -> Table:
        """The table. Raises `Unsupported` if its states do not fit the 20 bits of `STATE`."""
        initial = self._state((None, self._start, _NO_KIND))
        rows, falls = [], []
        # The queue grows while it is read: entries name states that have no row yet.
        for triple in self._queue:
            rows.append([self._entry(triple, code) for code in range(self._width)])
            falls.append([self._fall(triple, kind) for kind in (MATCH, GAP)] + [0] * (self._width - 2))
            if len(self._queue) * self._width > STATE:
                raise Unsupported("splits that take too large a table together")
        entries, after = (np.array(found, np.uint32).reshape(-1) for found in (rows, falls))
        return Table(entries, after, self._loops(), self._size, initial)

    def _state(self, triple: Triple | None) -> int:
        """The number of a state; a new one is put into the queue."""
        if triple not in self._numbers:
            self._numbers[triple] = len(self._queue) * self._width
            self._queue.append(triple)
        return self._numbers[triple]

    def _entry(self, triple: Triple | None, code: int) -> int:
        """What follows from a state and the code of the next character: bits, and the state after it.

        `triple`: (where the immediate splits stand, state of the matcher, kind of the piece
        before).
        """
        # A code is a class, plus the number of classes where a piece of the pass before begins.
        letter, marked = code % self._size, code >= self._size
        if triple is _OUTSIDE:
            return ENDS | KEPT | self._begun(None, letter, _NO_KIND)
        place, state, before = triple
        fresh = state == self._start
        # A byte outside text, or the end, ends every piece.
        if letter in (OUT, self._size - 1):
            return self._begun(None, letter, _NO_KIND) if fresh else self._ends(triple, None, letter)
        # The immediate splits that come first start again at a mark, else they read the character.
        if place is None or marked:
            after, cut = self._cutter.begin(letter), marked
        else:
            after, cut = self._cutter.step(place, letter)
        if fresh:
            return self._begun(after, letter, _NO_KIND if cut else before)
        if cut:
            return self._ends(triple, after, letter)
        # Then the matcher reads it: it lives on, or dies and the piece has ended, or must fall
        # back.
        following, kind = self._split.matcher.step(state, letter)
        if following:
            flags = 0 if kind is None else MAY_END | (IS_GAP if kind == GAP else 0)
            return flags | self._state((after, following, before))
        if kind is None:
            return FALLS
        return ENDS | self._kept(before, kind) | self._begun(after, letter, kind)

    def _ends(self, triple: Triple, place: Place | None, letter: int) -> int:
        """What follows if the text of the piece ends before a character."""
        _, state, before = triple
        _, kind = self._split.matcher.step(state, self._size - 1)
        if kind is None:
            return FALLS
        return ENDS | self._kept(before, kind) | self._begun(place, letter, _NO_KIND)

    def _kept(self, before: int, kind: int) -> int:
        """KEPT, unless a piece of this kind joins the one before it."""
        return 0 if before != _NO_KIND and self._split.merges(before, kind) else KEPT

    def _begun(self, place: Place | None, letter: int, before: int) -> int:
        """The state after the first character of a piece."""
        if letter == OUT:
            return self._state(_OUTSIDE)
        if letter == self._size - 1:
            return self._state((None, self._start, _NO_KIND))
        if place is None:
            place = self._cutter.begin(letter)
        return self._state((place, self._split.matcher.step(self._start, letter)[0], self._known(before)))

    def _known(self, kind: int) -> int:
        """The kind of a piece for the one after it, where it may matter."""
        return kind if kind in self._merging else _NO_KIND

    def _fall(self, triple: Triple | None, kind: int) -> int:
        """The state after a fall to the last place where the piece might have ended, and KEPT."""
        if triple is _OUTSIDE:
            return 0
        place, _, before = triple
        return self._kept(before, kind) | self._state((place, self._start, self._known(kind)))

    def _loops(self) -> npt.NDArray[np.bool_]:
        """(width,) classes whose runs `_walk._run_end` may skip: two steps on one lead back to the
        same state.
        """
        found = np.zeros(self._width, np.bool_)
        if not isinstance(self._cutter, Nothing):  # where it stands after such a run is not known
            return found
        for letter in range(1, self._size - 1):
            first, _ = self._split.matcher.step(self._start, letter)
            second, _ = self._split.matcher.step(first, letter)
            found[letter] = bool(second) and self._split.matcher.step(second, letter) == (second, None)
        return found
