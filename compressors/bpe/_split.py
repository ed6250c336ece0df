"""Kernels that cut text into the pieces of a pre-tokenizer, 64 characters at a time, by arithmetic on class masks.

Where pieces start is bit arithmetic on the masks of a block and on `carry`, what is known of the characters before it.
Source of the idea: D. Lemire and G. Langdale, "Parsing gigabytes of JSON per second", arXiv 1902.08318.

A byte outside UTF-8 text is one piece. Text ends before it, and a new text starts after it.

`cutting.Scanner` calls `split`. Bit k of a mask is character k of its block, so `mask << 1` moves
every bit to the character after it, and bit 0 comes from `carry`: `x & ~((x << 1) | carry)` is the
first character of each run of x.
"""

import numpy as np

from compressors._machine_words import highest, lowest, popcount
from compressors.bpe.classes import LETTER, LINE_END, NUMBER, OTHER, QUOTE, SPACE, WHITE
from compressors.kernels import inlined, kernel

GPT2, LLAMA3 = 0, 1  # families of split

_0, _1, _2, _3 = (np.uint64(k) for k in range(4))
_FULL = np.uint64(0xFFFFFFFFFFFFFFFF)
# Rows of `carry`: class bits of the last character, then what else the next block must know.
_LETTER, _NUMBER, _SPACE, _WHITE, _END, _OTHER = 0, 1, 2, 3, 4, 5
_MARK = 6  # it is punctuation that starts a piece
_TIED = 7  # it is a line end that belongs to the punctuation before it
_STARTED = 8  # it starts a piece
_PHASE = 9  # numbers of a run that reaches the end, modulo the size of a group
_VOID = 10  # the last start is white space after a line end: it falls if a line end follows that white space
_SET, _CLEAR = 11, 12  # bits of the next block decided by a contraction at the end of this one
CARRY = 13


@inlined
def _digit_groups(numbers, first, carry, size):
    """Starts of the groups of `size` (1 or 3) numbers in each run; a run may have begun in an earlier block."""
    if size == _1:
        return numbers
    group = first
    # A run from the block before: its next group starts where the phase is 0 again.
    if (numbers & _1) and carry[_NUMBER]:
        run = numbers & ~(numbers + _1)
        group |= run & (_1 << ((_3 - carry[_PHASE]) % _3))
    # Bits with two numbers before them: a group that starts three further on is still in the run.
    three = numbers & (numbers << _1) & (numbers << _2)
    if three & (numbers << _3):  # seldom: a run of four
        more = group
        while more:
            more = (more << _3) & three
            group |= more
    return group


@inlined
def _void(masks, after_end, starts, carry):
    """Take back starts in white space after a line end where that white space is followed by another line end.

    Returns (starts, number of starts of earlier blocks that fall).
    """
    white = masks[WHITE]
    hits = masks[LINE_END] & ((white << _1) | carry[_WHITE])
    fallen = _0
    while hits:
        # The lowest hit: x & -x.
        bit = hits & (~hits + _1)
        hits ^= bit
        begin = highest(~white & (bit - _1)) + _1  # of the run of white space before this line end
        # The run began in an earlier block: the start it made there is counted as fallen.
        if begin == _0 and carry[_WHITE]:
            fallen += carry[_VOID]
            carry[_VOID] = _0
        else:
            starts &= ~((_1 << begin) & after_end)
    return starts, fallen


