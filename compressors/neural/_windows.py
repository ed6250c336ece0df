"""Kernels of the windows: where words end, the trie of the dictionary as one array, and three walks through
it.

The trie is a double array (Aoe 1989) of 32-bit cells. The cell of a string holds, above 9 bits, the base of
its children, and below the byte it ends in plus 1; the child by byte b is in cell base + b if that cell
says b. No two strings share a base, so the byte is enough to tell a child from the child of another string.
A string without children has a base whose 256 cells are empty. The cell of a single byte is its value:
every walk starts without a look-up.

`windows.Windows` calls `fill` for the trie, `words` and `dense` to encode, `size` and `join` to
decode; `windows.fit` calls `grow`.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from compressors.kernels import inlined, kernel

# Classes of bytes: 0 letters, digits and all bytes above ASCII; 1 "_"; 2 blanks; 3 line ends; 4 the rest.
CLASSES = np.full(256, 4, np.uint8)
CLASSES[[b for b in range(256) if chr(b).isalnum() or b > 127]] = 0
CLASSES[ord("_")], CLASSES[[9, 32]], CLASSES[[10, 13]] = 1, 2, 3
# Between two bytes, by 8 * class of the first + class of the second: 1 where a word ends, that is where the class
# changes ("_" begins the part of a name that follows it); 2 where a run of words ends too: after white space, before a
# letter. Runs that stop there repair themselves after an edit, and are of use in more places: in trials on Python and on
# prose both took fewer symbols, and changed less, than runs over any words.
WORD_END, RUN_END = 1, 2
_ENDS = np.zeros(64, np.uint8)
for _a in range(5):
    for _b in range(5):
        _ENDS[8 * _a + _b] = WORD_END if _a != _b and (_a, _b) != (1, 0) else 0
_ENDS[[16, 24]] = RUN_END
WORD_WEIGHT = 4  # of a string that starts where a word does, against 1 within a word
_LABEL = np.uint32(0x1FF)
_9 = np.uint32(9)
_0, _1, _8 = np.uint64(0), np.uint64(1), np.uint64(8)
_PATIENCE = 50  # places tried for the children of a string before the search begins further on for all that follow


@inlined
def _between(a, b):
    """What ends between bytes a and b: 0, WORD_END or RUN_END."""
    return _ENDS[np.int64(8) * CLASSES[a] + CLASSES[b]]


@kernel
def grow(text, offsets, starts, nodes, n, depth, ids, counts):
    """Lengthen the strings at starts[:n] by a byte and count the bytes after them; how many strings are left.

    offsets (documents + 1) cut text. starts and nodes (n): the first byte of each string, ascending, and the row in ids
    of the string without its last byte, of `depth` bytes then. ids (rows, 256): row in counts of the longer string,
    -1 if it is not wanted. counts (rows, 256) grows by the weight of every string. Strings end with their document and
    their run of words.
    """
    d, left = np.int64(0), np.int64(0)
    for k in range(n):
        start = np.int64(starts[k])
        # Strings of one beginning share a node; -1 says that the longer string was dropped.
        row = np.int64(ids[nodes[k], text[start + depth - 1]])
        if row < 0:
            continue
        while offsets[d + 1] <= start:
            d += 1
        at = start + depth
        if at >= offsets[d + 1] or _between(text[at - 1], text[at]) == RUN_END:
            continue
        at_word = start == offsets[d] or _between(text[start - 1], text[start]) > 0
        counts[row, text[at]] += WORD_WEIGHT if at_word else 1
        starts[left], nodes[left] = starts[k], row
        left += 1
    return left


@kernel
def fill(order, children, first, labels, cells, slots, bases):
    """Lay the trie out; the number of cells in use, -1 if there are too few.

    children (strings): ids of the children of string i are children[first[i]:first[i + 1]], their last bytes in labels
    by id. order: strings that have children, those with most first. Filled: cells, all 0 before, and slots (strings),
    the cell of each string. bases (cells), all -1: the string whose children have that base.
    """
    for b in range(256):
        cells[b], slots[b] = b + 1, b
    lowest, used, n_before = np.int64(256), np.int64(256), np.int64(256)
    for string in order:
        begin, end = first[string], first[string + 1]
        if end - begin == 1 and n_before > 1:
            lowest = np.int64(256)  # strings with one child take what the others left between them
        n_before = end - begin
        # First fit: the lowest base at which all children's cells are free.
        while cells[lowest] != 0:
            lowest += 1
        at, tried, fits = lowest - 1, np.int64(0), False
        while not fits:
            at += 1
            # The first child goes to cell `at`, which fixes the base.
            base = at - np.int64(labels[children[begin]])
            if base + 512 > len(cells):
                return np.int64(-1)
            if cells[at] != 0 or bases[base] >= 0:
                continue
            tried += 1
            k, fits = begin + 1, True
            while fits and k < end:
                fits = cells[base + np.int64(labels[children[k]])] == 0
                k += 1
        if tried > _PATIENCE:
            lowest = at
        bases[base] = string
        for k in range(begin, end):
            slot = base + np.int64(labels[children[k]])
            cells[slot], slots[children[k]] = np.uint32(labels[children[k]]) + np.uint32(1), slot
            used = max(used, slot + 1)
    for slot in slots:  # as if none had children
        cells[slot] |= np.uint32(used) << _9
    for base in range(used):
        if bases[base] >= 0:
            slot = slots[bases[base]]
            cells[slot] = (cells[slot] & _LABEL) | (np.uint32(base) << _9)
    return used + 256


@kernel
def words(text, offsets, cells, symbols, last, out, rows):
    """Symbols of every document into `out`, rows[d] where those of document d begin; their number.

    A window is the longest string of the trie that ends where a word does, within a run of words; the longest of all if
    none does. last: RUN_END, or WORD_END for windows that end with their first word.
    """
    at = _0
    for d in range(len(offsets) - 1):
        rows[d] = at
        i, n = np.uint64(offsets[d]), np.uint64(offsets[d + 1])
        while i < n:
            slot, j = np.uint64(text[i]), i + _1
            cell, before = cells[slot], CLASSES[text[i]]
            good, end, none = slot, j, True
            while j < n:
                byte = text[j]
                after = CLASSES[byte]
                between = _ENDS[_8 * np.uint64(before) + np.uint64(after)]
                if between > 0:
                    good, end, none = slot, j, False
                # The child by this byte; its label says whether it is one.
                child = np.uint64(cell >> _9) + np.uint64(byte)
                cell = cells[child]
                if ((cell & _LABEL) != np.uint32(byte) + np.uint32(1)) | (between >= last):
                    break
                slot, before, j = child, after, j + _1
            if j == n or none:
                good, end = slot, j
            out[at] = symbols[good]
            at += _1
            i = end
    rows[len(offsets) - 1] = at
    return at


@kernel
def dense(text, offsets, cells, symbols, longest, out, rows):
    """As `words`, in the fewest windows; longest (text,) is work space.

    Every beginning of a string of the trie is one, too. Then the parse is shortest in which each window lets the next
    one reach furthest (Matias and Sahinalp 1999); of those that do, the longest is taken.
    """
    at = _0
    for d in range(len(offsets) - 1):
        rows[d] = at
        start, n = np.uint64(offsets[d]), np.uint64(offsets[d + 1])
        i = start
        while i < n:
            cell, j = cells[np.uint64(text[i])], i + _1
            while j < n:
                byte = text[j]
                cell = cells[np.uint64(cell >> _9) + np.uint64(byte)]
                if (cell & _LABEL) != np.uint32(byte) + np.uint32(1):
                    break
                j += _1
            longest[i] = j - i
            i += _1
        i = start
        while i < n:
            slot, j, reach, good, end = np.uint64(text[i]), i + _1, _0, _0, i
            last = i + np.uint64(longest[i])
            while True:
                # Where the window after this one could reach, if this one ended at j.
                beyond = j + np.uint64(longest[j]) if j < n else j
                if beyond >= reach:
                    reach, good, end = beyond, slot, j
                if j == last:
                    break
                slot = np.uint64(cells[slot] >> _9) + np.uint64(text[j])
                j += _1
            out[at] = symbols[good]
            at += _1
            i = end
    rows[len(offsets) - 1] = at
    return at


WIDE = 16  # bytes of a string that are copied at once


@intrinsic
def _copy(typingctx, source, i, target, j):
    """target[j:j+16] = source[i:i+16], whatever the compiler believes of overlap and alignment."""

    def generate(context, builder, signature, arguments):
        places = []
        for array in (0, 2):
            data = context.make_array(signature.args[array])(context, builder, arguments[array]).data
            place = builder.gep(data, [arguments[array + 1]])
            places.append(builder.bitcast(place, ir.VectorType(ir.IntType(8), WIDE).as_pointer()))
        builder.store(builder.load(places[0], align=1), places[1], align=1)
        return context.get_dummy_value()

    return types.void(source, i, target, j), generate


@kernel
def size(symbols, lengths):
    """Bytes of the strings of all symbols."""
    total = _0
    for symbol in symbols:
        total += np.uint64(lengths[symbol])
    return total


@kernel
def join(symbols, lengths, heads, starts, text, out):
    """The strings of symbols one after the other into out, WIDE bytes longer than they are.

    lengths (strings) uint8; heads (strings * WIDE): the first WIDE bytes of each; starts (strings): where it begins in
    text, WIDE bytes longer than all strings. What is copied too much is overwritten by the next string.
    """
    at, wide = _0, np.uint64(WIDE)
    for symbol in symbols:
        n = np.uint64(lengths[symbol])
        _copy(heads, np.uint64(symbol) * wide, out, at)
        k = wide
        while k < n:
            _copy(text, np.uint64(starts[symbol]) + k, out, at + k)
            k += wide
        at += n
