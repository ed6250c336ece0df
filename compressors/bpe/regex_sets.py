"""Parsing sets of characters: classes in brackets, escapes, properties, one letter in any case.

A set is a mask (0x110000,) over all code points, so union, intersection and complement are those of
NumPy. `regex` subclasses `Sets` for the rest of the grammar. Whatever Oniguruma might read in
another way
raises `Unsupported`; the tokenizer is then left to `tokenizers`.
"""

from __future__ import annotations

from compressors.bpe import classes
from compressors.bpe.classes import Mask

_CONTROLS = {"n": 10, "r": 13, "t": 9, "f": 12, "v": 11, "a": 7, "e": 27}
_FOLDS = {"s": "\u017f", "k": "\u212a"}  # what else is an ASCII letter in another case


class Unsupported(Exception):
    """The expression uses something that the tables cannot express; the message says what."""


class Sets:
    """The part of the parser that reads sets; what stands around them is up to `regex`."""

    def __init__(self, expression: str) -> None:
        self.text, self.at = expression, 0

    def _peek(self, ahead: str) -> bool:
        """Does the text continue with `ahead`?"""
        return self.text.startswith(ahead, self.at)

    def _take(self, ahead: str) -> bool:
        """Read `ahead` if it comes next; was it there?"""
        if is_there := self._peek(ahead):
            self.at += len(ahead)
        return is_there

    def _next(self) -> str:
        """Read one character. Raises `Unsupported` at the end."""
        if self.at >= len(self.text):
            raise Unsupported("the expression ends too early")
        self.at += 1
        return self.text[self.at - 1]

    def members(self, fold: bool) -> Mask:
        """What stands between [ and ]; && binds less than anything else, and ^ is about all of it."""
        negated = self._take("^")
        # `part` is the union read since the last &&, `whole` the intersection of the parts before
        # it.
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
        """One member of a class: a class within it, an escape, a character, or a range."""
        if self._peek("[:"):
            raise Unsupported("a POSIX bracket")
        if self._take("["):
            return self.members(fold)
        start = self.at
        first = self._next()
        mask = self.escape(fold) if first == "\\" else letter(first, fold)
        # A hyphen at the end of a class stands for itself; elsewhere it makes a range.
        if not self._peek("-") or self.text[self.at + 1 : self.at + 2] in ("]", ""):
            return mask
        if first == "-" or self.text[self.at + 1] == "[":
            raise Unsupported("a hyphen inside a class that is neither first nor last")
        self._next()
        low = _only(mask, self.text[start : self.at])
        last = self._next()
        high = _only(self.escape(False) if last == "\\" else letter(last, False), last)
        if low > high or fold:
            raise Unsupported(f"the range {self.text[start : self.at]!r}{' in any case' if fold else ''}")
        return classes.within(low, high)

    def escape(self, fold: bool) -> Mask:
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
            return letter(self._code_point(character), fold)
        if character in _CONTROLS:
            return classes.points(chr(_CONTROLS[character]))
        if character.isalnum() or ord(character) > 127:
            raise Unsupported(f"the escape \\{character}")
        return classes.points(character)

    def _property(self, negated: bool) -> Mask:
        r"""The set of \p{NAME}, \P{NAME} or \p{^NAME}: a category or a script."""
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
        r"""The character of \xHH, \x{H...} or \uHHHH; Oniguruma reads \x80 and above as bytes, so they
        are refused.
        """
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


def letter(character: str, fold: bool) -> Mask:
    """The set of one character; with `fold`, of an ASCII letter in any case."""
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