@inlined
def _llama3(masks, tails, first_letter, first_number, first_other, first_white, carry, size):
    """(starts, starts that the white space after a line end may lose, line ends tied to punctuation, marks)."""
    white, ends, others, spaces = masks[WHITE], masks[LINE_END], masks[OTHER], masks[SPACE]
    # Punctuation starts a piece unless a blank before it started that piece.
    marks = first_other & ~((spaces << _1) | carry[_SPACE])
    # All bytes of such a mark: the addition carries through its continuation bytes, and flips their bits.
    whole = marks | (tails & ~(tails + (tails & (marks << _1))))
    # A word starts with its letter, unless white space or one mark before it belongs to the word.
    words = first_letter & ~(((white | whole) << _1) | carry[_WHITE] | carry[_MARK])
    # Line ends right behind punctuation belong to it: the addition carries through each such run,
    # and flips its bits.
    head = ends & ((others << _1) | carry[_OTHER] | carry[_TIED])
    tied = ends & ~(ends + head)
    after_tied = (white | (ends & ~tied)) & ((tied << _1) | carry[_TIED])
    free = carry[_END] & ~carry[_TIED]
    after_end = white & (((ends & ~tied) << _1) | free)
    starts = words | marks | (first_white & ~tied) | after_tied | after_end
    starts |= _digit_groups(masks[NUMBER], first_number, carry, size)
    return starts, after_end, tied, whole


@inlined
def _gpt2(masks, first_letter, first_number, first_other, first_white, carry):
    """(starts, marks): each run takes one blank before it along."""
    after_space = (masks[SPACE] << _1) | carry[_SPACE]
    marks = first_other & ~after_space
    return marks | ((first_letter | first_number) & ~after_space) | first_white, marks


@inlined
def _contraction(text, i, end, any_case):
    """Letters after the apostrophe text[i] that form 's 't 'm 'd 're 've 'll with it; 0 if none do."""
    fold = np.uint8(32) if any_case else np.uint8(0)
    if i + 1 >= end:
        return 0
    one = text[i + 1]
    two = text[i + 2] if i + 2 < end else np.uint8(0)
    if any_case and one == 0xC5 and two == 0xBF:  # U+017F, the long s, is an s in another case
        return 1
    if one < 65 or one > 122:
        return 0
    one |= fold
    if one == 115 or one == 116 or one == 109 or one == 100:
        return 1
    if two < 65 or two > 122:
        return 0
    two |= fold
    return 2 if (one == 114 and two == 101) or (one == 118 and two == 101) or (one == 108 and two == 108) else 0


@inlined
def _contractions(text, end, quotes, letters, starts, head, place, carry, family):
    """`starts` with a piece after each contraction, and none inside it; `quotes`: apostrophes that start a piece."""
    starts = (starts & ~carry[_CLEAR]) | (carry[_SET] & letters)
    carry[_SET] = carry[_CLEAR] = _0
    n = np.uint64(head[0])
    while quotes:
        k = lowest(quotes)
        quotes &= quotes - _1
        at = head[1] + np.int64(k) if head[2] < 0 else np.int64(place[head[2] + np.int64(k)])
        size = np.uint64(_contraction(text, at, end, family == LLAMA3))
        if size == _0:
            continue
        after = k + size + _1
        if family == GPT2:  # in this family the letters would start another piece
            if k + _1 < n:
                starts &= ~(_1 << (k + _1))
            else:
                carry[_CLEAR] = _1
        if after < n:
            starts |= (_1 << after) & letters
        else:
            carry[_SET] = _1 << (after - n)
    return starts


@inlined
def _remember(masks, head, starts, marks, tied, after_end, carry, size):
    """Put into `carry` what the next block must know of this one."""
    # `top` is the last character of the block; a block may have fewer than 64.
    top = np.uint64(head[0] - 1)
    numbers, white = masks[NUMBER], masks[WHITE]
    if (numbers >> top) & _1:
        # Length of the run of numbers that ends at `top`.
        run = top - highest(~numbers & (_FULL >> (np.uint64(63) - top)))
        before = carry[_PHASE] if run == top + _1 and carry[_NUMBER] else _0
        carry[_PHASE] = (before + run) % _3
    if (white >> top) & _1:
        begin = highest(~white & (_FULL >> (np.uint64(63) - top))) + _1
        if begin > _0 or not carry[_WHITE]:
            carry[_VOID] = (after_end >> begin) & _1
    else:
        carry[_VOID] = _0
    carry[_LETTER], carry[_NUMBER] = (masks[LETTER] >> top) & _1, (numbers >> top) & _1
    carry[_SPACE], carry[_WHITE] = (masks[SPACE] >> top) & _1, (white >> top) & _1
    carry[_END], carry[_OTHER] = (masks[LINE_END] >> top) & _1, (masks[OTHER] >> top) & _1
    carry[_MARK], carry[_TIED], carry[_STARTED] = (marks >> top) & _1, (tied >> top) & _1, (starts >> top) & _1


