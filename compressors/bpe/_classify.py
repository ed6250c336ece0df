"""Kernels that read text as characters and give each its class: what the splitting kernels work on.

A byte outside UTF-8 text counts as a character of class 0.

`compressors.bpe.cutting` calls `blocks`; `_split`, `_walk` and `_nfc` read what it leaves, or decode
characters with `_character`.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from compressors._machine_words import lowest
from compressors.bpe.classes import LETTER, LINE_END, NUMBER, OTHER, QUOTE, SPACE, WHITE
from compressors.kernels import inlined, kernel

_0, _1 = np.uint64(0), np.uint64(1)
_FULL = np.uint64(0xFFFFFFFFFFFFFFFF)
SHORTEST = 16  # bytes: a shorter run of ASCII before another character joins the block after it


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


@inlined
def _tail(text, j):
    """The six bits that the continuation byte text[j] carries, or a number beyond any code point."""
    byte = np.uint32(text[j])
    return byte & np.uint32(0x3F) if (byte & np.uint32(0xC0)) == np.uint32(0x80) else np.uint32(0x80000000)


@inlined
def _character(text, j, end):
    """(code point, bytes) of the character at text[j]; (0x110000, 1) if UTF-8 does not allow it before `end`."""
    byte = np.uint32(text[j])
    # `least`: the smallest code point that needs this many bytes; a smaller one is an overlong
    # form.
    point, width, least = byte, 1, np.uint32(0)
    if byte >= 0x80:
        point = np.uint32(0x80000000)
        if byte >= 0xC2 and byte < 0xE0 and j + 1 < end:
            one = _tail(text, j + 1)
            point, width, least = ((byte & np.uint32(0x1F)) << np.uint32(6)) | one, 2, np.uint32(0x80)
        elif byte >= 0xE0 and byte < 0xF0 and j + 2 < end:
            one, two = _tail(text, j + 1), _tail(text, j + 2)
            point = ((byte & np.uint32(15)) << np.uint32(12)) | ((one & np.uint32(63)) << np.uint32(6)) | two
            # Bit 31 of `_tail` marks a byte that does not continue a character: it makes the point
            # too large.
            point |= one & np.uint32(0x80000000)
            width, least = 3, np.uint32(0x800)
        elif byte >= 0xF0 and byte < 0xF5 and j + 3 < end:
            one, two, three = _tail(text, j + 1), _tail(text, j + 2), _tail(text, j + 3)
            point = ((byte & np.uint32(7)) << np.uint32(18)) | ((one & np.uint32(63)) << np.uint32(12))
            point |= ((two & np.uint32(63)) << np.uint32(6)) | three | ((one | two) & np.uint32(0x80000000))
            width, least = 4, np.uint32(0x10000)
    # Refuse overlong forms, points beyond Unicode, and surrogates.
    if point < least or point >= np.uint32(0x110000) or (point >= np.uint32(0xD800) and point < np.uint32(0xE000)):
        return np.uint32(0x110000), 1
    return point, width


@inlined
def _code(point, pages, classes):
    """Class of a code point; the table has a page for 0x110000, bytes outside text, too."""
    return classes[(np.uint32(pages[point >> np.uint32(8)]) << np.uint32(8)) | (point & np.uint32(255))]


@inlined
def _read_ascii(text, i, n, masks):
    """Fill `masks` from the ASCII characters text[i:i+n], n <= 64."""
    letters, digits, ends, blanks, spaces, quotes, _ = _ascii(text, i)
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


@inlined
def _read_any(text, i, end, pages, classes, masks, place):
    """Fill `masks` and `place` (offset of each character) from at most 64 characters.

    Returns (number of characters read, offset of the next one).
    """
    for row in range(8):
        masks[row] = _0
    ascii_page = np.uint32(pages[0]) << np.uint32(8)
    k, j = 0, i
    while k < 64 and j < end:
        bit, byte = _1 << np.uint64(k), np.uint32(text[j])
        width = 1
        if byte < 128:
            code = classes[ascii_page | byte]
            if byte == 39:
                masks[QUOTE] |= bit
        else:
            point, width = _character(text, j, end)
            code = _code(point, pages, classes)
        masks[code & np.uint8(7)] |= bit
        place[k] = j
        k += 1
        j += width
    masks[WHITE] |= masks[SPACE]
    return k, j


@kernel
def blocks(text, offsets, pages, classes, masks, heads, place, first_block):
    """Class masks of documents text[offsets[d]:offsets[d + 1]], in blocks of at most 64 characters; number of blocks.

    `text` must be readable 64 bytes beyond its last document. Filled: masks (blocks, 8), bit k of row c: character k
    has class c (row QUOTE: it is an apostrophe; WHITE includes SPACE); heads (blocks, 3): number of characters, offset
    of the first, where in `place` the offsets of all of them are (-1: one byte each); first_block (documents + 1).
    """
    count, placed = 0, 0
    for d in range(len(offsets) - 1):
        first_block[d] = count
        i, end = offsets[d], offsets[d + 1]
        while i < end:
            # The number of ASCII bytes from here on: the lowest bit among those that are not ASCII.
            n = min(end - i, 64)
            ascii_bytes = np.int64(lowest(_ascii(text, i)[6]))
            if ascii_bytes >= n or ascii_bytes >= SHORTEST:
                n = min(n, ascii_bytes)
                _read_ascii(text, i, n, masks[count])
                heads[count, 0], heads[count, 1], heads[count, 2] = n, i, -1
                i += n
            else:
                heads[count, 1], heads[count, 2] = i, placed
                n, i = _read_any(text, i, end, pages, classes, masks[count], place[placed:])
                heads[count, 0] = n
                placed += n
            count += 1
    first_block[len(offsets) - 1] = count
    return count
