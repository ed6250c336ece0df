"""The one padded scorer: how likely given ids are behind a given context, for many rows at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from proxylm.data.alphabet import ALLOWED, BYTE_OFFSET, HeadSlice
from proxylm.model.decoder import Decoder

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Row = tuple[Ints, Ints]  # ids that come before, at least one; ids that are scored, each behind the true ones before it
Progress = Callable[[int, int], None]  # called with the ids that are scored, and those of all rows
BATCH_POSITIONS = 1 << 14  # positions of one forward pass


def silent(done: int, total: int) -> None:
    """A `Progress` that tells nobody."""


def byte_ids(text: bytes) -> Ints:
    """(n,) ids of raw bytes."""
    return np.frombuffer(text, np.uint8).astype(np.int64) + BYTE_OFFSET


def token_nats(
    model: Decoder, rows: Sequence[Row], head: HeadSlice, *, max_rows: int | None = None, progress: Progress = silent
) -> list[Floats]:
    """For each row (n,) nats of its scored ids under the softmax `head`. max_rows: of one forward pass."""
    by_row = [np.zeros(0)] * len(rows)
    done, total = 0, sum(len(body) for _, body in rows)
    for batch, hidden, targets in _passes(model, rows, max_rows):
        nats = model.heads.token_nats(hidden, targets, head).double().cpu().numpy()
        for i, part in zip(batch, np.split(nats, _ends(rows, batch)), strict=True):
            by_row[i] = part
        done += len(nats)
        progress(done, total)
    return by_row


@torch.no_grad()
def score(model: Decoder, rows: Sequence[Row], *, max_rows: int | None = None) -> tuple[Floats, Ints]:
    """(rows,) nats of the bytes of each row, and how many of these were what greedy generation would have drawn."""
    nats, right = np.zeros(len(rows)), np.zeros(len(rows), np.int64)
    allowed = torch.tensor(ALLOWED, device=next(model.parameters()).device)
    for batch, hidden, targets in _passes(model, rows, max_rows):
        logits = model.heads.raw_logits(hidden).float()  # (N, 320)
        lost = F.cross_entropy(logits, targets, reduction="none").double()
        drawn = allowed[logits[:, allowed].argmax(1)] == targets  # (N,)
        owner = np.repeat(batch, [len(rows[i][1]) for i in batch])  # (N,) the row of each id
        np.add.at(nats, owner, lost.cpu().numpy())
        np.add.at(right, owner, drawn.cpu().numpy())
    return nats, right


@torch.no_grad()
def _passes(model: Decoder, rows: Sequence[Row], max_rows: int | None) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """For each batch: the numbers of its rows, and of all their scored ids together hidden states (N, d) and the ids (N,)."""
    device = next(model.parameters()).device
    for batch in _batches([len(before) + len(body) - 1 for before, body in rows], max_rows):
        T = max(len(rows[i][0]) + len(rows[i][1]) for i in batch) - 1  # of the longest row
        inputs, targets = np.zeros((len(batch), T), np.int64), np.full((len(batch), T), -1, np.int64)
        for at, i in enumerate(batch):
            before, body = rows[i]
            n = len(before) + len(body) - 1  # the last id is predicted, and read by nothing
            inputs[at, :n] = np.concatenate([before, body])[:-1]
            # The last id of the context predicts the first of these.
            targets[at, len(before) - 1 : n] = body
        scored = targets >= 0  # (rows, T)
        hidden = model(torch.from_numpy(inputs).to(device))  # padding follows the row, and attention is causal
        yield batch, hidden[torch.from_numpy(scored).to(device)], torch.from_numpy(targets[scored]).to(device)


def _batches(sizes: list[int], max_rows: int | None) -> Iterator[list[int]]:
    """Rows of similar length together, so that little is spent on padding; a very long one has a pass for itself."""
    ordered: list[int] = np.argsort(sizes, kind="stable").tolist()
    while ordered:
        # All rows of a batch are as long as the longest that is left.
        n = max(1, BATCH_POSITIONS // max(1, sizes[ordered[-1]]))
        n = min(n, max_rows or n)
        yield ordered[-n:]
        del ordered[-n:]


def _ends(rows: Sequence[Row], batch: list[int]) -> Ints:
    """Where the scored ids of all rows but the last end."""
    return np.cumsum([len(rows[i][1]) for i in batch])[:-1]
