"""How likely given bytes are behind a given context, many of them at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from proxylm.data.alphabet import ALLOWED, BYTE_OFFSET
from proxylm.model.decoder import Decoder

Ints = npt.NDArray[np.int64]
_BATCH_POSITIONS = 1 << 14


def byte_ids(text: bytes) -> Ints:
    """(n,) ids of raw bytes."""
    return np.frombuffer(text, np.uint8).astype(np.int64) + BYTE_OFFSET


@torch.no_grad()
def score(model: Decoder, rows: Sequence[tuple[Ints, Ints]]) -> tuple[npt.NDArray[np.float64], Ints]:
    """(rows,) nats of the bytes of each row, and how many of these were what greedy generation would have drawn.

    A row is the ids that come before, at least one, and the ids of its bytes, each predicted after the true ones before it.
    """
    nats, right = np.zeros(len(rows)), np.zeros(len(rows), np.int64)
    device = next(model.parameters()).device
    allowed = torch.tensor(ALLOWED, device=device)
    for batch in _batches([len(before) + len(body) for before, body in rows]):
        T = max(len(rows[i][0]) + len(rows[i][1]) for i in batch) - 1
        inputs, targets = np.zeros((len(batch), T), np.int64), np.full((len(batch), T), -1, np.int64)
        for at, i in enumerate(batch):
            before, body = rows[i]
            n = len(before) + len(body) - 1
            inputs[at, :n] = np.concatenate([before, body])[:-1]
            targets[at, len(before) - 1 : n] = body
        there = targets >= 0
        hidden = model(torch.from_numpy(inputs).to(device))  # padding follows, and attention is causal
        wanted = torch.from_numpy(targets[there]).to(device)
        logits = model.heads.raw_logits(hidden[torch.from_numpy(there).to(device)]).float()
        lost = F.cross_entropy(logits, wanted, reduction="none").double()
        drawn = allowed[logits[:, allowed].argmax(1)] == wanted
        row = np.repeat(batch, there.sum(1))
        np.add.at(nats, row, lost.cpu().numpy())
        np.add.at(right, row, drawn.cpu().numpy())
    return nats, right


def _batches(sizes: list[int]) -> Iterator[list[int]]:
    """Rows of similar length together, so that little is spent on padding."""
    ordered: list[Any] = np.argsort(sizes, kind="stable").tolist()
    while ordered:
        n = max(1, _BATCH_POSITIONS // sizes[ordered[-1]])
        yield ordered[-n:]
        del ordered[-n:]
