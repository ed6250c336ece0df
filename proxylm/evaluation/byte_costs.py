"""What each byte of one document costs under a model, for people to look at."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from proxylm.config import RunConfig
from proxylm.data import frame
from proxylm.evaluation.bits_per_byte import trained_window
from proxylm.evaluation.scoring import byte_ids
from proxylm.model.decoder import Decoder


@torch.no_grad()
def byte_costs(model: Decoder, config: RunConfig, data: bytes) -> npt.NDArray[np.float64]:
    """(n,) bits of each byte of `data`, each once, in the context that evaluation gives it (`bits_per_byte`)."""
    window = trained_window(config)
    ids, half = byte_ids(data), max(window // 2, 1)
    device = next(model.parameters()).device
    bits, scored = np.empty(len(ids), np.float64), 0
    while scored < len(ids):
        stop = min(len(ids), scored + half if scored else window)
        first = max(0, stop - window)
        shown = np.concatenate([frame.opening(), ids[first : stop - 1]])
        hidden = model(torch.from_numpy(shown[None]).to(device))[
            0, frame.OPENING - 1 + scored - first :
        ]  # (stop - scored, D)
        wanted = torch.from_numpy(ids[scored:stop]).to(device)
        nats = F.cross_entropy(model.heads.raw_logits(hidden).float(), wanted, reduction="none")
        bits[scored:stop] = nats.double().cpu().numpy() / math.log(2)
        scored = stop
    return bits
