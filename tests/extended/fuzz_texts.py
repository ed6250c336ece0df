"""Strings that have broken tokenizers: every general category of Unicode, and what the splitting patterns trip over."""

from __future__ import annotations

import random
import sys
import unicodedata
from collections.abc import Sequence
from functools import cache

ADDED = ("<|end|>", "<x>", "<x>ab", "\n\n\n", "self", "é'")  # tokens that stand for themselves; one begins another

_STRANGE: list[str] = [
    *"'\u2019\r\n\t\v\f\0 \x85\xa0\u1680\u180e\u2003\u2028\u2029\u202f\u3000\ufeff\u200b\u200d\x1c",
    "\r\n", "\n\r", " \n", "\n ", "\n  ", "  ", "   ", "\t\t", " \u3000", "\xa0 ", "//", "/", "...", " -", "!\n\n", "?\r\n/",
    *"\u017f\u212a\u0130\u0131\u00df\u1e9eǅʰªﬀ", *"\u0301\u0308\u20dd\u093e\u0e33\ufe0f\U000e0100",
    *"²Ⅷ½٣७𝟘一㊿", *"日本語한글ไทยعبعִΩΣςЖ\u1100\u1161\u11a8\ud7a3",
    "👩\u200d👩\u200d👧\u200d👦", "🏳️\u200d🌈", "👍🏽", "🇩🇪", "🇩", "1️⃣", "e\u0301", "\u0301e", "🙂",
    *(f"{quote}{end}" for quote in "'\u2019" for end in ("s", "S", "t", "re", "RE", "vE", "m", "ll", "lL", "d", "\u017f", "x", "")),
    "don't", "I'LL", "we'\u017f", "CamelCase", "HTTPServer", "snake_case", " self", "<|end", "<|end|>", "<x>", "<x>ab", "self",
]  # fmt: skip
_RUNS: list[str] = [*"a \n\t^'09-_é日\u0301\xa0🙂/", "ab", "\r\n", " \n", "'s", "A1"]


@cache
def _by_category() -> list[list[str]]:
    found: dict[str, list[str]] = {}
    for point in range(sys.maxunicode + 1):
        found.setdefault(unicodedata.category(chr(point)), []).append(chr(point))
    return [characters for category, characters in sorted(found.items()) if category != "Cs"]


def strings(seed: int, snippets: Sequence[str] = ()) -> Strings:
    return Strings(random.Random(seed), snippets)


class Strings:
    """An endless supply of strings of some 20 to 60 characters, the same for a seed and an interpreter."""

    def __init__(self, rng: random.Random, snippets: Sequence[str]) -> None:
        """`snippets`: ordinary texts of which slices are mixed in."""
        self._rng, self._snippets = rng, snippets

    def take(self, n: int) -> list[str]:
        return ["".join(self._part() for _ in range(self._rng.randrange(1, 22))) for _ in range(n)]

    def _part(self) -> str:
        rng, kind = self._rng, self._rng.random()
        if kind < 0.45:
            return rng.choice(_STRANGE)
        if kind < 0.60:
            category: list[str] = rng.choice(_by_category())
            return rng.choice(category)
        if kind < 0.70:
            return chr(rng.randrange(32, 127))
        if kind < 0.78:
            return "".join(rng.choice("aeE tsSnr'") for _ in range(rng.randrange(1, 8)))
        if kind < 0.84:
            return "".join(rng.choice("0123456789") for _ in range(rng.randrange(1, 8)))
        if kind < 0.87:
            return rng.choice(_RUNS) * rng.choice((2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 64, 65, 130))
        if kind < 0.92:
            return rng.choice(ADDED)
        if not self._snippets:
            return " the quick Brown fox"[: rng.randrange(1, 20)]
        text = rng.choice(self._snippets)
        at = rng.randrange(max(1, len(text)))
        return text[at : at + rng.randrange(1, 25)]
