"""Properties of characters, as the regular expressions of `tokenizers` see them, frozen: the same on every machine.

Python's own tables change with its version, and they are not those of the regex engine in `tokenizers` (Unicode 16);
`tests/test_bpe_classes.py` compares the frozen table with that engine, code point by code point.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

OUTSIDE = 0  # a byte outside UTF-8 text
LETTER, NUMBER, SPACE, WHITE, LINE_END, OTHER = 1, 2, 3, 4, 5, 6  # the low three bits of a class
QUOTE = 7  # no class: the row of class masks that marks apostrophes
UPPER, LOWER, CASELESS, MARK = 8, 16, 24, 32  # Lu Lt, Ll, Lm Lo; and M, which is OTHER where letters are \p{L}

CATEGORIES = (  # of code points other than surrogates
    *("Lu", "Lt", "Ll", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po"),
    *("Sm", "Sc", "Sk", "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Co", "Cn"),
)
SCRIPTS = ("", "Han", "Hiragana", "Katakana", "Hangul")
# A code: index of the category; script << 5; and bits: \s, what `Digits` takes, what `Punctuation` takes.
WHITE_SPACE, DIGIT, PUNCTUATION = 256, 512, 1024

DOUBTFUL = 128  # NFC replaces it, or may join it to what comes before
POINTS = 0x110000
Table = tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]
Mask = npt.NDArray[np.bool_]


@cache
def codes() -> npt.NDArray[np.uint16]:
    """(0x110000,) the code of every code point."""
    return _runs("categories.npy").astype(np.uint16)


@cache
def composition() -> Table:
    """As `table`, what NFC asks of a code point: rank of its combining class (0: starter), and DOUBTFUL."""
    return paged(_runs("composition.npy").astype(np.uint8))


def _runs(name: str) -> npt.NDArray[np.uint32]:
    """(0x110000,) from a file of (2, runs): first code point of each run, and its value."""
    with resources.files("compressors.bpe").joinpath(name).open("rb") as file:
        firsts, found = np.load(file)
    made: npt.NDArray[np.uint32] = np.repeat(found, np.diff(np.append(firsts, POINTS)))
    return made


@cache
def table() -> Table:
    """(pages, classes): the class of code point p is ``classes[pages[p >> 8] << 8 | p & 255]``; 0x110000 is OUTSIDE."""
    of_category = {"L": LETTER, "N": NUMBER, "M": OTHER | MARK}
    by_index = np.array([of_category.get(name[0], OTHER) for name in CATEGORIES], np.uint8)
    for name, case in {"Lu": UPPER, "Lt": UPPER, "Ll": LOWER, "Lm": CASELESS, "Lo": CASELESS}.items():
        by_index[CATEGORIES.index(name)] |= case
    every = by_index[codes() & 31]
    every[white()] = WHITE
    every[[10, 13]] = LINE_END
    every[32] = SPACE
    return paged(every)


def paged(every: npt.NDArray[np.uint8]) -> Table:
    """A table of the classes of all code points, in which equal pages of 256 are kept once; 0x110000 is class 0."""
    by_page = np.concatenate([every, np.zeros(256, np.uint8)]).reshape(-1, 256)
    seen: dict[bytes, int] = {}  # a hundredth of the time of np.unique, which sorts the pages
    pages = np.array([seen.setdefault(page.tobytes(), len(seen)) for page in by_page], np.uint16)
    return pages, np.frombuffer(b"".join(seen), np.uint8)


# -- sets of characters as masks (0x110000,) -----------------------------------------------------------------------------


def points(text: str) -> Mask:
    """The characters of `text`."""
    mask = np.zeros(POINTS, np.bool_)
    mask[[ord(character) for character in text]] = True
    return mask


def within(low: int, high: int) -> Mask:
    """The code points from `low` to `high`."""
    mask = np.zeros(POINTS, np.bool_)
    mask[low : high + 1] = True
    return mask


def white() -> Mask:
    r"""\s"""
    return (codes() & WHITE_SPACE) > 0


def having(bit: int) -> Mask:
    """The characters that the pre-tokenizer of a bit (DIGIT, PUNCTUATION) takes."""
    return (codes() & bit) > 0


def category(name: str) -> Mask:
    """A general category by its name (Lu), its first letter (L), or a script. Raises `KeyError` for any other name."""
    if name in SCRIPTS[1:]:
        mask: Mask = (codes() >> 5 & 7) == SCRIPTS.index(name)
        return mask
    wanted = [found == name or found[0] == name for found in CATEGORIES]
    if not any(wanted):
        raise KeyError(name)
    by_index: Mask = np.array(wanted, np.bool_)
    return by_index.take(codes() & 31)
