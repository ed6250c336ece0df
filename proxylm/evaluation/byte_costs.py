"""What each byte of one document costs under a model, for people to look at."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from proxylm.config import RunConfig
from proxylm.data import frame
from proxylm.data.alphabet import RAW_SLICE
from proxylm.evaluation.bits_per_byte import trained_window, windows_of
from proxylm.evaluation.scoring import byte_ids, token_nats
from proxylm.model.decoder import Decoder


def byte_costs(model: Decoder, config: RunConfig, data: bytes) -> npt.NDArray[np.float64]:
    """(n,) bits of each byte of `data`, each once, in the context that evaluation gives it (`bits_per_byte`)."""
    # The windows of `proxyc eval`, without the marks behind the last byte.
    ids = byte_ids(data)
    windows = list(windows_of(0, ids, np.ones(len(ids), np.int64), trained_window(config), frame.closing()))
    nats = token_nats(model, [w.row(frame.opening()) for w in windows], RAW_SLICE)
    return np.concatenate([part[: len(part) - w.n_end] for part, w in zip(nats, windows, strict=True)]) / math.log(2)
