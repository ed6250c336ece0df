"""From splits to the tables that the kernel `_walk.walk` follows: one pass over the text for each table.

An entry says what follows from a state and the class of the next character: the state after it (times the width of the
table), and bits. The states of a table are pairs: where the immediate splits stand that come first, and the state of
the matcher; or OUTSIDE, after a byte that is no text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from compressors.bpe.immediate import Cutter, Nothing, Place, Split, Then
from compressors.bpe.matcher import GAP, OUT, Alphabet, State
from compressors.bpe.regex import Unsupported

STATE = (1 << 20) - 1  # the bits of an entry that are a state
ENDS = 1 << 20  # a piece ends before this character, and the next one begins with it
MAY_END = 1 << 21  # it may end here, if nothing longer comes of it
IS_GAP = 1 << 22  # the piece that ends, or may end, is a gap
FALLS = 1 << 23  # nothing longer came of it: it ended where it might have
APART = 1 << 24  # the piece that begins here is not merged with the one before it
NO_KIND = 2  # of the piece before the first
_OUTSIDE = None

Pair = tuple[Place | None, State]


@dataclass(frozen=True, eq=False)
class Table:
    """One pass. `merges`: bit 2 * kind before + kind: are two neighbours one piece?"""

    entries: npt.NDArray[np.uint32]  # (states * width,)
    restart: npt.NDArray[np.uint32]  # (states * width,), at the multiples of width: where to go on after a fall
    loops: npt.NDArray[np.bool_]  # (width,) classes of which a run that comes to nothing is a gap but for its end
    width: int
    initial: int
    merges: int


def of(splits: Sequence[Split], letters: Alphabet) -> list[Table]:
    """The tables for splits that follow each other. Raises `Unsupported` if they would be too large."""
    found: list[Table] = []
    cutter: Cutter = Nothing()
    for i, split in enumerate(splits):
        if split.kind_of is not None and i < len(splits) - 1:
            cutter = Then(cutter, split)
        else:
            found.append(_Builder(cutter, split, letters).table())
            cutter = Nothing()
    return found


class _Builder:
    def __init__(self, cutter: Cutter, split: Split, letters: Alphabet) -> None:
        self._cutter, self._split, self._letters = cutter, split, letters
        self._start = split.matcher.start
        self._numbers: dict[Pair | None, int] = {}
        self._queue: list[Pair | None] = []

    def table(self) -> Table:
        width = self._letters.size
        initial = self._state((None, self._start))
        rows, restarts = [], []
        for pair in self._queue:
            rows.append([self._entry(pair, letter) for letter in range(width)])
            restarts.append(self._state((pair[0] if pair else None, self._start)))
            if len(self._queue) * width > STATE:
                raise Unsupported("splits that take too large a table together")
        restart = np.zeros(len(rows) * width, np.uint32)
        restart[::width] = restarts
        kinds = [(before, kind) for before in range(2) for kind in range(2) if self._split.merges(before, kind)]
        merges = sum(1 << 2 * before + kind for before, kind in kinds)
        return Table(np.array(rows, np.uint32).reshape(-1), restart, self._loops(), width, initial, merges)

    def _state(self, pair: Pair | None) -> int:
        if pair not in self._numbers:
            self._numbers[pair] = len(self._queue) * self._letters.size
            self._queue.append(pair)
        return self._numbers[pair]

    def _entry(self, pair: Pair | None, letter: int) -> int:
        if pair is _OUTSIDE:
            return ENDS | APART | self._begun(None, letter)
        place, state = pair
        fresh = state == self._start
        if letter in (OUT, self._letters.end):
            if fresh:
                return APART | self._begun(None, letter)
            _, kind = self._split.matcher.step(state, self._letters.end)
            return FALLS if kind is None else _ends(kind) | APART | self._begun(None, letter)
        after, cut = (self._cutter.begin(letter), False) if place is None else self._cutter.step(place, letter)
        if fresh:
            return (APART if cut else 0) | self._begun(after, letter)
        if cut:
            _, kind = self._split.matcher.step(state, self._letters.end)
            return FALLS if kind is None else _ends(kind) | APART | self._begun(after, letter)
        following, kind = self._split.matcher.step(state, letter)
        if not following:
            return FALLS if kind is None else _ends(kind) | self._begun(after, letter)
        flags = 0 if kind is None else MAY_END | (IS_GAP if kind == GAP else 0)
        return flags | self._state((after, following))

    def _begun(self, place: Place | None, letter: int) -> int:
        """The state after the first character of a piece."""
        if letter == OUT:
            return self._state(_OUTSIDE)
        if letter == self._letters.end:
            return self._state((None, self._start))
        if place is None:
            place = self._cutter.begin(letter)
        return self._state((place, self._split.matcher.step(self._start, letter)[0]))

    def _loops(self) -> npt.NDArray[np.bool_]:
        found = np.zeros(self._letters.size, np.bool_)
        if not isinstance(self._cutter, Nothing):  # where it stands after such a run is not known
            return found
        for letter in range(1, self._letters.end):
            first, _ = self._split.matcher.step(self._start, letter)
            second, _ = self._split.matcher.step(first, letter)
            found[letter] = bool(second) and self._split.matcher.step(second, letter) == (second, None)
        return found


def _ends(kind: int) -> int:
    return ENDS | (IS_GAP if kind == GAP else 0)
