"""Fitting of what the mixing starts with, on documents that the network has not seen.

Every document is coded, and the mixers and maps continue from one to the next; the mean of the weights after each document of
the second half is kept, since a start should favour none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from compressors.artifact import Artifact
from compressors.neural.mixing import LAYOUTS, Start
from compressors.neural.model import Model
from compressors.neural.self_test import stream_digest

_COUNT = 60  # what the count of a fitted probability may be: it still moves when a document differs
_LIMIT = 1023  # and while it is fitted


def fit(model: Model, documents: Sequence[bytes], n_bytes: int) -> Start:
    """The start after about `n_bytes` bytes of `documents`, whole ones, from that of `model`."""
    from compressors.neural._mixing import MAP_LIMIT

    chosen, size = [], 0
    for document in documents:
        if size < n_bytes:
            chosen.append(document[:200_000])
            size += len(chosen[-1])
    if not chosen:
        return model.start
    layout, settings = model.start.layout, list(model.start.layout.settings)
    fixed, settings[MAP_LIMIT] = settings[MAP_LIMIT] == 0, _LIMIT
    start = _mean(model, chosen, replace(model.start, layout=replace(layout, settings=tuple(settings))))
    start = replace(start, layout=layout)
    if fixed:  # weights again, for maps that stay as they are
        start = _mean(model, chosen, start)
    return replace(start, maps=_softened(start.maps), matches=_softened(start.matches))


def _mean(model: Model, documents: Sequence[bytes], start: Start) -> Start:
    """The start after all documents; its weights are the mean of those after each one of the second half."""
    from compressors.neural import _mixed_code

    weights, final, n = np.zeros(start.weights.shape), np.zeros(start.final.shape), 0
    for number, document in enumerate(documents):
        raw, stream = np.frombuffer(document, np.uint8).copy(), np.empty(len(document) + 64, np.uint8)
        parts = model.parts(len(raw), False, start)
        memory = parts[5]
        _mixed_code.code(raw, 0, stream, *parts, np.array([-1, 0]))
        start = replace(
            start, weights=memory.weights.reshape(start.weights.shape), final=memory.final, maps=memory.maps,
            matches=memory.matches,
        )  # fmt: skip
        if 2 * number >= len(documents):
            weights, final, n = weights + start.weights, final + start.final, n + 1
    return replace(start, weights=np.rint(weights / n).astype(np.int32), final=np.rint(final / n).astype(np.int32))


def _softened(entries: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    """Probabilities with counts of at most `_COUNT`."""
    counts = np.minimum(entries & np.uint32(1023), np.uint32(_COUNT))
    softened: npt.NDArray[np.uint32] = (entries & ~np.uint32(1023)) | counts
    return softened


def packaged(documents: Sequence[bytes], n_bytes: int, networks: Mapping[str, Artifact]) -> Artifact:
    """The artifact `neural-mixing` of the package: starts for its `networks` (by preset), which were made without."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    tests: dict[str, str] = {}
    for name, network in networks.items():
        plain = Start.plain(LAYOUTS[name])
        model = Model.of(network.settings, {**network.arrays, **plain.arrays()})
        model = replace(model, start=fit(model, documents, n_bytes))
        arrays |= {f"{name}_{key}": array for key, array in model.start.arrays().items()}
        tests[network.settings["self_test"]] = stream_digest(model)
    card = {"documents": len(documents), "bytes": n_bytes, "networks": sorted(networks)}
    return Artifact(codec="neural", settings={"self_test": tests}, arrays=arrays, card=card)
