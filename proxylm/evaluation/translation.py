"""Does the model know that both views are the same text? Bytes read behind the compressed view of the same document.

The context is `bos <comp> symbols </comp> <raw>`, as in a pair; every byte is predicted after the true ones before it. A
document all of whose bytes are the likeliest ones is translated exactly by greedy generation as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from compressors.base import Compressor
from compressors.errors import InputError
from proxylm.data import frame
from proxylm.evaluation.bits_per_byte import reader_of
from proxylm.evaluation.scoring import Ints, byte_ids, score
from proxylm.model.decoder import Decoder
from proxylm.view_spec import ViewSpec


@dataclass(frozen=True)
class Translation:
    """Sums over the beginnings of documents that fit into a context together with their compressed view."""

    documents: int  # of which a beginning fits
    n_bytes: int  # of the beginnings
    right: int  # bytes that were the likeliest
    exact: int  # documents with no other byte
    bits: float  # -log2 p of the bytes

    def to_json(self) -> dict[str, Any]:
        return {
            "documents": self.documents,
            "bytes": self.n_bytes,
            "byte_accuracy": self.right / self.n_bytes,
            "exact": self.exact / self.documents,
            "bits_per_byte": self.bits / self.n_bytes,
        }


def translate(
    model: Decoder, documents: Sequence[bytes], codec: Compressor, view: ViewSpec | None = None, *, positions: int
) -> tuple[Translation, Translation]:
    """Scores of the bytes with the view of `codec` in context, and without it.

    positions: of a training row; of each document the longest beginning is taken that fits with its symbols. Raises
    `InputError` if there is none.
    """
    reader = reader_of(model, codec, view)

    def read(text: bytes) -> Ints:
        return reader.read(codec.encode(text), None)[0]

    beginnings = [text for text in (_beginning(d, read, positions) for d in documents) if text]
    if not beginnings:
        raise InputError(f"nothing to translate: no document has a byte that fits into {positions} positions")
    within, without = [], []
    for text in beginnings:
        body = byte_ids(text)
        within.append((np.array([*frame.opening(compressed=True), *read(text), *frame.switch(compressed=True)]), body))
        without.append((np.array(frame.opening()), body))
    return _summed(model, within), _summed(model, without)


def _beginning(document: bytes, read: Callable[[bytes], Ints], positions: int) -> bytes:
    """The longest beginning that fits together with its symbols, by bisection."""
    # bytes: a byte takes one position at least.
    fits, too_long = 0, min(len(document), positions) + 1
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if middle + len(read(document[:middle])) + frame.OPENING + frame.SWITCH <= positions:
            fits = middle
        else:
            too_long = middle
    return document[:fits]


def _summed(model: Decoder, rows: list[tuple[Ints, Ints]]) -> Translation:
    """rows: ids of the context, and of the bytes."""
    sizes = np.array([len(body) for _, body in rows])
    nats, right = score(model, rows)
    return Translation(
        len(rows), int(sizes.sum()), int(right.sum()), int((right == sizes).sum()), nats.sum() / np.log(2)
    )
