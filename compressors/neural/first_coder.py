"""The coder of streams written before `_mixed_code` was there: they still decode, and policy `entropy` cuts by it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from compressors.neural.model import Model, history_size

RECIPROCAL = np.array([(1 << 17) // (2 * n + 3) for n in range(255)], np.int64)  # 1 / (n + 1.5) in 1/2^16


def encode(model: Model, data: bytes, mixer: npt.NDArray[np.int32] | None = None) -> bytes | None:
    """The coded bytes, or None if they would be more than `data`; `mixer`, if given, learns in place."""
    raw, stream = np.frombuffer(data, np.uint8).copy(), np.empty(len(data) + 64, np.uint8)
    used = _code(model, raw, 0, stream, model.mixer.copy() if mixer is None else mixer)
    return None if used < 0 else stream[:used].tobytes().rstrip(b"\0")  # the decoder reads zeros after the end


def decode(model: Model, stream: bytes, n_bytes: int) -> bytes:
    """The `n_bytes` bytes that `encode` was given; anything, if it was given none."""
    raw = np.zeros(n_bytes, np.uint8)
    _code(model, raw, 1, np.frombuffer(stream, np.uint8).copy(), model.mixer.copy())
    return raw.tobytes()


def _code(
    model: Model, raw: npt.NDArray[np.uint8], decoding: int, stream: npt.NDArray[np.uint8],
    mixer: npt.NDArray[np.int32],
) -> int:  # fmt: skip
    from compressors.neural import _code

    return int(_code.code(raw, decoding, stream, *parts(model, len(raw), mixer), np.array([-1, 0])))


def parts(model: Model, n_bytes: int, mixer: npt.NDArray[np.int32]) -> tuple[Any, ...]:
    """(sight, state, network, mixing, ahead) for a document of `n_bytes` of which nothing was seen."""
    from compressors.neural import _code, _context

    shape, size = model.shape, history_size(n_bytes)
    state = _context.State.new(len(shape.successors), size)
    mixing = _code.Mixing.new(model.squash, model.packed[2], RECIPROCAL, mixer, 4 * size)
    return shape.sight, state, model.network(), mixing, _code.Ahead.new(len(shape.widths))
