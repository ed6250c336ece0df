"""A deterministic automaton that finds what a backtracking engine would match, in one pass and without backtracking.

A state is the ordered list of the places where that engine could stand, the preferred first; what comes after a place
that matches is dropped. Ordered lists and delayed matches: R. Cox, "Regular Expression Matching in the Wild", 2010.
A match is noticed with the character after it, so that looking one character ahead costs nothing.

The engine tries an expression at every place. Here one more alternative, the last, takes any one character: a gap.

`tables` walks this automaton over every class of characters and writes the outcome into arrays for
the kernel; nothing here runs while text is encoded. The program is a list of instructions, as in
Thompson's and Pike's engines:

    ("set", classes, then)    takes a character of these classes, and continues at `then`
    ("next", classes, then)   looks at the next character without taking it
    ("split", places)         tries each place, the preferred first
    ("end", kind)             a piece of this kind ends before the character at hand
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from compressors.bpe import classes
from compressors.bpe.classes import Mask
from compressors.bpe.regex import Node, nullable
from compressors.bpe.regex_sets import Unsupported

OUT = 0  # the class of a byte outside text
MATCH, GAP = 0, 1  # kinds of pieces
_MOST_STATES = 4000  # bounds time and memory for a hostile expression

State = tuple[int, ...]
Step = tuple[State, int | None]  # the state after a character (() is dead), and the kind of a match that ends before it


@dataclass(frozen=True)
class Alphabet:
    """Classes of characters that no set tells apart. Class 0 is OUT, the last one stands for the end of the text."""

    of_point: npt.NDArray[np.uint8]  # (0x110000,)
    samples: npt.NDArray[np.int64]  # (size - 2,) a code point of each class from 1 on

    @property
    def size(self) -> int:
        return len(self.samples) + 2

    @property
    def end(self) -> int:
        return self.size - 1

    def holds(self, mask: Mask, at_end: bool = False) -> tuple[bool, ...]:
        """For each class, is it in the set?"""
        return (False, *mask[self.samples].tolist(), at_end)


def alphabet(trees: Sequence[Node]) -> Alphabet:
    """The coarsest alphabet for some expressions."""
    # Between two edges of any mask all code points are alike: look at the first of each such run.
    masks = [mask for tree in trees for mask in _masks(tree)]
    edges = [np.flatnonzero(mask[1:] != mask[:-1]) + 1 for mask in masks]
    firsts = np.unique(np.concatenate([np.zeros(1, np.int64), *edges]))
    # Runs that are in the same sets have equal columns, and get one class.
    columns = np.array([mask[firsts] for mask in masks], np.bool_).reshape(len(masks), len(firsts)).T
    _, samples, inverse = np.unique(columns, axis=0, return_index=True, return_inverse=True)
    # Twice the classes have to fit into a byte: `_walk.mark` adds their number to a code.
    if len(samples) > 120:
        raise Unsupported(f"{len(samples)} classes of characters")
    lengths = np.diff(np.append(firsts, classes.POINTS))
    return Alphabet(np.repeat(inverse.reshape(-1) + 1, lengths).astype(np.uint8), firsts[samples])


def _masks(node: Node) -> list[Mask]:
    """The sets of an expression, in the order in which they stand in it."""
    if node[0] in ("set", "next"):
        return [node[1]]
    parts = (node[1],) if node[0] == "repeat" else node[1]
    return [mask for part in parts for mask in _masks(part)]


@dataclass
class Matcher:
    """The automaton of one expression, made as it is walked."""

    tree: Node
    letters: Alphabet
    _program: list[tuple[object, ...]] = field(default_factory=list)
    _steps: dict[tuple[State, int], Step] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if nullable(self.tree):
            raise Unsupported("an expression that matches nothing")
        gap = self._add("set", (False, *[True] * (self.letters.size - 2), False), self._add("end", GAP))
        self.start: State = (self._add("split", (self._compile(self.tree, self._add("end", MATCH)), gap)),)

    def _add(self, *instruction: object) -> int:
        """Add an instruction to the program; its place."""
        self._program.append(instruction)
        return len(self._program) - 1

    def _compile(self, node: Node, then: int) -> int:
        """The place where `node` begins, if it goes to `then`."""
        if node[0] == "set":
            return self._add("set", self.letters.holds(node[1]), then)
        if node[0] == "next":
            return self._add("next", self.letters.holds(node[1], node[2]), then)
        if node[0] == "cat":
            for part in reversed(node[1]):
                then = self._compile(part, then)
            return then
        if node[0] == "alt":
            return self._add("split", tuple(self._compile(part, then) for part in node[1]))
        _, body, least, most, lazy = node
        begin = then
        # node*: a split that leads into the body, and from its end back to the split.
        if most is None:
            begin = self._add()
            ways = (self._compile(body, begin), then)
            self._program[begin] = ("split", ways[::-1] if lazy else ways)
        # node{least,most}: optional copies at the end, then the copies that must match.
        for _ in range((most or least) - least):
            ways = (self._compile(body, begin), then)
            begin = self._add("split", ways[::-1] if lazy else ways)
        for _ in range(least):
            begin = self._compile(body, begin)
        return begin

    def step(self, state: State, letter: int) -> Step:
        """Read one character, or the end of the text."""
        if (state, letter) not in self._steps:
            if len(self._steps) > _MOST_STATES * self.letters.size:
                raise Unsupported(f"more than {_MOST_STATES} states")
            self._steps[state, letter] = self._made(state, letter)
        return self._steps[state, letter]

    def _made(self, state: State, letter: int) -> Step:
        """`step`, worked out: follow every place of the state past the character, in order of
        preference.
        """
        after: dict[int, None] = {}  # an ordered set
        seen: set[int] = set()
        # A stack, so that all that follows a preferred place comes before the next place.
        waiting = list(reversed(state))
        while waiting:
            place = waiting.pop()
            if place in seen:
                continue
            seen.add(place)
            # The fields of an instruction depend on its kind, which mypy cannot follow: hence the ignored types.
            kind, what, *then = self._program[place]
            if kind == "end":
                return tuple(after), what  # type: ignore[return-value] # what comes after it counts less
            if kind == "split":
                waiting += reversed(what)  # type: ignore[call-overload]
            elif what[letter]:  # type: ignore[index]
                if kind == "set":
                    after[then[0]] = None  # type: ignore[index]
                else:
                    waiting.append(then[0])  # type: ignore[arg-type]
        return tuple(after), None

    def outcomes(self, first: State | None = None) -> set[tuple[int | None, bool]]:
        """How a piece can end from state `first` on: (its kind, had it been longer in vain).

        A way that dies falls back to the last match it passed; the gap of one character is always one.
        """
        ends: set[tuple[int | None, bool]] = set()
        found: dict[Step, None] = {(first or self.start, None): None}
        # Breadth first over (state, last match passed); the list grows while it is read.
        for state, last in (queue := list(found)):
            for letter in range(1, self.letters.size):
                if state == self.start and letter == self.letters.end:
                    continue
                after, kind = self.step(state, letter)
                known = last if kind is None else kind
                if not after:
                    ends.add((known, kind is None))
                elif (after, known) not in found:
                    found[after, known] = None
                    queue.append((after, known))
        return ends

    def keeps_all(self) -> bool:
        """Is every character of every text part of a match?"""
        return all(kind == MATCH for kind, _ in self.outcomes())
