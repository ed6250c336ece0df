"""The frozen properties of characters are those of the regex engine and of the pre-tokenizers inside `tokenizers`."""

import bisect
import unicodedata

import numpy as np
import pytest
from tokenizers import Regex, normalizers, pre_tokenizers

from compressors.bpe import classes

POINTS = np.array([point for point in range(classes.POINTS) if not 0xD800 <= point < 0xE000])
EVERY = "".join(map(chr, POINTS))


def having(pattern: str, text: str) -> np.ndarray:
    """Which characters of a sorted text match, asked of the engine that `Split` uses, in a tenth of its time."""
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    left = normalizers.Replace(Regex(rf"(?:{pattern})+"), "").normalize_str(text)
    return ~np.isin(points, np.frombuffer(left.encode("utf-32-le"), np.uint32))


def categories() -> np.ndarray:
    """Index of the category of every code point: the engine cuts them into runs, then says what each run is."""
    runs = "|".join(rf"\p{{{name}}}+" for name in classes.CATEGORIES)
    pieces = pre_tokenizers.Split(Regex(runs), "isolated").pre_tokenize_str(EVERY)
    firsts = "".join(piece[0] for piece, _ in pieces)
    found = np.full(len(pieces), -1)
    for i, name in enumerate(classes.CATEGORIES):
        found[having(rf"\p{{{name}}}", firsts)] = i
    assert found.min() >= 0
    return np.repeat(found, [len(piece) for piece, _ in pieces])


def taken(pre_tokenizer: pre_tokenizers.PreTokenizer) -> np.ndarray:
    """Which code points it takes: it cuts runs of them from runs of others, and U+0000 is one of the others."""
    lengths = [len(piece) for piece, _ in pre_tokenizer.pre_tokenize_str(EVERY)]
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)


def engine() -> np.ndarray:
    """The code of every code point, asked of `tokenizers`."""
    found = categories()
    for i, name in enumerate(classes.SCRIPTS[1:], 1):
        found[having(rf"\p{{{name}}}", EVERY)] |= i << 5
    found[having(r"\s", EVERY)] |= classes.WHITE_SPACE
    found[taken(pre_tokenizers.Digits(individual_digits=False))] |= classes.DIGIT
    found[taken(pre_tokenizers.Punctuation("contiguous"))] |= classes.PUNCTUATION
    return found


def freeze(name: str, wanted: np.ndarray) -> None:
    every = np.full(classes.POINTS, wanted[0xD7FF])
    every[POINTS] = wanted
    firsts = np.flatnonzero(np.diff(every, prepend=every[0] + 1))
    with open(classes.__file__.replace("classes.py", name), "wb") as file:
        np.save(file, np.array([firsts, every[firsts]], np.uint32))


def composition() -> np.ndarray:
    """What NFC asks of each code point, found by normalising single characters and pairs of marks."""
    apart = "\1".join(EVERY.replace("\1", "x"))
    nfc, nfd = (form.normalize_str(apart).split("\1") for form in (normalizers.NFC(), normalizers.NFD()))
    joined = {decomposed[-1] for c, d, decomposed in zip(EVERY, nfc, nfd, strict=True) if c == d != decomposed}
    found = np.array([classes.DOUBTFUL * (c != d or c in joined) for c, d in zip(EVERY, nfc, strict=True)])
    found[1] = 0

    def swapped(one: str, two: str) -> bool:
        """Does the first mark belong after the second?"""
        return normalizers.NFD().normalize_str(one + two) != one + two

    marks = [i for i, c in enumerate(EVERY) if nfd[i] == c and unicodedata.category(c) in ("Mn", "Mc", "Me", "Cn")]
    ranks: list[str] = []  # a mark of each combining class, in their order
    for i in marks:
        if swapped("\u0345", EVERY[i]) or swapped(EVERY[i], "\u0334"):
            at = bisect.bisect_left(ranks, True, key=lambda mark: not swapped(EVERY[i], mark))
            if at == len(ranks) or swapped(ranks[at], EVERY[i]):
                ranks.insert(at, EVERY[i])
    for i in marks:
        if swapped("\u0345", EVERY[i]) or swapped(EVERY[i], "\u0334"):
            found[i] |= 1 + bisect.bisect_left(ranks, True, key=lambda mark: not swapped(EVERY[i], mark))
    return found


def test_the_frozen_composition_is_that_of_the_normalizer(request: pytest.FixtureRequest) -> None:
    wanted = composition()
    if request.config.getoption("--rewrite-golden"):
        freeze("composition.npy", wanted)
    pages, codes = classes.composition()
    np.testing.assert_array_equal(codes[(pages[POINTS >> 8].astype(np.int64) << 8) | (POINTS & 255)], wanted)
    assert 50 < wanted.max() & 127 < 64


def test_the_frozen_properties_are_those_of_the_engine(request: pytest.FixtureRequest) -> None:
    wanted = engine()
    if request.config.getoption("--rewrite-golden"):
        freeze("categories.npy", wanted)
    np.testing.assert_array_equal(classes.codes()[POINTS], wanted)


@pytest.mark.parametrize(
    ("code", "pattern"),
    [
        (classes.LETTER | classes.UPPER, r"[\p{Lu}\p{Lt}]"),
        (classes.LETTER | classes.LOWER, r"\p{Ll}"),
        (classes.LETTER | classes.CASELESS, r"[\p{Lm}\p{Lo}]"),
        (classes.NUMBER, r"\p{N}"),
        (classes.WHITE, r"[^\S\r\n ]"),
        (classes.OTHER | classes.MARK, r"\p{M}"),
    ],
)
def test_the_classes_of_the_scanners_are_made_of_them(code: int, pattern: str) -> None:
    pages, codes = classes.table()
    found = codes[(pages[POINTS >> 8].astype(np.int64) << 8) | (POINTS & 255)]
    np.testing.assert_array_equal(found == code, having(pattern, EVERY))
    assert (found[10], found[13], found[32]) == (classes.LINE_END, classes.LINE_END, classes.SPACE)


def test_bytes_outside_text_have_a_class_of_their_own() -> None:
    pages, codes = classes.table()
    assert codes[(int(pages[0x1100]) << 8)] == classes.OUTSIDE
