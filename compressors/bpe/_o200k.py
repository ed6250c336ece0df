"""Kernel that cuts text by the o200k pattern (GPT-4o), a piece at a time: its words depend on the case of letters.

Letters count as upper (Lu, Lt), lower (Ll) or both (Lm, Lo and marks, M). A word is at most one character that is no
letter, number or line end, then uppers, then lowers, then perhaps a contraction.
"""

import numpy as np

from compressors.bpe._classify import characters
from compressors.bpe.classes import LETTER, LINE_END, LOWER, MARK, NUMBER, OTHER, OUTSIDE, SPACE, UPPER, WHITE
from compressors.kernels import inlined, kernel


@inlined
def _kind(codes, k, end):
    """Class of character k without its case; OUTSIDE at the end of the text."""
    return np.int64(codes[k] & np.uint8(7)) if k < end else np.int64(OUTSIDE)


@inlined
def _case(codes, k, end):
    """1 upper, 2 lower, 3 both, 0 neither."""
    if k >= end:
        return 0
    code = codes[k]
    if (code & np.uint8(7)) == LETTER:
        case = code & np.uint8(24)
        return 1 if case == UPPER else (2 if case == LOWER else 3)
    return 3 if code & np.uint8(MARK) else 0


@inlined
def _word(codes, k, end):
    """End of uppers* lowers+ from k, as far as a backtracking engine takes it; k if there is no such word."""
    j, last_both = k, -1
    while _case(codes, j, end) & 1:
        if _case(codes, j, end) == 3:
            last_both = j
        j += 1
    if _case(codes, j, end) == 2:
        while _case(codes, j, end) & 2:
            j += 1
        return j
    return last_both + 1 if last_both >= 0 else k


@inlined
def _capitals(codes, k, end):
    """End of uppers+ lowers* from k; k if there are none."""
    while _case(codes, k, end) & 1:
        k += 1
    return k


@inlined
def _letter(text, place, k, end):
    """Character k as a small ASCII letter (the long s is an s), 0 if it is none."""
    if k >= end:
        return 0
    byte = text[place[k]]
    if byte == 0xC5 and text[place[k] + 1] == 0xBF:
        return 115
    byte |= np.uint8(32)
    return np.int64(byte) if byte >= 97 and byte <= 122 else 0


@inlined
def _suffix(text, place, k, end):
    """End of a contraction that begins with the apostrophe at k, or k."""
    if k >= end or text[place[k]] != 39:
        return k
    one, two = _letter(text, place, k + 1, end), _letter(text, place, k + 2, end)
    if one == 115 or one == 116 or one == 109 or one == 100:
        return k + 2
    if (one == 114 and two == 101) or (one == 118 and two == 101) or (one == 108 and two == 108):
        return k + 3
    return k


@inlined
def _white(codes, k, end):
    """End of the piece that begins with white space at k."""
    j, line_end = k, -1
    while _kind(codes, j, end) == SPACE or _kind(codes, j, end) == WHITE or _kind(codes, j, end) == LINE_END:
        if _kind(codes, j, end) == LINE_END:
            line_end = j
        j += 1
    if line_end >= 0:
        return line_end + 1
    return j - 1 if j - k > 1 and _kind(codes, j, end) != OUTSIDE else j


@inlined
def _piece(text, codes, place, k, end):
    """End of the piece that begins at character k."""
    kind = _kind(codes, k, end)
    if kind == OUTSIDE:
        return k + 1
    prefix = kind != LETTER and kind != NUMBER and kind != LINE_END
    for attempt in range(4):  # uppers* lowers+ with and without a character before, uppers+ lowers* likewise
        if attempt & 1 or prefix:
            begin = k if attempt & 1 else k + 1
            j = _word(codes, begin, end) if attempt < 2 else _capitals(codes, begin, end)
            if j > begin:
                return _suffix(text, place, j, end)
    if kind == NUMBER:
        j = k + 1
        while j < k + 3 and _kind(codes, j, end) == NUMBER:
            j += 1
        return j
    j = k + 1 if kind == SPACE else k
    if _kind(codes, j, end) == OTHER:
        while _kind(codes, j, end) == OTHER:
            j += 1
        while j < end and (_kind(codes, j, end) == LINE_END or text[place[j]] == 47):
            j += 1
        return j
    return _white(codes, k, end)


@kernel
def split(text, offsets, pages, classes, codes, place, starts, first_piece):
    """Starts of the pieces of every document, as `_split.split` gives them; codes, place: room for every character."""
    count = 0
    for d in range(len(offsets) - 1):
        first_piece[d] = count
        end = characters(text, offsets[d], offsets[d + 1], pages, classes, codes, place)
        k = 0
        while k < end:
            starts[count] = place[k]
            count += 1
            k = _piece(text, codes, place, k, end)
    first_piece[len(offsets) - 1] = count
    starts[count] = offsets[len(offsets) - 1]
    return count
