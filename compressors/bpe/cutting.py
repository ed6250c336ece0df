"""Where the pieces of text begin: by the tables of any pre-tokenizer, or by a scanner made by hand where that
is faster.

`encoder.Encoder` calls a `Scanner` or a `Walker` with a chunk of text; `engine` has chosen which.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from compressors.bpe import _classify, _split, _walk, classes
from compressors.bpe.patterns import Pattern
from compressors.bpe.splitting import Splitter
from compressors.bpe.tables import Table

Cuts = tuple[Any, Any]  # starts (pieces + 1), the end included; the first piece of each document (documents + 1)


class Room:
    """Arrays of one thread, by name. An array is replaced only when a longer one is needed."""

    def __init__(self) -> None:
        self._arrays: dict[str, Any] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
        """An array with at least as many rows; what is in it is left over."""
        held = self._arrays.get(name)
        if held is None or len(held) < shape[0]:
            held = self._arrays[name] = np.empty(shape, dtype)
        return held


class Cutter(Protocol):
    """Cuts documents text[offsets[d]:offsets[d + 1]]; `text` must be readable 64 bytes beyond them."""

    def __call__(self, text: Any, offsets: Any, room: Room) -> Cuts: ...


class Scanner:
    """Cuts by one of the patterns that have a scanner, 64 characters at a time."""

    def __init__(self, pattern: Pattern) -> None:
        self._family = _split.GPT2 if pattern.family == "gpt2" else _split.LLAMA3
        self._group = np.uint64(pattern.digits)
        self._pages, self._classes = classes.table()

    def __call__(self, text: Any, offsets: Any, room: Room) -> Cuts:
        n_bytes, n_documents = int(offsets[-1]), len(offsets) - 1
        # A block holds 64 characters or at least 61 bytes, if no document ends there.
        n_blocks = n_bytes // 61 + n_documents + 1
        masks, heads = room.array("masks", (n_blocks, 8), np.uint64), room.array("heads", (n_blocks, 4), np.int64)
        place = room.array("place", (n_bytes + 64,), np.uint32)
        starts = room.array("starts", (n_bytes + 4,), np.uint32)
        blocks, first_piece = np.empty(len(offsets), np.int64), np.empty(len(offsets), np.int64)
        _classify.blocks(text, offsets, self._pages, self._classes, masks, heads, place, blocks)
        count = _split.split(
            text, offsets, masks, heads, place, blocks, self._family, self._group,
            room.array("carry", (_split.CARRY,), np.uint64), starts, first_piece,
        )  # fmt: skip
        return starts[: count + 1], first_piece


class Walker:
    """Cuts by the tables of any pre-tokenizer that `splitting` can express."""

    def __init__(self, splitter: Splitter) -> None:
        self._splitter = splitter
        pages, of_page = splitter.points
        self._of_ascii = of_page[int(pages[0]) << 8 :][:256]

    def __call__(self, text: Any, offsets: Any, room: Room) -> Cuts:
        n_bytes, splitter = int(offsets[-1]), self._splitter
        codes = room.array("codes", (n_bytes + 64,), np.uint8)
        firsts = room.array("firsts", (len(offsets),), np.uint32)[: len(offsets)]
        plain = n_bytes > 0 and text[:n_bytes].max() < 128  # then characters are bytes
        if plain:
            _walk.classify_bytes(text, self._of_ascii, codes[:n_bytes])
            firsts[:] = offsets
        else:
            place = room.array("place", (n_bytes + 64,), np.uint32)
            _walk.classify(text, offsets, *splitter.points, codes, place, firsts)
        starts = _walked(splitter.passes, codes, firsts, firsts, room)
        if not plain:
            cuts, starts = starts, room.array("starts", (n_bytes + 4,), np.uint32)[: len(starts)]
            np.take(place, cuts, out=starts, mode="clip")  # "raise" would make a copy
        # Stages behind ByteLevel cut once more, byte by byte, within the pieces found so far.
        if splitter.byte_passes:
            _walk.classify_bytes(text, splitter.of_byte, codes[:n_bytes])
            firsts[:] = offsets
            starts = _walked(splitter.byte_passes, codes, firsts, starts, room)
        return starts, np.searchsorted(starts, offsets)


def _walked(passes: tuple[Table, ...], codes: Any, firsts: Any, cuts: Any, room: Room) -> Any:
    """Where pieces begin, and the end, after some passes over texts that begin at `firsts`; before them, at `cuts`."""
    for i, table in enumerate(passes):
        if cuts is not firsts:
            _walk.mark(codes, cuts, table.classes)
        out = room.array(f"cuts {i % 2}", (len(codes) + 2,), np.uint32)
        count = _walk.walk(codes, firsts, table.entries, table.falls, table.loops, table.classes, table.initial, out)
        cuts = out[:count]
    return cuts
