"""Readings: the ways in which a phase of a run may show a stored view.

    bpe                 its symbols, as ids of their own
    bpe:level=1024      the same with only 1,024 symbols: every later one is undone into the two it was made of
    bpe:bags=16         its spans as bags of up to 16 bytes (`proxylm.data.bags`)
    raw:bags=4          the bytes in bags of four

A reading is what the plan needs of it, lengths, and what a batch needs, the symbols of a document.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from compressors.errors import InvalidConfig
from proxylm.data import alphabet as ids
from proxylm.data import bags
from proxylm.data.alphabet import RAW_SLICE, Alphabet, HeadSlice
from proxylm.data.chunks import Chunks
from proxylm.data.store import RAW, Column, Store

Ints = npt.NDArray[np.int64]
Made = TypeVar("Made")
_SETTINGS = ((), ("level",), ("bags",))
_WRITE = "write NAME, NAME:level=K or NAME:bags=N"
_CACHED = 256  # documents: the rows of a chunk follow each other in a lane


@dataclass(frozen=True)
class Reading:
    """What the configuration says of a reading: see the module. Make one with `parse`."""

    view: str
    level: int | None = None
    bags: int = 0

    @classmethod
    def parse(cls, text: str) -> Reading:
        """Raises `InvalidConfig`."""
        view, *settings = text.split(":")
        values: dict[str, int] = {}
        for setting in settings:
            key, equals, value = setting.partition("=")
            if not equals or not value.isdecimal() or key in values:
                raise InvalidConfig(f"mix: view {text!r}; {_WRITE}")
            values[key] = int(value)
        made = cls(view, values.get("level"), values.get("bags", 0))
        if not view or tuple(values) not in _SETTINGS or (view == RAW and not made.bags):
            raise InvalidConfig(f"mix: view {text!r}; {_WRITE}")
        if ("bags" in values and not 1 <= made.bags <= 255) or (made.level is not None and made.level < 256):
            raise InvalidConfig(f"mix: view {text!r}; bags hold 1 to 255 bytes, and a level has 256 symbols or more")
        return made


@dataclass
class Shown:
    """A reading of one store."""

    reading: Reading
    raw: Column
    comp: Column | None  # None: raw bytes in bags
    alphabet: Alphabet
    splits: npt.NDArray[np.uint32] | None = None  # where `level` asks for them
    _made: OrderedDict[int, Any] = field(default_factory=OrderedDict)

    @classmethod
    def of(cls, store: Store, reading: Reading, alphabet: Alphabet) -> Shown:
        """Raises `InvalidConfig` if the view cannot be read so."""
        raw, comp = store.column(RAW), None if reading.view == RAW else store.column(reading.view)
        if reading.bags and comp is not None and comp.spans is None:
            raise InvalidConfig(
                f"mix: view {reading.view!r} has no spans to make bags of; use one that aligns with bytes"
            )
        splits = store.splits(reading.view) if reading.level is not None else None
        if reading.level is not None and splits is None:
            raise InvalidConfig(f"mix: view {reading.view!r} has no levels: its vocabulary is not refinable")
        return cls(reading, raw, comp, alphabet, splits)

    @property
    def head(self) -> HeadSlice:
        """The softmax over its symbols; bags are predicted by the bytes'."""
        return RAW_SLICE if self.reading.bags else self.alphabet.head(self.reading.view, self.reading.level)

    @cached_property
    def lengths(self) -> Ints:
        """(documents,) positions of each document."""
        if self.reading.bags:
            return bags.counts(self.raw, self.comp, self.reading.bags)
        assert self.comp is not None
        if self.splits is None:
            return self.comp.lengths
        counts, found = np.diff(self._parts[1]), []
        for values, offsets in zip(self.comp.values, self.comp.offsets, strict=True):
            before = np.concatenate([[0], np.cumsum(counts[values])])
            found.append(before[offsets[1:]] - before[offsets[:-1]])
        return np.concatenate(found)

    def cuts(self, chunks: Chunks) -> Ints:
        """(chunks,) the position at which each begins: at its byte where the view has spans, else at its share."""
        size = self.reading.bags
        if self.comp is None:
            return -(-chunks.shares(self.raw.lengths) // size)
        if self.comp.spans is None:
            return chunks.shares(self.lengths)
        if size:
            positions = [-(-spans.astype(np.int64) // size) for spans in self.comp.spans]
        elif self.splits is not None:
            positions = [np.diff(self._parts[1])[values] for values in self.comp.values]
        else:
            positions = [np.broadcast_to(np.int64(1), len(spans)) for spans in self.comp.spans]
        return chunks.aligned(self.comp.offsets, self.comp.spans, positions)

    def ids(self, document: int, start: int = 0, stop: int | None = None) -> Ints:
        """(positions,) ids of a document, or of positions start..stop-1 of it; `BAG` for every bag."""
        if self.reading.bags:
            return np.full(int(self.lengths[document]), ids.BAG)[start:stop]
        assert self.comp is not None
        symbols = self.comp[document] if self.splits is None else self._kept(document, self._at_level)[0]
        return self.alphabet.ids(self.reading.view, symbols[start:stop])

    def sizes(self, document: int) -> npt.NDArray[Any] | None:
        """(positions,) bytes of each position, or None where the view does not align with bytes."""
        if self.reading.bags:
            spans = None if self.comp is None else self.comp.spans_of(document)
            return bags.sizes(spans, len(self.raw[document]), self.reading.bags)
        assert self.comp is not None
        return self.comp.spans_of(document) if self.splits is None else self._kept(document, self._at_level)[1]

    def bags_of(self, document: int, start: int, stop: int) -> npt.NDArray[np.int16]:
        """(stop - start, size) the bags of some positions; none for the closing marks behind the last."""
        sizes = self.sizes(document)
        assert sizes is not None
        first, last = min(start, len(sizes)), min(stop, len(sizes))
        found = bags.of(self.raw[document], sizes.astype(np.int64), first, last, self.reading.bags)
        return np.pad(found, ((0, stop - start - len(found)), (0, 0)), constant_values=-1)

    @cached_property
    def _parts(self) -> tuple[Ints, Ints, Ints]:
        """(symbols, starts, bytes): what symbol s is at this level is symbols[starts[s]:starts[s + 1]]; bytes of each symbol."""
        assert self.splits is not None
        assert self.reading.level is not None
        size = 256 + len(self.splits)
        parts: list[tuple[int, ...]] = [(symbol,) for symbol in range(min(self.reading.level, size))]
        n_bytes = [1] * 256
        for symbol, (left, right) in enumerate(self.splits.tolist(), 256):
            n_bytes.append(n_bytes[left] + n_bytes[right])
            if symbol >= self.reading.level:
                parts.append(parts[left] + parts[right])
        starts = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
        return np.array([symbol for part in parts for symbol in part], np.int64), starts, np.array(n_bytes, np.int64)

    def _at_level(self, document: int) -> tuple[Ints, Ints]:
        """Symbols and spans of a document, the later merges undone."""
        assert self.comp is not None
        symbols, starts, n_bytes = self._parts
        stored = self.comp[document]
        counts = (starts[1:] - starts[:-1])[stored]
        ends = np.cumsum(counts)
        where = np.arange(counts.sum()) - np.repeat(ends - counts, counts) + np.repeat(starts[stored], counts)
        found = symbols[where]
        return found, n_bytes[found]

    def _kept(self, document: int, make: Callable[[int], Made]) -> Made:
        """What `make` makes of a document, kept for its next rows."""
        if document not in self._made:
            self._made[document] = make(document)
            while len(self._made) > _CACHED:
                self._made.popitem(last=False)
        return self._made[document]  # type: ignore[no-any-return] # one cache for all kinds
