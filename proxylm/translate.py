"""Does the model know that both views are the same text? Bytes read behind the compressed view of the same document.

The context is `bos <comp> symbols </comp> <raw>`, as in a pair; every byte is predicted after the true ones before it. A
document all of whose bytes are the likeliest ones is translated exactly by greedy generation as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from compressors.base import Compressor
from compressors.errors import InputError
from proxylm import alphabet as ids
from proxylm.evaluate import trained_view
from proxylm.model import Decoder

_BATCH_POSITIONS = 1 << 14
_MARKS = 4  # bos <comp> </comp> <raw>


@dataclass(frozen=True)
class Translation:
    """Sums over the beginnings of documents that fit into a context together with their compressed view."""

    documents: int
    n_bytes: int
    right: int  # bytes that were the likeliest symbol
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
    model: Decoder, documents: Sequence[bytes], codec: Compressor, view: str | None = None, *, positions: int
) -> tuple[Translation, Translation]:
    """Scores of the bytes with the view of `codec` in context, and without it.

    positions: of a training row; of each document the longest beginning is taken that fits with its symbols. Raises
    `InputError` if there is none.
    """
    view = trained_view(model, view)
    beginnings = [(text, symbols) for text, symbols in (_beginning(d, codec, positions) for d in documents) if text]
    if not beginnings:
        raise InputError(f"nothing to translate: no document has a byte that fits into {positions} positions")
    within, without = [], []
    for text, symbols in beginnings:
        body = np.frombuffer(text, np.uint8).astype(np.int64) + ids.BYTE_OFFSET
        shown = model.alphabet.ids(view, symbols)
        within.append((np.array([ids.BOS, ids.COMP_OPEN, *shown, ids.COMP_CLOSE, ids.RAW_OPEN]), body))
        without.append((np.array([ids.BOS, ids.RAW_OPEN]), body))
    return _scored(model, within), _scored(model, without)


Row = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]  # ids before the bytes, ids of the bytes


def _beginning(document: bytes, codec: Compressor, positions: int) -> tuple[bytes, Any]:
    """The longest beginning that fits, by bisection, and its symbols."""
    fits, too_long = 0, min(len(document), positions) + 1
    while too_long - fits > 1:
        middle = (fits + too_long) // 2
        if middle + len(codec.encode(document[:middle])) + _MARKS <= positions:
            fits = middle
        else:
            too_long = middle
    return document[:fits], codec.encode(document[:fits])


@torch.no_grad()
def _scored(model: Decoder, rows: list[Row]) -> Translation:
    device = next(model.parameters()).device
    right = exact = 0
    nats = 0.0
    for batch in _batches(rows):
        T = max(len(before) + len(body) for before, body in batch) - 1
        inputs, targets = np.zeros((len(batch), T), np.int64), np.full((len(batch), T), -1, np.int64)
        for row, (before, body) in enumerate(batch):
            n = len(before) + len(body) - 1
            inputs[row, :n] = [*before, *body[:-1]]
            targets[row, len(before) - 1 : n] = body
        wanted = torch.from_numpy(targets).to(device)
        there = wanted >= 0
        hidden = model(torch.from_numpy(inputs).to(device))  # padding follows, and attention is causal
        logits = model.heads.raw_logits(hidden[there]).float()
        nats += float(F.cross_entropy(logits, wanted[there], reduction="none").double().sum())
        wrong = torch.zeros_like(there)
        wrong[there] = logits.argmax(1) != wanted[there]
        right += int((there & ~wrong).sum())
        exact += int((~wrong.any(1)).sum())
    n_bytes = sum(len(body) for _, body in rows)
    return Translation(len(rows), n_bytes, right, exact, nats / float(np.log(2)))


def _batches(rows: list[Row]) -> Iterator[list[Row]]:
    """Rows of similar length together."""
    ordered = sorted(rows, key=lambda row: len(row[0]) + len(row[1]))
    while ordered:
        n = max(1, _BATCH_POSITIONS // (len(ordered[-1][0]) + len(ordered[-1][1])))
        yield ordered[-n:]
        del ordered[-n:]
