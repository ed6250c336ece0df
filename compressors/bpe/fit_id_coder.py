"""Fitting the tables of `compressors.bpe.id_coder`: `codec.BPE.fit` calls `fit` on a sample of the
corpus.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from compressors.base import Ragged
from compressors.bpe import _id_coder
from compressors.bpe.id_coder import ARRAYS, Arrays, Model

_PAIRS = 8  # kept for each symbol, on average: 8 bytes each, half of them zeros
_TEACHING = 24  # every 24th document teaches the probabilities, and is left out of the tables
_START_AGE = 24  # a fitted probability counts like one learnt from 24 answers


def fit(rows: Ragged, vocab_size: int) -> Arrays:
    """The arrays of `Model` for documents like `rows`; takes 50 bytes for each of their symbols.

    Floats decide which pairs are kept; coding never sees them.
    """
    # Most documents are counted; the others, which the tables then have not seen, teach the probabilities.
    teaching = np.arange(_TEACHING - 1, len(rows), _TEACHING)
    counting = np.delete(np.arange(len(rows)), teaching)
    nothing = np.full(1, vocab_size, np.int64)  # before the first symbol
    padded = np.concatenate([nothing, *(part for i in counting for part in (rows[int(i)].astype(np.int64), nothing))])
    last, symbols = padded[:-1][padded[1:] < vocab_size], padded[1:][padded[1:] < vocab_size]
    counts = np.bincount(symbols, minlength=vocab_size)
    arrays = _pairs(last, symbols, counts, vocab_size)
    # What is coded by these is mostly new to the document, so what counts is how many have it.
    distinct = [np.unique(rows[int(i)]).astype(np.int64) for i in counting]
    arrays["counts"] = np.bincount(np.concatenate([nothing[:0], *distinct]), minlength=vocab_size)
    arrays["odds"] = np.full(_id_coder.N_CONTEXTS, 1 << 23)
    arrays = {name: arrays[name].astype(dtype) for name, dtype in ARRAYS.items()}
    return arrays | {"odds": _taught(Model(arrays, vocab_size), [rows[int(i)] for i in teaching])}


def _pairs(
    last: npt.NDArray[np.int64], symbols: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], vocab_size: int
) -> Arrays:
    """The rows: the pairs that save most bits against coding the second symbol by its frequency."""
    # One integer for each pair, so that `unique` counts them.
    keys, times = np.unique(last * vocab_size + symbols, return_counts=True)
    first, second = keys // vocab_size, keys % vocab_size
    totals = np.bincount(last, minlength=vocab_size + 1)
    # Bits saved: count times log2 of (probability after the first symbol / probability anywhere).
    saved = times * np.log2(times / totals[first] * len(symbols) / counts[second])
    best = np.sort(np.argsort(-saved, kind="stable")[: min(_PAIRS * vocab_size, int((saved > 0).sum()))])
    first, second, times = first[best], second[best], times[best]
    # Counts are scaled to at most 2^14 a row; a row's class is -2 log2 of the share that it lacks.
    inside = np.bincount(first, times, vocab_size + 1)
    outside = 1 - inside / np.maximum(totals, 1)
    return {
        "row_lengths": np.bincount(first, minlength=vocab_size + 1),
        "row_symbols": second,
        "row_counts": np.maximum(times / np.maximum(inside / (1 << 14), 1)[first], 1),
        "row_classes": np.minimum(-2 * np.log2(np.maximum(outside, 2.0**-8)), _id_coder.N_CLASSES - 1),
    }


def _taught(model: Model, documents: list[npt.NDArray[Any]]) -> npt.NDArray[np.uint32]:
    """The probabilities as averages over documents that the tables have not seen."""
    odds = np.full(_id_coder.N_CONTEXTS, 1 << 23, np.int32)
    for document in documents:
        model.encode_with(document, odds)
    return np.array(odds & ~255 | np.minimum(odds & 255, _START_AGE), np.uint32)
