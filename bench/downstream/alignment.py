"""Does a model read a view as it reads raw bytes? The same text in both, and two cosines.

*Gradients*: of the mean loss of the raw positions, and of that of the view, in the hidden matrices. 0: what is learnt from one
does nothing for the other. In arXiv 2404.07982, 0.07 between languages that share nothing, 0.53 where transfer was seen.

*Hidden states*: at the last byte of a symbol, and at the symbol: both predict the same text from the same text. Each side's mean
is taken off first, because the marks that open a view shift all of its states alike. Only of views that align with bytes.

Both are of the finished model: that needs no checkpoint from the end of the coarse phase. After a schedule that ends with bytes
they say what is left of the view, which is less than there was.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from compressors.errors import InputError
from proxylm.config import RunConfig
from proxylm.data import frame
from proxylm.data.alphabet import RAW_SLICE, HeadSlice, Ints, byte_ids
from proxylm.data.layout import Layout
from proxylm.data.loader import alphabet_of
from proxylm.data.store import Store
from proxylm.data.views import View, read_chunks, views_of
from proxylm.model.decoder import Decoder
from proxylm.trained import open_run
from proxylm.view_spec import RAW

N_TEXTS = 64


class _Rows(NamedTuple):
    """Texts in one view, a row each. B rows, T positions."""

    ids: Tensor  # (B, T) that are read
    targets: Tensor  # (B, T) that are predicted, -1 = not scored
    doc: Tensor  # (B, T) 0, -1 = padding
    bags: Tensor | None  # (B, T, size) bytes of each target, -1 = none
    head: HeadSlice  # the softmax of the targets

    def on(self, device: torch.device) -> _Rows:
        """The same rows there."""
        bags = None if self.bags is None else self.bags.to(device)
        return _Rows(self.ids.to(device), self.targets.to(device), self.doc.to(device), bags, self.head)


def alignment(folder: Path, store: Store) -> dict[str, float | None]:
    """{"gradient": cosine, "hidden": cosine, or None without spans} of a finished run with one view, on chunks of `store`.

    Raises `InputError` if the store has no text as long as a chunk.
    """
    run = open_run(folder, dtype="fp32")  # a figure that is compared between machines
    model, config, device = run.model, run.config, run.model.embedding.weight.device
    (view,) = views_of(store, config.mix.specs, alphabet_of(store, config))
    raw_rows, view_rows, pairs = _rows(store, view, config)
    both = [rows.on(device) for rows in (raw_rows, view_rows)]
    states = [_states(model, rows) for rows in both]
    a, b = (_gradient(model, x, rows) for x, rows in zip(states, both, strict=True))
    hidden = None
    if len(pairs):
        row, place, symbol = torch.from_numpy(pairs).to(device).T
        read, shown = (x.detach()[row, at] for x, at in zip(states, (place, symbol), strict=True))  # (pairs, D) each
        hidden = float(F.cosine_similarity(read - read.mean(0), shown - shown.mean(0)).mean())
    return {"gradient": float(F.cosine_similarity(a, b, 0)), "hidden": hidden}


def _rows(store: Store, view: View, config: RunConfig) -> tuple[_Rows, _Rows, Ints]:
    """The first chunks of some documents raw and in a view, and (pairs, 3) row, raw position, view position that align."""
    column, size = store.column(RAW), config.train.row_length - frame.OPENING
    layout = Layout.of(store, [view], size)
    # Documents of two chunks or more: the first is as long as a row.
    long = np.flatnonzero(column.lengths > size)
    if not len(long):
        raise InputError(
            f"{store.path}: no document is longer than a row of {config.train.row_length} positions; encode longer ones"
        )
    chosen = long[np.unique(np.linspace(0, len(long) - 1, N_TEXTS).astype(int))]
    chunks, places = layout.find(layout.chunks.first_of(chosen))
    raw_end = chunks["raw_stop"].tolist()
    raw = [byte_ids(column[i][:end]) for i, end in zip(chosen.tolist(), raw_end, strict=True)]
    shown, bags, sizes = read_chunks(view, chunks, places[:, 0])
    pairs = []
    for row, n_bytes in enumerate(sizes if view.aligned else ()):
        end = len(n_bytes)
        last_byte = np.cumsum(n_bytes.astype(np.int64)) - 1
        symbol = np.arange(len(last_byte))
        # The last of each row is only predicted. A symbol across the cut has no last byte in the row.
        there = (last_byte < raw_end[row] - 1) & (symbol < end - 1)
        both = np.stack([last_byte[there], symbol[there]], 1) + frame.OPENING
        pairs.append(np.insert(both, 0, row, 1))
    found = np.concatenate(pairs) if pairs else np.empty((0, 3), np.int64)
    of_view = _batch(shown, bags if view.bag else [None] * len(bags), view.head, True)
    return _batch(raw, [None] * len(raw), RAW_SLICE, False), of_view, found


def _batch(
    bodies: Sequence[Ints], bags: Sequence[npt.NDArray[np.int16] | None], head: HeadSlice, compressed: bool
) -> _Rows:
    """Rows as training has them: the opening, and the body, of which the last id is only predicted."""
    shape = len(bodies), max(map(len, bodies)) + 1
    ids, targets, doc = np.zeros(shape, np.int64), np.full(shape, -1), np.full(shape, -1)
    size = max((bag.shape[1] for bag in bags if bag is not None), default=0)
    in_bags = np.full((*shape, size), -1, np.int16)
    for row, (body, bag) in enumerate(zip(bodies, bags, strict=True)):
        stop = len(body) + 1
        ids[row, :stop] = [*frame.opening(compressed=compressed), *body[:-1]]
        targets[row, 1:stop], doc[row, :stop] = body, 0
        if bag is not None:
            in_bags[row, 1:stop] = bag
    read, predicted, segments = (torch.from_numpy(values) for values in (ids, targets, doc))
    return _Rows(read, predicted, segments, torch.from_numpy(in_bags) if size else None, head)


def _states(model: Decoder, rows: _Rows) -> Tensor:
    """(B, T, D) hidden states."""
    states: Tensor = model(rows.ids, rows.doc, bags=rows.bags)
    return states


def _gradient(model: Decoder, states: Tensor, rows: _Rows) -> Tensor:
    """(parameters,) gradient of the mean loss of `rows` in the hidden matrices, which read every view."""
    mode = torch.zeros_like(rows.targets)
    nats = model.heads.nats(states, rows.targets, mode, [rows.head], rows.bags)
    loss = nats.sum() / (rows.targets >= 0).sum()
    matrices = [parameter for parameter in model.blocks.parameters() if parameter.ndim == 2]
    gradients = torch.autograd.grad(loss, matrices, retain_graph=True)
    return torch.cat([gradient.flatten() for gradient in gradients])
