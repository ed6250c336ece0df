"""Is text in Unicode's normalization form C? The normalizer of `tokenizers` is asked only about words that may not be.

`codec.BPE` passes documents through `checked` where its artifact says `refuse`. A kernel skips what
NFC cannot change, which is nearly all text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from compressors.bpe import _nfc, classes
from compressors.errors import InputError


def checked(documents: Iterable[bytes]) -> Iterator[bytes]:
    """`documents`, of which each must be in NFC. Raises `InputError` with the number of the first that is not."""
    from tokenizers import normalizers

    normalize = normalizers.NFC().normalize_str
    for i, document in enumerate(documents):
        if not document.isascii() and (word := _changed(bytes(document), normalize)) is not None:
            raise InputError(
                f"bpe: document {i} is not in NFC, which its tokenizer would bring it into ({word[:40]!r}); normalise it "
                "first, or keep such text as it is: `proxyc convert --not-nfc keep`"
            )
        yield document


@cache
def _begins() -> npt.NDArray[np.uint8]:
    """(65536,) may a character be a mark, or doubtful, that begins with the bytes i & 255 and i >> 8?"""
    pages, codes = classes.composition()
    special = codes.reshape(-1, 256)[pages[:-1]].reshape(-1) > 0
    found = np.zeros((256, 256), np.uint8)  # second byte, first byte
    for first in range(0xC2, 0xF5):
        # Bytes of a character by its first byte; with two bytes fixed, each further byte has 64
        # values.
        width = 2 + (first >= 0xE0) + (first >= 0xF0)
        span = 64 ** (width - 2)  # code points that begin with the same two bytes
        low = (first & (0x7F >> width)) * 64 * span
        points = special[low : low + 64 * span]
        found[0x80 : 0x80 + len(points) // span, first] = points.reshape(-1, span).any(axis=1)
    return found.reshape(-1)


def _changed(document: bytes, normalize: Any) -> str | None:
    """The first word that NFC changes.

    Words end at blanks and line ends, which it neither changes nor joins to others.
    """
    text, tables = np.frombuffer(document + bytes(16), np.uint8), (*classes.composition(), _begins())
    at = 0
    while (at := int(_nfc.doubtful(text, at, len(document), *tables))) < len(document):
        # From the blank before the doubtful place to the blank after it.
        start = max(document.rfind(b" ", 0, at), document.rfind(b"\n", 0, at), 0)
        ends = (document.find(blank, at) for blank in (b" ", b"\n"))
        end = min((end for end in ends if end >= 0), default=len(document))
        word = document[start:end].decode("utf-8", "replace")  # what replaces a byte outside text joins nothing
        if normalize(word) != word:
            return word
        at = end
    return None