@inlined
def _block(text, end, masks, head, place, carry, family, size):
    """(starts in this block, does the last character before it start a piece after all, earlier starts that fall)."""
    white, ends = masks[WHITE], masks[LINE_END]
    seen = masks[LETTER] | masks[NUMBER] | masks[OTHER]
    first_letter = masks[LETTER] & ~((masks[LETTER] << _1) | carry[_LETTER])
    first_number = masks[NUMBER] & ~((masks[NUMBER] << _1) | carry[_NUMBER])
    first_other = masks[OTHER] & ~((masks[OTHER] << _1) | carry[_OTHER])
    first_white = (white | ends) & ~(((white | ends) << _1) | carry[_WHITE] | carry[_END])
    tied, after_end, fallen, loose, before = _0, _0, _0, white, carry[_WHITE]
    if family == LLAMA3:
        starts, after_end, tied, marks = _llama3(
            masks, np.uint64(head[3]), first_letter, first_number, first_other, first_white, carry, size
        )
    else:
        starts, marks = _gpt2(masks, first_letter, first_number, first_other, first_white, carry)
        loose, before = white | ends, carry[_WHITE] | carry[_END]
    late = seen & before & _1 & ~carry[_STARTED]  # the last white space before something visible stands apart
    starts |= (loose & (seen >> _1)) | masks[0]
    if family == LLAMA3 and ends & ((white << _1) | carry[_WHITE]):
        starts, fallen = _void(masks, after_end, starts, carry)
    quotes = marks & masks[QUOTE]
    if quotes | carry[_SET] | carry[_CLEAR]:
        starts = _contractions(text, end, quotes, masks[LETTER], starts, head, place, carry, family)
    _remember(masks, head, starts, marks, tied, after_end, carry, size)
    return starts, late, fallen


@kernel
def split(text, offsets, masks, heads, place, first_block, family, size, carry, starts, first_piece):
    """Starts of the pieces of every document; returns their number, and puts the end of the text behind them.

    text .. first_block: as `_classify.blocks` leaves them; `size`: numbers in a group (LLAMA3). Filled: starts
    (pieces + 1) uint32, first_piece (documents + 1).
    """
    count = _0
    for d in range(len(offsets) - 1):
        first_piece[d] = count
        carry[:] = _0
        last = np.uint32(offsets[d])
        for b in range(np.uint64(first_block[d]), np.uint64(first_block[d + 1])):
            head = heads[b]
            bits, late, fallen = _block(text, offsets[d + 1], masks[b], head, place, carry, family, size)
            count -= fallen
            # The start that the block before could not know of: its last character.
            if late:
                starts[count] = last
                count += _1
            found = np.uint64(popcount(bits))
            # ASCII: the offset of a character is that of the block plus its bit.
            if head[2] < 0:
                base, k = np.uint32(head[1]), count
                last = base + np.uint32(head[0]) - np.uint32(1)
                while bits:  # four at a time: few branches to foresee; what is written beyond the last is overwritten
                    for _ in range(4):
                        starts[k] = base + np.uint32(lowest(bits))
                        bits &= bits - _1
                        k += _1
            else:
                first, k = np.uint64(head[2]), count
                last = place[first + np.uint64(head[0] - 1)]
                while bits:
                    starts[k] = place[first + lowest(bits)]
                    bits &= bits - _1
                    k += _1
            count += found
    first_piece[len(offsets) - 1] = count
    starts[count] = offsets[len(offsets) - 1]
    return count
