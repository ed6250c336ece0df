"""Small changes of a text, as functions of (text, seed): every view and every model is shown the same changed text."""

from __future__ import annotations

import keyword
import random
import re
import string
from collections import Counter
from collections.abc import Callable, Sequence

SHARE = 0.1  # of the characters, blanks, letters or names, each chosen by itself


def deleted(text: str, draw: random.Random) -> str:
    """Each character dropped with probability SHARE."""
    return "".join(c for c in text if draw.random() >= SHARE)


def spaced(text: str, draw: random.Random) -> str:
    """Each blank doubled with probability SHARE."""
    return "".join(2 * c if c in " \t" and draw.random() < SHARE else c for c in text)


def recased(text: str, draw: random.Random) -> str:
    """The case of each letter swapped with probability SHARE."""
    return "".join(c.swapcase() if c.isalpha() and draw.random() < SHARE else c for c in text)


def renamed(text: str, draw: random.Random) -> str:
    """Each name that occurs more than once renamed with probability SHARE, in all places: random letters, as long (3 at least).

    A name is a word that is not a keyword of Python, also in comments and strings: the language of the text is not known.
    """
    counts = Counter(re.findall(r"[^\W\d]\w*", text))
    new: dict[str, str] = {}
    for name, count in counts.items():
        if count > 1 and not keyword.iskeyword(name) and draw.random() < SHARE:
            size = max(3, len(name))
            while (chosen := "".join(draw.choices(string.ascii_lowercase, k=size))) in counts or chosen in new.values():
                size += 1  # taken already: try a longer one
            new[name] = chosen
    return re.sub(r"[^\W\d]\w*", lambda word: new.get(word[0], word[0]), text)


Change = Callable[[str, random.Random], str]
CHANGES: dict[str, Change] = {"deletion": deleted, "case": recased, "white_space": spaced, "renamed": renamed}


def changed(documents: Sequence[bytes], name: str, seed: int = 0) -> list[bytes]:
    """Each document after the change called `name`; each byte that is not UTF-8 counts as one character."""
    texts = (document.decode("utf-8", "surrogateescape") for document in documents)
    # A document's change does not depend on the others.
    draws = (random.Random(f"{seed} {name} {i}") for i in range(len(documents)))
    return [
        CHANGES[name](text, draw).encode("utf-8", "surrogateescape") for text, draw in zip(texts, draws, strict=True)
    ]
