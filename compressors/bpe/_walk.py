"""Kernels that cut text by the tables of `compressors.bpe.tables`: characters to classes, then one walk for each table."""

import numpy as np

from compressors._machine_words import word
from compressors.bpe._classify import _character
from compressors.bpe.tables import APART, ENDS, FALLS, IS_GAP, MAY_END, NO_KIND, STATE
from compressors.kernels import inlined, kernel

_HIGH = np.uint64(0x8080808080808080)
_STATE, _ENDS, _MAY_END, _IS_GAP, _FALLS, _APART = (
    np.uint32(bits) for bits in (STATE, ENDS, MAY_END, IS_GAP, FALLS, APART)
)
_ENDS_AT, _GAP_AT = np.uint32(ENDS.bit_length() - 1), np.uint32(IS_GAP.bit_length() - 1)
_0, _1 = np.uint32(0), np.uint32(1)


@kernel
def classify(text, offsets, pages, classes, codes, place, cuts):
    """Class and offset of every character of the documents, one after another; returns their number.

    `cuts` (documents + 1): the number of the first character of each. `place` has one entry more: the end of the text.
    """
    ascii_page = np.uint32(pages[0]) << np.uint32(8)
    count = 0
    for d in range(len(offsets) - 1):
        cuts[d] = count
        i, end = offsets[d], offsets[d + 1]
        while i < end:
            if i + 8 <= end and not word(text, i) & _HIGH:
                for k in range(8):
                    codes[count + k] = classes[ascii_page | np.uint32(text[i + k])]
                    place[count + k] = np.uint32(i + k)
                count += 8
                i += 8
                continue
            point, width = _character(text, i, end)
            codes[count] = classes[(np.uint32(pages[point >> np.uint32(8)]) << np.uint32(8)) | (point & np.uint32(255))]
            place[count] = i
            count += 1
            i += width
    cuts[len(offsets) - 1] = count
    place[count] = offsets[len(offsets) - 1]
    return count


@kernel
def classify_bytes(text, classes, codes):
    """Class of every byte."""
    for i in range(len(codes)):
        codes[i] = classes[text[i]]


@inlined
def _run_end(codes, k, j):
    """The end, at most j - 2, of the characters from k on that have the class of the one before."""
    while k + 2 < j and codes[k] == codes[k - 1]:
        k += 1
    return k


@kernel
def walk(codes, cuts, entries, restart, loops, width, initial, merges, out):
    """Cut each piece [cuts[i], cuts[i + 1]) of the characters further; returns the number of cuts, the end included."""
    end_of_text = np.uint32(width - 1)
    count = 0
    for i in range(len(cuts) - 1):
        j, stop = np.int64(cuts[i]), np.int64(cuts[i + 1])
        begin, last, back = j, j, np.uint32(initial)
        state, before, last_kind = np.uint32(initial), np.uint32(NO_KIND), _0
        while j <= stop:
            code = np.uint32(codes[j]) if j < stop else end_of_text
            entry = entries[state + code]
            kind = (entry >> _GAP_AT) & _1
            if entry & _FALLS:
                if last_kind == _1 and loops[codes[begin]]:
                    last = max(last, _run_end(codes, last, j))
                out[count] = begin
                count += np.int64(_1 & ~(np.uint32(merges) >> ((before << _1) | last_kind)))
                before = last_kind
                begin = j = last
                state = restart[back]
                continue
            if entry & _ENDS:
                out[count] = begin
                count += np.int64(_1 & ~(np.uint32(merges) >> ((before << _1) | kind)))
                before, begin = kind, j
            if entry & _APART:
                before = np.uint32(NO_KIND)
            if entry & _MAY_END:
                last, back, last_kind = j, state, kind
            state = entry & _STATE
            j += 1
    out[count] = cuts[len(cuts) - 1]
    return count + 1
