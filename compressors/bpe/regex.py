"""Parsing the regular expressions of pre-tokenizers, as Oniguruma in `tokenizers` reads them, into trees over sets.

The tree is made of tuples: ("set", mask), ("cat", nodes), ("alt", nodes), ("repeat", node, least, most or None, lazy),
and ("next", mask, at_end): the next character is in the mask, or the text ends here and `at_end` is true.
A mask (0x110000,) says which code points are meant. What is not covered raises `Unsupported`, and `tokenizers` serves.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from compressors.bpe import classes

Mask = npt.NDArray[np.bool_]
Node = tuple[Any, ...]
EMPTY: Node = ("cat", ())

_CONTROLS = {"n": 10, "r": 13, "t": 9, "f": 12, "v": 11, "a": 7, "e": 27}
_FOLDS = {"s": "\u017f", "k": "\u212a"}  # what else is an ASCII letter in another case
_LIGATURES = ("ff", "fi", "fl", "ss", "st")  # in any case these match one character, too
_SPECIAL = set("()[]{}|*+?.^$\\")


class Unsupported(Exception):
    """The expression uses something that the tables cannot express; the message says what."""


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


class _Parser:
    def __init__(self, expression: str) -> None:
        self.text, self.at = expression, 0

    def _peek(self, ahead: str) -> bool:
        return self.text.startswith(ahead, self.at)

    def _take(self, ahead: str) -> bool:
        if found := self._peek(ahead):
            self.at += len(ahead)
        return found

    def _next(self) -> str:
        if self.at >= len(self.text):
            raise Unsupported("the expression ends too early")
        self.at += 1
        return self.text[self.at - 1]

    # -- structure -----------------------------------------------------------------------------------------------------

    def alternatives(self, fold: bool) -> Node:
        found = [self._sequence(fold)]
        while self._take("|"):
            found.append(self._sequence(fold))
        return found[0] if len(found) == 1 else ("alt", tuple(found))

    def _sequence(self, fold: bool) -> Node:
        parts: list[Node] = []
        letters = ""
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            letter = self.text[self.at].lower()
            letters = letters[-1:] + (letter if letter.isalpha() else " ")
            if fold and letters in _LIGATURES:
                raise Unsupported(f"{letters!r} in any case")
            parts.append(self._quantified(self._atom(fold)))
        return parts[0] if len(parts) == 1 else ("cat", tuple(parts))

    def _atom(self, fold: bool) -> Node:
        character = self._next()
        if character == "(":
            return self._group(fold)
        if character == "[":
            return ("set", self._class(fold))
        if character == ".":
            return ("set", ~classes.points("\n"))
        if character == "$":
            return ("next", classes.points("\n"), True)  # Ruby's: also before a line end
        if character == "\\":
            if self._take("z"):
                return ("next", classes.points(""), True)
            return ("set", self._escape(fold))
        if character in _SPECIAL:
            raise Unsupported(f"{character!r} at {self.at - 1}")
        return ("set", _letter(character, fold))

    def _group(self, fold: bool) -> Node:
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

    # -- sets of characters --------------------------------------------------------------------------------------------

    def _class(self, fold: bool) -> Mask:
        """What stands between [ and ]; && binds less than anything else, and ^ is about all of it."""
        negated = self._take("^")
        whole, part, empty = None, classes.points(""), True
        while not self._take("]"):
            if self._take("&&"):
                whole, part, empty = part if whole is None else whole & part, classes.points(""), True
                continue
            part, empty = part | self._member(fold), False
        if empty:
            raise Unsupported("an empty class, or one that begins with ]")
        mask: Mask = part if whole is None else whole & part
        if negated and fold:
            raise Unsupported("a negated class in any case")
        return ~mask if negated else mask

    def _member(self, fold: bool) -> Mask:
        if self._peek("[:"):
            raise Unsupported("a POSIX bracket")
        if self._take("["):
            return self._class(fold)
        start = self.at
        first = self._next()
        mask = self._escape(fold) if first == "\\" else _letter(first, fold)
        if not self._peek("-") or self.text[self.at + 1 : self.at + 2] in ("]", ""):
            return mask
        if first == "-" or self.text[self.at + 1] == "[":
            raise Unsupported("a hyphen inside a class that is neither first nor last")
        self._next()
        low = _only(mask, self.text[start : self.at])
        last = self._next()
        high = _only(self._escape(False) if last == "\\" else _letter(last, False), last)
        if low > high or fold:
            raise Unsupported(f"the range {self.text[start : self.at]!r}{' in any case' if fold else ''}")
        return classes.within(low, high)

    def _escape(self, fold: bool) -> Mask:
        """The set after a backslash."""
        character = self._next()
        if character in "sSdD":
            mask = classes.white() if character in "sS" else classes.category("Nd")
            return ~mask if character.isupper() else mask
        if character in "pP":
            if fold:
                raise Unsupported("a property in any case")
            return self._property(character == "P")
        if character in "xu":
            return _letter(self._code_point(character), fold)
        if character in _CONTROLS:
            return classes.points(chr(_CONTROLS[character]))
        if character.isalnum() or ord(character) > 127:
            raise Unsupported(f"the escape \\{character}")
        return classes.points(character)

    def _property(self, negated: bool) -> Mask:
        if not self._take("{"):
            raise Unsupported("a property without brackets")
        name, _, _ = self.text[self.at :].partition("}")
        self.at += len(name) + 1
        negated ^= name.startswith("^")
        try:
            mask = classes.category(name.removeprefix("^"))
        except KeyError:
            raise Unsupported(f"the property {name!r}") from None
        return ~mask if negated else mask

    def _code_point(self, kind: str) -> str:
        braces = kind == "x" and self._take("{")
        size = self.text.find("}", self.at) - self.at if braces else (2 if kind == "x" else 4)
        digits = self.text[self.at : self.at + size]
        self.at += size + braces
        try:
            point = int(digits, 16)
        except ValueError:
            raise Unsupported(f"the escape \\{kind}{digits}") from None
        if point > 0x10FFFF or (kind == "x" and not braces and point > 127):
            raise Unsupported(f"the escape \\{kind}{digits}")
        return chr(point)


def _letter(character: str, fold: bool) -> Mask:
    if not fold:
        return classes.points(character)
    if ord(character) > 127:
        raise Unsupported(f"{character!r} in any case")
    return classes.points(character.lower() + character.upper() + _FOLDS.get(character.lower(), ""))


def _only(mask: Mask, text: str) -> int:
    """The only code point of a set."""
    if mask.sum() != 1:
        raise Unsupported(f"a range that begins or ends with a set: {text!r}")
    return int(mask.argmax())


def _repeat(node: Node, least: int, most: int | None, lazy: bool) -> Node:
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
