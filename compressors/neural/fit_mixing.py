"""Fitting of what the mixing starts with, on documents that the network has not seen.

Every document is coded, and the mixers and maps go on from one to the next; the mean of the weights after each document of
the second half is kept, since a start should favour none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from compressors.neural.mixing import Start
from compressors.neural.model import Model

_COUNT = 60  # what the count of a fitted probability may be: it still moves when a document differs
_LIMIT = 1023  # and while it is fitted


def fit(model: Model, documents: Sequence[bytes], n_bytes: int) -> Start:
    """The start after about `n_bytes` bytes of `documents`, whole ones, from that of `model`."""
    from compressors.neural import _mixed_code
    from compressors.neural._mixing import MAP_LIMIT

    chosen, size = [], 0
    for document in documents:
        if size < n_bytes:
            chosen.append(document[:200_000])
            size += len(chosen[-1])
    settings = list(model.start.layout.settings)
    settings[MAP_LIMIT] = _LIMIT
    start = replace(model.start, layout=replace(model.start.layout, settings=tuple(settings)))
    weights, final, n = np.zeros(start.weights.shape), np.zeros(start.final.shape), 0
    for number, document in enumerate(chosen):
        raw, stream = np.frombuffer(document, np.uint8).copy(), np.empty(len(document) + 64, np.uint8)
        parts = model.parts(len(raw), False, start)
        memory = parts[5]
        _mixed_code.code(raw, 0, stream, *parts, np.array([-1, 0]))
        start = replace(
            start, weights=memory.weights.reshape(start.weights.shape), final=memory.final, maps=memory.maps,
            matches=memory.matches,
        )  # fmt: skip
        if 2 * number >= len(chosen):
            weights, final, n = weights + start.weights, final + start.final, n + 1
    if n == 0:
        return model.start
    return replace(
        start, layout=model.start.layout, weights=np.rint(weights / n).astype(np.int32),
        final=np.rint(final / n).astype(np.int32), maps=_softened(start.maps), matches=_softened(start.matches),
    )  # fmt: skip


def _softened(entries: np.ndarray) -> np.ndarray:
    """Probabilities with counts of at most `_COUNT`."""
    counts = np.minimum(entries & 1023, _COUNT)
    return (entries & ~np.uint32(1023)) | counts.astype(np.uint32)
