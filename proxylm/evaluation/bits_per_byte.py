"""Bits per byte of held-out documents: every byte scored once, the same context in bytes for every view.

A document is read in windows of W bytes. The first scores all of its symbols; each later one moves on by W/2 bytes and
scores the new half. Every window begins `bos <raw>` (or <comp>). The end of the document is charged (its closing mark and
eos) and also reported apart. A view whose symbols stand for several bytes gets the symbols within the same W bytes.

A compressed view is read as the run was trained on it (`trained_spec`): of merges, only its first ones. The figure is then
an upper bound: the model may give the same bytes probability under other symbols too.

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
from proxylm.config import RunConfig
from proxylm.data import frame
from proxylm.data.alphabet import RAW_SLICE
from proxylm.data.symbol_ids import READERS, SymbolReader
from proxylm.evaluation import perturb
from proxylm.evaluation.result import Result
from proxylm.evaluation.scoring import Ints, Progress, Row, byte_ids, silent, token_nats
from proxylm.model.decoder import Decoder
from proxylm.view_spec import ViewSpec


def trained_spec(config: RunConfig, view: str | None = None) -> ViewSpec:
    """How a run was shown `view` last; without a name, the last of its views. Raises `InvalidConfig` if it has no ids for it."""
    shown = [
        text
        for phase in config.mix.schedule
        if phase.start or phase.end
        for text in phase.views or config.mix.views[:1]
    ]
    for text in reversed(shown):
        spec = ViewSpec.parse(text)
        if spec.kind in READERS and view in (None, spec.view):
            return spec
    known = ", ".join(dict.fromkeys(shown)) or "raw bytes"
    raise InvalidConfig(f"the run was shown {known}, and has no ids for {view or 'symbols'}; read raw bytes")


def reader_of(model: Decoder, codec: Compressor, spec: ViewSpec | None) -> SymbolReader:
    """What makes ids of the symbols of `codec`. Raises `InvalidConfig` if the model has none for them.

    spec: how the model was shown the view; None: the symbols of its first view, with one id for each.
    """
    alphabet = model.alphabet
    names = [*alphabet.symbols, *(f"{view}:merges=K" for view in alphabet.merges)]
    if spec is None and alphabet.symbols:
        spec = ViewSpec(next(iter(alphabet.symbols)))
    known: dict[str, Any] = {"symbols": alphabet.symbols, "merges": alphabet.merges}
    if spec is None or spec.view not in known.get(spec.kind, ()):
        raise InvalidConfig(
            f"the model has ids for {', '.join(names) or 'no compressed view; bags have none'}, not for {spec or 'symbols'}; "
            "read raw bytes"
        )
    return READERS[spec.kind](spec, alphabet, codec.vocab.splits)


def trained_window(config: RunConfig) -> int:
    """The longest context in bytes that a run has seen: what fills a row beside its two opening marks, or a chunk."""
    row = config.train.row_length - 2
    return min(row, config.chunk) if config.chunk else row


@dataclass(frozen=True)
class Window:
    """A stretch of one document: ids shown, and from which target on they are scored."""

    document: int  # its number
    body: Ints  # symbols as ids, and at the end of the document its two closing ids
    scored_from: int  # place in `body`
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
    view: ViewSpec | None = None,
    max_rows: int | None = None,
    progress: Progress = silent,
) -> Result:
    """Score `documents` as raw bytes, or as the symbols of `codec`, shown as `view` (see `reader_of`).

    window: context in bytes, at least 2. max_rows: windows of one forward pass, where memory is small.
    progress: called with the symbols that are scored, and those of all documents. Raises `InputError`
    if no document has a byte or the weights are not finite, `InvalidConfig` if the model has no ids for the view.
    """
    if not any(documents):
        raise InputError("nothing to evaluate: no document has a byte; give other documents")
    reader = None if codec is None else reader_of(model, codec, view)
    compressed, head = reader is not None, RAW_SLICE if reader is None else reader.head
    windows: list[Window] = []
    n_symbols = 0
    for i, document in enumerate(documents):
        shown: Ints = byte_ids(document)
        sizes: npt.NDArray[Any] | None = np.ones(len(shown), np.int64)
        if codec is not None and reader is not None:
            symbols = codec.encode(document)
            shown, sizes = reader.read(symbols, _spans(codec, document, symbols))
        assert sizes is not None
        n_symbols += len(shown)
        windows += windows_of(i, shown, sizes, window, frame.closing(compressed=compressed))
    text, end = np.zeros(len(documents)), np.zeros(len(documents))  # (documents,) nats
    rows = [w.row(frame.opening(compressed=compressed)) for w in windows]
    for w, nats in zip(windows, token_nats(model, rows, head, max_rows=max_rows, progress=progress), strict=True):
        n_text = len(nats) - w.n_end  # the closing marks come last
        text[w.document] += nats[:n_text].sum()
        end[w.document] += nats[n_text:].sum()
    if not np.isfinite(text + end).all():
        raise InputError(
            "the bits per byte are not a number: weights of the model are not finite; use an earlier checkpoint"
        )
    n_bytes = np.fromiter(map(len, documents), np.int64, len(documents))
    return Result(n_bytes, text / math.log(2), end / math.log(2), n_symbols)


def deltas(
    model: Decoder, documents: Sequence[bytes], before: Result, *, seed: int = 0, **options: Any
) -> dict[str, dict[str, Any]]:
    """By change: bits per byte afterwards, how many more than `before`, and the 95 % interval of that (paired bootstrap).

    options: those of `evaluate` that gave `before`. Bits are over the bytes of the text that is scored, changed or not
    (`proxylm.evaluation.perturb`).
    """
    by_change = {}
    for name in perturb.CHANGES:
        after = evaluate(model, perturb.changed(documents, name, seed), **options)
        by_change[name] = {
            "bits_per_byte": after.bits_per_byte,
            "delta": after.bits_per_byte - before.bits_per_byte,
            "delta_interval_95": after.difference(before),
        }
    return by_change


def _spans(codec: Compressor, document: bytes, symbols: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Bytes per symbol; in equal parts where the codec does not align."""
    if codec.vocab.lengths is not None:
        lengths: npt.NDArray[np.int64] = codec.vocab.lengths[symbols]
        return lengths
    spans = codec.spans(document)
    return np.full(len(symbols), len(document) / max(len(symbols), 1)) if spans is None else spans


def windows_of(i: int, all_ids: Ints, spans: npt.NDArray[Any], window: int, closing: list[int]) -> Iterator[Window]:
    """The windows of document i that have something to score.

    all_ids (symbols,); spans (symbols,) bytes of each; window: context in bytes; closing: ids behind the document.
    """
    begins = np.cumsum(spans) - spans  # byte at which each symbol begins
    # The byte up to which, and the symbol from which a window scores.
    half, scored_byte, first = window // 2, window, 0
    while True:
        # The first symbol that begins behind the window.
        last = int(np.searchsorted(begins, scored_byte))
        # The first symbol inside it.
        context = int(np.searchsorted(begins, scored_byte - window)) if first else 0
        at_end = last == len(all_ids)
        tail = closing if at_end else []
        if last > first or at_end:  # a symbol longer than half a window leaves some windows with nothing to score
            yield Window(i, np.append(all_ids[context:last], tail).astype(np.int64), first - context, len(tail))
        if at_end:
            return
        first, scored_byte = last, scored_byte + half
