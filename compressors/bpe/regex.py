"""Parsing the regular expressions of pre-tokenizers, as Oniguruma in `tokenizers` reads them, into trees over sets.

The tree is made of tuples: ("set", mask), ("cat", nodes), ("alt", nodes), ("repeat", node, least, most or None, lazy),
and ("next", mask, at_end): the next character is in the mask, or the text ends here and `at_end` is true.
A mask (0x110000,) says which code points are meant. What is not covered raises `Unsupported`, and `tokenizers` serves.

`splitting` parses the expression of each stage; `matcher` makes an automaton of the tree. The
grammar:

    alternatives  sequence | sequence | ...
    sequence      atom with quantifiers, one after the other
    atom          character, escape, ., $, [class], (group)
"""

from __future__ import annotations

from typing import Any

from compressors.bpe import classes
from compressors.bpe.regex_sets import Sets, Unsupported, letter

Node = tuple[Any, ...]
_LIGATURES = ("ff", "fi", "fl", "ss", "st")  # in any case these match one character, too
_SPECIAL = set("()[]{}|*+?.^$\\")


def parse(expression: str) -> Node:
    """The tree of `expression`."""
    parser = _Parser(expression)
    tree = parser.alternatives(fold=False)
    if parser.at < len(expression):
        raise Unsupported(f"a closing bracket without an opening one at {parser.at}")
    return tree


def literal(text: str) -> Node:
    """The tree that matches `text` only."""
    return ("cat", tuple(("set", classes.points(character)) for character in text))


class _Parser(Sets):
    """Recursive descent over `text`; `fold` says that ASCII letters match in any case."""

    def alternatives(self, fold: bool) -> Node:
        """Sequences separated by |, up to a closing bracket or the end."""
        ways = [self._sequence(fold)]
        while self._take("|"):
            ways.append(self._sequence(fold))
        return ways[0] if len(ways) == 1 else ("alt", tuple(ways))

    def _sequence(self, fold: bool) -> Node:
        """Atoms and their quantifiers, one after the other."""
        parts: list[Node] = []
        letters = ""
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            lower = self.text[self.at].lower()
            letters = letters[-1:] + (lower if lower.isalpha() else " ")
            if fold and letters in _LIGATURES:
                raise Unsupported(f"{letters!r} in any case")
            parts.append(self._quantified(self._atom(fold)))
        return parts[0] if len(parts) == 1 else ("cat", tuple(parts))

    def _atom(self, fold: bool) -> Node:
        """One set, group or end of text. Raises `Unsupported` for anything else that is special."""
        character = self._next()
        if character == "(":
            return self._group(fold)
        if character == "[":
            return ("set", self.members(fold))
        if character == ".":
            return ("set", ~classes.points("\n"))
        if character == "$":
            return ("next", classes.points("\n"), True)  # Ruby's: also before a line end
        if character == "\\":
            if self._take("z"):
                return ("next", classes.points(""), True)
            return ("set", self.escape(fold))
        if character in _SPECIAL:
            raise Unsupported(f"{character!r} at {self.at - 1}")
        return ("set", letter(character, fold))

    def _group(self, fold: bool) -> Node:
        """What follows an opening bracket: (...), (?:...), (?i:...), or a look ahead of one character."""
        if self._take("?i:"):
            fold = True
        elif self._peek("?=") or self._peek("?!"):
            positive = self._take("?=") or not self._take("?!")
            inside = self.alternatives(fold)
            self._close()
            if inside[0] != "set":
                raise Unsupported("looking ahead further than one character")
            return ("next", inside[1] if positive else ~inside[1], not positive)
        elif not self._take("?:") and self._peek("?"):
            raise Unsupported(f"a group (?{self.text[self.at + 1 : self.at + 2]}")
        inside = self.alternatives(fold)
        self._close()
        return inside

    def _close(self) -> None:
        if not self._take(")"):
            raise Unsupported("a group without an end")

    def _quantified(self, node: Node) -> Node:
        """`node` with all quantifiers behind it; Oniguruma allows several, each of which repeats the
        result.
        """
        while True:
            if self._take("?"):
                least, most = 0, 1
            elif self._take("*"):
                least, most = 0, None
            elif self._take("+"):
                least, most = 1, None
            elif self._peek("{"):
                node = self._interval(node)
                continue
            else:
                return node
            possessive = self._take("+")
            node = _possessive(node, least, most) if possessive else _repeat(node, least, most, self._take("?"))

    def _interval(self, node: Node) -> Node:
        """`node` with an interval {n}, {n,} or {n,m} of at most 64."""
        inside, closed, rest = self.text[self.at + 1 :].partition("}")
        low, comma, high = inside.partition(",")
        if not closed or not low.isdecimal() or (high and not high.isdecimal()) or int(high or low) > 64:
            raise Unsupported(f"the interval {{{inside}}}")
        if rest.startswith("?"):
            raise Unsupported("a lazy interval")
        self.at += len(inside) + 2
        most = int(high) if high else (None if comma else int(low))
        if most is not None and most < int(low):
            raise Unsupported(f"the interval {{{inside}}}")
        return _repeat(node, int(low), most, False)


def _repeat(node: Node, least: int, most: int | None, lazy: bool) -> Node:
    """A repetition; `most` None: any number. Raises `Unsupported` where a loop could take nothing."""
    if most is None and nullable(node):
        raise Unsupported("a repetition of what may be empty")
    return ("repeat", node, least, most, lazy)


def _possessive(node: Node, least: int, most: int | None) -> Node:
    """A run of one set that gives nothing back: what follows it begins with another character."""
    if node[0] != "set":
        raise Unsupported("a possessive quantifier of more than a set")
    outside = ("next", ~node[1], True)
    if most == 1:
        return ("alt", (node, outside))
    return ("cat", (("repeat", node, least, None, False), outside))


def nullable(node: Node) -> bool:
    """May the tree match nothing?"""
    if node[0] == "set":
        return False
    if node[0] == "cat":
        return all(map(nullable, node[1]))
    if node[0] == "alt":
        return any(map(nullable, node[1]))
    return node[0] == "next" or node[2] == 0 or nullable(node[1])
