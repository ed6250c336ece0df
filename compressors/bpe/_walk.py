"""Kernels that cut text by the tables of `compressors.bpe.tables`: characters to classes, then one walk for each table.

`cutting.Walker` calls them: `classify` (or `classify_bytes` for ASCII), then `mark` and `walk` for
each table.
"""

import numpy as np

from compressors._machine_words import word
from compressors.bpe._classify import _character
from compressors.bpe.tables import ENDS, FALLS, IS_GAP, KEPT, MAY_END, STATE
from compressors.kernels import inlined, kernel

_HIGH = np.uint64(0x8080808080808080)
_STATE, _FALLS = np.uint64(STATE), np.uint64(FALLS)
_ENDS_AT, _KEPT_AT, _MAY_END_AT, _GAP_AT = (np.uint64(bit.bit_length() - 1) for bit in (ENDS, KEPT, MAY_END, IS_GAP))
_0, _1, _32 = np.uint64(0), np.uint64(1), np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


@kernel
def classify_bytes(text, classes, codes):
    """Class of every byte."""
    for i in range(len(codes)):
        codes[i] = classes[text[i]]


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
            # Eight ASCII bytes at once: none has its high bit set.
            if i + 8 <= end and not word(text, i) & _HIGH:
                for k in range(8):
                    codes[count + k] = classes[ascii_page | np.uint32(text[i + k])]
                    place[count + k] = np.uint32(i + k)
                count += 8
                i += 8
                continue
            point, width = _character(text, i, end)
            # A two-level table: the page of the upper bits, then the class within the page.
            codes[count] = classes[(np.uint32(pages[point >> np.uint32(8)]) << np.uint32(8)) | (point & np.uint32(255))]
            place[count] = i
            count += 1
            i += width
    cuts[len(offsets) - 1] = count
    place[count] = offsets[len(offsets) - 1]
    return count


@kernel
def mark(codes, cuts, n_classes):
    """Add the number of classes to the codes that pieces begin with, unless that was done before."""
    for i in range(len(cuts) - 1):
        if codes[cuts[i]] < n_classes:
            codes[cuts[i]] += n_classes


@inlined
def _run_end(codes, k, j):
    """The first place from k on where a new try is worth while, after one from k - 1 came to nothing at j.

    With the same class at a place, before and behind it, a try from there stands where the failed one stood.
    """
    while k + _1 + _1 < j and codes[k] == codes[k - _1] and codes[k] == codes[k + _1]:
        k += _1
    return k


@kernel
def walk(codes, firsts, entries, falls, loops, n_classes, initial, out):
    """Where the pieces of some texts begin; returns their number, and puts the end of the last text behind them.

    firsts (texts + 1): where each text begins in `codes`, and the end. `out` has room for every character and two more.
    Bits are arithmetic here, not branches: where a piece ends cannot be foreseen, and a wrong guess takes ten steps.
    """
    count = _0
    for i in range(len(firsts) - 1):
        j, stop = np.uint64(firsts[i]), np.uint64(firsts[i + 1])
        begin, state = j, np.uint64(initial)
        passed = j  # the last place where a piece might have ended; above, the state there
        while j <= stop:
            entry = _FALLS
            while j < stop:
                entry = np.uint64(entries[state + np.uint64(codes[j])])
                if entry & _FALLS:
                    break
                # Write always, and count the piece only where it is KEPT.
                out[count] = begin
                count += (entry >> _KEPT_AT) & _1
                # begin = j where ENDS is set: the mask is all ones or all zeros.
                begin ^= (begin ^ j) & (_0 - ((entry >> _ENDS_AT) & _1))
                # The same for `passed`, which packs (state << 32 | place) where MAY_END is set.
                passed ^= (passed ^ (j | (state << _32))) & (_0 - ((entry >> _MAY_END_AT) & _1))
                state = entry & _STATE
                j += _1
            # The end of the text is one more class, the last one.
            if j == stop:
                entry = np.uint64(entries[state + np.uint64(n_classes - 1)])
                if not entry & _FALLS:
                    out[count] = begin
                    count += (entry >> _KEPT_AT) & _1
                    break
            # A fall: go back to the last place where the piece might have ended, with the state
            # that stood there.
            last, back = passed & _LOW, passed >> _32
            gap = (np.uint64(entries[back + np.uint64(codes[last])]) >> _GAP_AT) & _1
            entry = np.uint64(falls[back + gap])
            # Without this, a long run that never matches would be walked again from each of its
            # characters.
            if gap and loops[codes[begin]]:
                last = max(last, _run_end(codes, last, j))
            out[count] = begin
            count += (entry >> _KEPT_AT) & _1
            begin = j = last
            state = entry & _STATE
    out[count] = firsts[len(firsts) - 1]
    return np.int64(count + _1)
