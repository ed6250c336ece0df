"""Splits that are decided at once: whether a piece begins is known with its first character.

Runs of digits, of punctuation or of one script, and single line ends are cut this way. Such a split needs
no separate pass: it is walked in the same table as the split that comes after it (`tables`).

`tables` builds a chain of `Then` over `Nothing`, and asks it for every character class.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from compressors.bpe.matcher import GAP, MATCH, Matcher, State

Place = tuple[object, ...]


@dataclass(frozen=True, eq=False)
class Split:
    """An expression, and which neighbours are one piece: of two gaps always, of two matches where they are `joined`."""

    matcher: Matcher
    joined: bool = False

    def merges(self, before: int, kind: int) -> bool:
        """Is a piece of a kind part of the one before it?"""
        return before == kind and (kind == GAP or self.joined)

    @cached_property
    def kind_of(self) -> dict[State, int] | None:
        """The kind of piece for each first state, or None if more characters must be read to know it, or where
        it ends.
        """
        kinds_of: dict[State, int] = {}
        if any(fell for _, fell in self.matcher.outcomes()):
            return None
        for letter in range(1, self.matcher.letters.end):
            first, _ = self.matcher.step(self.matcher.start, letter)
            kinds = {kind for kind, _ in self.matcher.outcomes(first)}
            if kinds not in ({MATCH}, {GAP}):
                return None
            kinds_of[first] = GAP if kinds == {GAP} else MATCH
        return kinds_of


class Cutter(Protocol):
    """Reads characters and says at once where pieces begin."""

    def begin(self, letter: int) -> Place:
        """The place after the first character of a text."""

    def step(self, place: Place, letter: int) -> tuple[Place, bool]:
        """The place after another character, and does a piece begin with it?"""


@dataclass(frozen=True, eq=False)
class Nothing:
    """Cuts nowhere."""

    def begin(self, letter: int) -> Place:
        return ()

    def step(self, place: Place, letter: int) -> tuple[Place, bool]:
        return (), False


@dataclass(frozen=True, eq=False)
class Then:
    """Cuts by `first`, and each piece by an immediate `split`."""

    first: Cutter
    split: Split

    def begin(self, letter: int) -> Place:
        return (self.first.begin(letter), *self._fresh(letter))

    def step(self, place: Place, letter: int) -> tuple[Place, bool]:
        outer, state, kind = place
        # What a place holds depends on the cutter that made it, which mypy cannot follow: hence the ignored types.
        outer, cut = self.first.step(outer, letter)  # type: ignore[arg-type]
        if cut:
            return (outer, *self._fresh(letter)), True
        after, ended = self.split.matcher.step(state, letter)  # type: ignore[arg-type]
        if after:
            return (outer, after, kind), False
        assert ended is not None
        after, new = self._fresh(letter)
        return (outer, after, new), not self.split.merges(kind, new)  # type: ignore[arg-type]

    def _fresh(self, letter: int) -> tuple[State, int]:
        """The state and the kind of a piece that begins with this character."""
        first, _ = self.split.matcher.step(self.split.matcher.start, letter)
        assert self.split.kind_of is not None
        return first, self.split.kind_of[first]
