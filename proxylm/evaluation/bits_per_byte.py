"""Bits per byte of held-out documents: every byte scored once, the same context in bytes for every view.

A document is read in windows of W bytes. The first scores all of its symbols; each later one moves on by W/2 bytes and
scores the new half. Every window begins `bos <raw>` (or <comp>). The end of the document is charged (its closing mark and
eos) and also reported apart. A view whose symbols stand for several bytes gets the symbols within the same W bytes.

For a compressed view the figure is an upper bound: the model may give the same bytes probability under other symbols too.

Heads are sliced: the softmax of a raw position has no compressed symbol in it. So no mass leaks to the other view, and the
full softmax needs no renormalising.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from compressors.base import Compressor
from compressors.errors import InputError, InvalidConfig
from compressors.identity import Identity
from proxylm.config import RunConfig
from proxylm.data import alphabet as ids
from proxylm.evaluation import perturb
from proxylm.evaluation.result import Result
from proxylm.evaluation.scoring import Ints, Row, token_nats
from proxylm.model.decoder import Decoder


def trained_view(model: Decoder, view: str | None) -> str:
    """`view`, or the first compressed one of the model. Raises `InvalidConfig` if it has no ids there."""
    views = list(model.alphabet.views)
    if not views or (view is not None and view not in views):
        known = ", ".join(views) or "no compressed view; bags have none"
        raise InvalidConfig(f"the model has ids for {known}, not for {view or 'symbols'}; read raw bytes")
    return view or views[0]


def trained_window(config: RunConfig) -> int:
    """The longest context in bytes that a run has seen: what fills a row beside its two opening marks, or a chunk."""
    row = config.train.row_length - 2
    return min(row, config.chunk) if config.chunk else row


def trained_level(config: RunConfig, view: str | None) -> int | None:
    """How many symbols of `view` the run was trained with: what is scored must be what was trained. None: all, or raw bytes.

    Raises `InvalidConfig` if there were several numbers, and none of them all.
    """
    read = {r.level for r in config.mix.readings if r.view == view and not r.bags and r.turns is None}
    if not read or None in read:
        return None
    if len(read) > 1:
        known = " and ".join(f"{level:,}" for level in sorted(filter(None, read)))
        raise InvalidConfig(f"the run was trained with {known} symbols of {view}; say with --level which to score")
    return read.pop()


@dataclass(frozen=True)
class Window:
    """A stretch of one document: ids shown, and from which target on they are scored."""

    document: int
    body: Ints  # symbols as ids, and at the end of the document its two closing ids
    scored_from: int
    n_end: int  # closing ids at the end of `body`: 0 or 2

    def row(self, opening: list[int]) -> Row:
        """What comes before the scored ids, and these."""
        before = np.array([*opening, *self.body[: self.scored_from]], np.int64)
        return before, self.body[self.scored_from :]


def evaluate(
    model: Decoder,
    documents: Sequence[bytes],
    *,
    window: int,
    codec: Compressor | None = None,
    view: str | None = None,
    level: int | None = None,
    max_rows: int | None = None,
) -> Result:
    """Score `documents` as raw bytes, or as the symbols of `codec`, which made the view called `view` (the first of the model).

    window: context in bytes, at least 2. level: with only so many symbols (`trained_level`); later ones are undone into
    those they are made of, and the softmax has no others. max_rows: windows of one forward pass, where memory is small.
    Raises `InputError` if there is no byte to score, `InvalidConfig` if the model has no ids for the view, or it no levels.
    """
    if not any(documents):
        raise InputError("nothing to evaluate: no document has a byte; give other documents")
    view = "raw" if codec is None else trained_view(model, view)
    codec = codec or Identity()
    opening, closing = model.alphabet.marks(view)
    windows: list[Window] = []
    n_symbols = 0
    for i, document in enumerate(documents):
        symbols = codec.encode(document) if level is None else refined(codec, codec.encode(document), level)
        spans = _spans(codec, document, symbols)
        n_symbols += len(symbols)
        windows += windows_of(i, model.alphabet.ids(view, symbols), spans, window, closing)
    rows = [w.row([ids.BOS, opening]) for w in windows]
    text, end = np.zeros(len(documents)), np.zeros(len(documents))
    for w, nats in zip(
        windows, token_nats(model, rows, model.alphabet.head(view, level), max_rows=max_rows), strict=True
    ):
        n_text = len(nats) - w.n_end
        text[w.document] += nats[:n_text].sum()
        end[w.document] += nats[n_text:].sum()
    sizes = np.fromiter(map(len, documents), np.int64, len(documents))
    return Result(sizes, text / math.log(2), end / math.log(2), n_symbols)


def refined(codec: Compressor, symbols: npt.NDArray[Any], level: int) -> npt.NDArray[Any]:
    """The symbols with all from `level` on undone into those they are made of. Raises `InvalidConfig`."""
    splits = codec.vocab.splits
    if splits is None:
        raise InvalidConfig(f"{codec.name} has no levels: its vocabulary is not refinable; score all of its symbols")
    while (late := symbols >= level).any():
        counts = 1 + late
        first = np.cumsum(counts) - counts  # where each symbol, or the first half of it, goes
        halves = splits[symbols[late].astype(np.int64) - 256]
        symbols = np.repeat(symbols, counts)
        symbols[first[late]], symbols[first[late] + 1] = halves[:, 0], halves[:, 1]
    return symbols


def deltas(
    model: Decoder, documents: Sequence[bytes], before: Result, *, seed: int = 0, **options: Any
) -> dict[str, dict[str, Any]]:
    """By change: bits per byte afterwards, how many more than `before`, and the 95 % interval of that (paired bootstrap).

    options: those of `evaluate` that gave `before`. Bits are over the bytes of the text that is scored, changed or not
    (`proxylm.evaluation.perturb`).
    """
    found = {}
    for name in perturb.CHANGES:
        after = evaluate(model, perturb.changed(documents, name, seed), **options)
        found[name] = {
            "bits_per_byte": after.bits_per_byte,
            "delta": after.bits_per_byte - before.bits_per_byte,
            "delta_interval_95": after.difference(before),
        }
    return found


def _spans(codec: Compressor, document: bytes, symbols: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Bytes per symbol; in equal parts where the codec does not align."""
    if codec.vocab.lengths is not None:
        lengths: npt.NDArray[np.int64] = codec.vocab.lengths[symbols]
        return lengths
    spans = codec.spans(document)
    return np.full(len(symbols), len(document) / max(len(symbols), 1)) if spans is None else spans


def windows_of(i: int, all_ids: Ints, spans: npt.NDArray[Any], window: int, close: int) -> Iterator[Window]:
    """The windows of document i that have something to score."""
    begins = np.cumsum(spans) - spans  # byte at which each symbol begins
    half, scored_byte, first = window // 2, window, 0
    while True:
        last = int(np.searchsorted(begins, scored_byte))
        context = int(np.searchsorted(begins, scored_byte - window)) if first else 0
        at_end = last == len(all_ids)
        tail = [close, ids.EOS] if at_end else []
        if last > first or at_end:  # a symbol longer than half a window leaves some windows with nothing to score
            yield Window(i, np.append(all_ids[context:last], tail).astype(np.int64), first - context, len(tail))
        if at_end:
            return
        first, scored_byte = last, scored_byte + half
