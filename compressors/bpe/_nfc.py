"""Kernel that looks for text that may not be in Unicode's normalization form C.

`nfc._changed` calls it, and asks the normalizer of `tokenizers` only about the words it points at.
"""

import numpy as np

from compressors._machine_words import word
from compressors.bpe._classify import _character, _code
from compressors.kernels import kernel

_HIGH = np.uint64(0x8080808080808080)
_DOUBTFUL, _RANK = np.uint8(128), np.uint8(127)


@kernel
def doubtful(text, start, end, pages, codes, begins):
    """Offset in text[start:end] of a character that NFC may change, or of a mark out of order; `end` if there is none.

    `text` must be readable 9 bytes beyond `end`. pages, codes: as `classes.composition` gives them. begins (65536,):
    may a character that begins with these two bytes be a mark, or doubtful? No other bytes are looked at further.
    """
    i, last = start, np.uint8(0)
    while i < end:
        # Eight ASCII bytes are in NFC, and end any sequence of marks.
        if not word(text, i) & _HIGH:
            i, last = i + 8, np.uint8(0)
            continue
        # Eight pairs of bytes, joined without branches: mostly none begins a mark or a doubtful
        # character.
        any_of = np.uint8(0)
        for k in range(8):
            any_of |= begins[np.uint32(text[i + k]) | np.uint32(text[i + k + 1]) << np.uint32(8)]
        if not any_of:
            i, last = i + 8, np.uint8(0)
            continue
        stop = min(i + 8, end)
        while i < stop:
            point, width = _character(text, i, end)
            code = _code(point, pages, codes)
            rank = code & _RANK
            # Marks must stand in ascending order of their combining class; 0 is a starter.
            if code & _DOUBTFUL or (rank and rank < last):
                return i
            last = rank
            i += width
    return end
