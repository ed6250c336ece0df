"""Kernels that read text as characters and give each its class: what the splitting kernels work on.

A byte outside UTF-8 text counts as a character of class 0. Text is read 64 bytes at a time, with vector instructions
for ASCII and for where characters begin; only the class of each longer character is looked up in a table. The few
blocks where a character of several bytes must count as one are read character by character.

`compressors.bpe.cutting` calls `blocks`; `_split`, `_walk` and `_nfc` read what it leaves, or decode
characters with `_character`.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from compressors._machine_words import highest, lowest, word
from compressors.bpe.classes import LETTER, LINE_END, NUMBER, OTHER, QUOTE, SPACE, WHITE
from compressors.kernels import inlined, kernel

_0, _1, _2, _3, _6, _7, _8, _12, _15 = (np.uint64(k) for k in (0, 1, 2, 3, 6, 7, 8, 12, 15))
_16, _18, _24, _31, _32, _61, _62, _63 = (np.uint64(k) for k in (16, 18, 24, 31, 32, 61, 62, 63))
_FULL = np.uint64(0xFFFFFFFFFFFFFFFF)
_128, _192, _248 = (np.uint64(k) for k in (128, 192, 248))
_BYTE, _TAILS = np.uint64(0xFF), np.uint64(0x80808000)
LONG_S = 0x17F  # an s in another case


@intrinsic
def _ascii(typingctx, text, i):
    """Masks of text[i:i+64]: letters, digits, line ends, tab to carriage return, blanks, apostrophes, not ASCII."""

    def generate(context, builder, signature, arguments):
        # One load of 64 bytes, compared with constants: each comparison gives 64 bits, one for each
        # byte.
        vector = ir.VectorType(ir.IntType(8), 64)
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), vector.as_pointer())
        block = builder.load(pointer, align=1)

        def all_of(value):
            return ir.Constant(vector, [ir.Constant(ir.IntType(8), value)] * 64)

        def within(value, first, count):
            return builder.icmp_unsigned("<", builder.sub(value, all_of(first)), all_of(count))

        def equal(value):
            return builder.icmp_unsigned("==", block, all_of(value))

        # Bit 5 set turns A-Z into a-z. `within` subtracts the first, so that one unsigned
        # comparison does for both ends.
        lower = builder.or_(block, all_of(32))
        masks = [within(lower, 97, 26), within(block, 48, 10), builder.or_(equal(10), equal(13)), within(block, 9, 5)]
        masks += [equal(32), equal(39), builder.icmp_signed("<", block, all_of(0))]
        words = [builder.bitcast(mask, ir.IntType(64)) for mask in masks]
        return context.make_tuple(builder, signature.return_type, words)

    return types.UniTuple(types.uint64, 7)(text, i), generate


@intrinsic
def _utf8(typingctx, text, i):
    """Masks of text[i:i+64]: continuation bytes, leads of two bytes and more, of three and more, of four, and errors.

    Errors are bytes that no text has, and second bytes that their lead forbids: overlong forms, surrogates, points
    beyond Unicode.
    """

    def generate(context, builder, signature, arguments):
        vector = ir.VectorType(ir.IntType(8), 64)
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        pointer = builder.bitcast(builder.gep(data, [arguments[1]]), vector.as_pointer())
        block = builder.load(pointer, align=1)

        def mask(operator, value):
            found = builder.icmp_unsigned(
                operator, block, ir.Constant(vector, [ir.Constant(ir.IntType(8), value)] * 64)
            )
            return builder.bitcast(found, ir.IntType(64))

        def behind(lead):
            return builder.shl(mask("==", lead), ir.Constant(ir.IntType(64), 1))

        two, three, four = mask(">=", 0xC2), mask(">=", 0xE0), mask(">=", 0xF0)
        tails = builder.and_(mask(">=", 0x80), mask("<", 0xC0))
        below_a0, below_90 = mask("<", 0xA0), mask("<", 0x90)
        errors = builder.or_(mask(">", 0xF4), builder.xor(mask(">=", 0xC0), two))
        for lead, wrong in (
            (0xE0, below_a0), (0xED, builder.not_(below_a0)), (0xF0, below_90), (0xF4, builder.not_(below_90)),
        ):  # fmt: skip
            errors = builder.or_(errors, builder.and_(behind(lead), wrong))
        return context.make_tuple(builder, signature.return_type, [tails, two, three, four, errors])

    return types.UniTuple(types.uint64, 5)(text, i), generate


@inlined
def _point(four):
    """(code point, bytes) of the character of more than one byte that a word begins with; not checked."""
    one, two, three, last = four & _31, (four >> _8) & _63, (four >> _16) & _63, (four >> _24) & _63
    if not four & _32:
        return np.uint32((one << _6) | two), 2
    if not four & _16:
        return np.uint32(((one & _15) << _12) | (two << _6) | three), 3
    return np.uint32(((one & _7) << _18) | (two << _12) | (three << _6) | last), 4


@inlined
def _character(text, j, end):
    """(code point, bytes) of the character at text[j]; (0x110000, 1) if UTF-8 does not allow it before `end`.

    `text` must be readable 8 bytes beyond `end`.
    """
    four = word(text, j)
    byte = four & _BYTE
    if byte < _128:
        return np.uint32(byte), 1
    point, width = _point(four)
    # The high bits of the bytes behind the first are 10. `least`: the smallest code point that needs this many bytes; a
    # smaller one is an overlong form.
    tops, least = np.uint64(0xC000), np.uint32(0x80)
    if width == 3:
        tops, least = np.uint64(0xC0C000), np.uint32(0x800)
    elif width == 4:
        tops, least = np.uint64(0xC0C0C000), np.uint32(0x10000)
    whole = byte >= _192 and byte < _248 and j + width <= end and (four & tops) == (tops & _TAILS)
    # Refuse overlong forms, points beyond Unicode, and surrogates.
    if not whole or point < least or point >= np.uint32(0x110000) or (point >> np.uint32(11)) == np.uint32(0x1B):
        return np.uint32(0x110000), 1
    return point, width


@inlined
def _code(point, pages, classes):
    """Class of a code point; the table has a page for 0x110000, bytes outside text, too."""
    return classes[(np.uint32(pages[point >> np.uint32(8)]) << np.uint32(8)) | (point & np.uint32(255))]


@inlined
def _read_ascii(text, i, n, masks):
    """Fill `masks` from the bytes text[i:i+n], n <= 64; those that are not ASCII, whose mask is returned, are OTHER."""
    letters, digits, ends, blanks, spaces, quotes, others = _ascii(text, i)
    # Bits beyond character n come from bytes of the next block: clear them.
    valid = _FULL >> np.uint64(64 - n)
    masks[0] = _0
    masks[LETTER] = letters & valid
    masks[NUMBER] = digits & valid
    masks[SPACE] = spaces & valid
    masks[WHITE] = ((blanks & ~ends) | spaces) & valid
    masks[LINE_END] = ends & valid
    masks[OTHER] = valid & ~(letters | digits | blanks | spaces)
    masks[QUOTE] = quotes & valid
    return others & valid


@inlined
def _read_text(text, i, n, pages, classes, masks):
    """Complete the `masks` that `_read_ascii` made of text[i:i+n]: every byte of a character has the character's class.

    Returns (bytes read, mask of the continuation bytes), 0 bytes if that would not do: a byte is outside UTF-8 text,
    or a number, white space, or the long s has several bytes.
    """
    tails, two, three, four, errors = _utf8(text, i)
    # A character that reaches beyond the 64 bytes is left to the next block.
    if n == 64 and (two >> _63) | (three >> _62) | (four >> _61):
        n = np.int64(highest(two))
    valid = _FULL >> np.uint64(64 - n)
    two, tails = two & valid, tails & valid
    if (errors & valid) or ((two << _1) | ((three & valid) << _2) | ((four & valid) << _3)) != tails:
        return 0, _0
    letters, odd, left = _0, _0, two
    while left:
        bit = lowest(left)
        left &= left - _1
        point, _ = _point(word(text, i + np.int64(bit)))
        code = np.uint64(_code(point, pages, classes) & np.uint8(7))
        letters |= np.uint64(code == LETTER) << bit
        odd |= np.uint64((code != LETTER) & (code != OTHER)) | np.uint64(point == LONG_S)
    if odd:
        return 0, _0
    # The addition carries through the continuation bytes of each letter, and flips their bits.
    letters |= tails & ~(tails + (tails & (letters << _1)))
    masks[LETTER] |= letters
    masks[OTHER] &= ~letters
    if n < 64:
        for row in range(8):
            masks[row] &= valid
    return n, tails


@inlined
def _read_any(text, i, end, pages, classes, masks, place):
    """Fill `masks` and `place` (offset of each character) from at most 64 characters.

    Returns (number of characters read, offset of the next one).
    """
    for row in range(8):
        masks[row] = _0
    k, j = 0, i
    while k < 64 and j < end:
        bit = _1 << np.uint64(k)
        point, width = _character(text, j, end)
        masks[_code(point, pages, classes) & np.uint8(7)] |= bit
        masks[QUOTE] |= bit if point == 39 else _0
        place[k] = j
        k += 1
        j += width
    masks[WHITE] |= masks[SPACE]
    return k, j


@kernel
def blocks(text, offsets, pages, classes, masks, heads, place, first_block):
    """Class masks of documents text[offsets[d]:offsets[d + 1]], in blocks of at most 64 units; number of blocks.

    A unit is a byte; where that would not do (`_read_text`), a character. `text` must be readable 64 bytes beyond its
    last document. Filled: masks (blocks, 8), bit k of row c: unit k has class c (row QUOTE: it is an apostrophe; WHITE
    includes SPACE); heads (blocks, 4): number of units, offset of the first, where in `place` the offsets of all of
    them are (-1: they are bytes), mask of the bytes that continue a character; first_block (documents + 1).
    """
    count, placed = 0, 0
    for d in range(len(offsets) - 1):
        first_block[d] = count
        i, end = offsets[d], offsets[d + 1]
        while i < end:
            n, tails, first, place_at = min(end - i, 64), _0, i, -1
            if _read_ascii(text, i, n, masks[count]):
                n, tails = _read_text(text, i, n, pages, classes, masks[count])
            if n:
                i += n
            else:
                place_at = placed
                n, i = _read_any(text, i, end, pages, classes, masks[count], place[placed:])
                placed += n
            heads[count, 0], heads[count, 1], heads[count, 2], heads[count, 3] = n, first, place_at, np.int64(tails)
            count += 1
    first_block[len(offsets) - 1] = count
    return count
