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
from proxylm.data import alphabet as ids
from proxylm.evaluation.bits_per_byte import refined, trained_view
from proxylm.evaluation.scoring import Ints, byte_ids, score
from proxylm.model.decoder import Decoder

_MARKS = 4  # bos <comp> </comp> <raw>


@dataclass(frozen=True)
class Translation:
    """Sums over the beginnings of documents that fit into a context together with their compressed view."""

    documents: int
    n_bytes: int
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
    model: Decoder,
    documents: Sequence[bytes],
    codec: Compressor,
    view: str | None = None,
    *,
    positions: int,
    level: int | None = None,
) -> tuple[Translation, Translation]:
    """Scores of the bytes with the view of `codec` in context, and without it.

    positions: of a training row; of each document the longest beginning is taken that fits with its symbols. level: as for
    `evaluate`. Raises `InputError` if there is none.
    """
    view = trained_view(model, view)

    def encode(text: bytes) -> Any:
        return codec.encode(text) if level is None else refined(codec, codec.encode(text), level)

    beginnings = [(text, symbols) for text, symbols in (_beginning(d, encode, positions) for d in documents) if text]
    if not beginnings:
        raise InputError(f"nothing to translate: no document has a byte that fits into {positions} positions")
    within, without = [], []
    opening, closing = model.alphabet.marks(view)
    for text, symbols in beginnings:
        body = byte_ids(text)
        shown = model.alphabet.ids(view, symbols)
        within.append((np.array([ids.BOS, opening, *shown, closing, ids.RAW_OPEN]), body))
        without.append((np.array([ids.BOS, ids.RAW_OPEN]), body))
    return _summed(model, within), _summed(model, without)


def _beginning(document: bytes, encode: Callable[[bytes], Any], positions: int) -> tuple[bytes, Any]:
    """The longest beginning that fits, by bisection, and its symbols."""
    fits, too_long = 0, min(len(document), positions) + 1
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if middle + len(encode(document[:middle])) + _MARKS <= positions:
            fits = middle
        else:
            too_long = middle
    return document[:fits], encode(document[:fits])


def _summed(model: Decoder, rows: list[tuple[Ints, Ints]]) -> Translation:
    sizes = np.array([len(body) for _, body in rows])
    nats, right = score(model, rows)
    return Translation(
        len(rows), int(sizes.sum()), int(right.sum()), int((right == sizes).sum()), nats.sum() / np.log(2)
    )
