"""A text as one view cuts it, and which symbols an edit changes.

`show.terminal` and `show.page` draw a `Cut`; `proxyc show` and `codec.show` make one.
"""

from __future__ import annotations

import difflib
import itertools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from compressors.base import Compressor, Spans, Symbols
from compressors.errors import InvalidConfig

# Longer differing middles are marked whole: matching them takes time with the square of their length (2 s at 8,000).
_LONGEST_MATCHED = 4000


@dataclass(frozen=True, eq=False)
class Cut:
    """`data` in a view: symbols (n,), and spans (n,) bytes under each, None where the view does not align with bytes.

    splits (size - 256, 2): the two earlier symbols of each later one, where the vocabulary is refinable.
    """

    view: str
    data: bytes
    symbols: Symbols
    spans: Spans | None
    splits: npt.NDArray[np.uint32] | None = None

    @classmethod
    def of(cls, codec: Compressor, text: bytes | str, view: str | None = None) -> Cut:
        """`text` (a string stands for its UTF-8) as `codec` cuts it; `view` is the name to show."""
        data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        symbols = codec.encode(data)
        return cls(view or codec.name, data, symbols, codec.spans(data), codec.vocab.splits)

    @property
    def bytes_per_symbol(self) -> float:
        """Bytes of the text for each symbol; 0 for an empty text."""
        return len(self.data) / max(len(self.symbols), 1)

    @property
    def starts(self) -> Spans:
        """(n + 1,) the byte at which each symbol begins, and the end. Raises `InvalidConfig` without spans."""
        if self.spans is None:
            raise InvalidConfig(f"{self.view}: its symbols do not align with bytes; it has no pieces to show")
        return np.concatenate([[0], np.cumsum(self.spans, dtype=np.int64)])

    @property
    def pieces(self) -> list[bytes]:
        """The bytes under each symbol. Raises `InvalidConfig` without spans."""
        starts = self.starts.tolist()
        return [self.data[a:b] for a, b in itertools.pairwise(starts)]

    def with_merges(self, merges: int) -> Cut:
        """The same text cut with only the first `merges` merges: every later symbol is undone into its two parts.

        Raises `InvalidConfig` if the vocabulary is not refinable or has fewer merges.
        """
        if self.splits is None:
            raise InvalidConfig(f"{self.view}: its vocabulary is not refinable; leave merges={merges} out")
        if not 0 <= merges <= len(self.splits):
            raise InvalidConfig(f"{self.view}: merges is {merges}; expected 0 to {len(self.splits)}")
        # parts[s]: what symbol s becomes. A symbol joins two earlier ones, so one pass in order is
        # enough.
        parts: list[list[int]] = []
        for symbol in range(256 + len(self.splits)):
            if symbol < 256 + merges:
                parts.append([symbol])
            else:
                left, right = self.splits[symbol - 256].tolist()
                parts.append(parts[left] + parts[right])
        symbols = [part for symbol in self.symbols.tolist() for part in parts[symbol]]
        spans = self._symbol_bytes()[symbols]
        cut = np.array(symbols, self.symbols.dtype)
        return replace(self, view=f"{self.view}:merges={merges}", symbols=cut, spans=spans)

    def _symbol_bytes(self) -> Spans:
        """(size,) bytes of each symbol of a refinable vocabulary."""
        assert self.splits is not None
        sizes = [1] * 256
        for left, right in self.splits.tolist():
            sizes.append(sizes[left] + sizes[right])
        return np.array(sizes, np.int64)

    def __str__(self) -> str:
        """What `proxyc show` prints, without colours."""
        from compressors.show.terminal import drawn

        return drawn([self], colour=False)

    def _repr_html_(self) -> str:
        """What a notebook draws."""
        from compressors.show.page import fragment

        return fragment([self])


def changed_symbols(before: Symbols, after: Symbols) -> npt.NDArray[np.bool_]:
    """(after,) which symbols of `after` are not those of `before`, the longest matching runs left unmarked."""
    # Skip the equal start and the equal end: only the middle is matched.
    n = min(len(before), len(after))
    differs = np.flatnonzero(before[:n] != after[:n])
    first = int(differs[0]) if len(differs) else n
    # The equal end may not reach back into the equal start.
    most = n - first
    tail = before[len(before) - most :][::-1] != after[len(after) - most :][::-1]
    last = int(np.flatnonzero(tail)[0]) if tail.any() else most
    old, new = before[first : len(before) - last], after[first : len(after) - last]
    marked = np.zeros(len(after), np.bool_)
    marked[first : len(after) - last] = True
    if max(len(old), len(new)) <= _LONGEST_MATCHED:
        matcher = difflib.SequenceMatcher(None, old.tolist(), new.tolist(), autojunk=False)
        for _, start, size in matcher.get_matching_blocks():
            marked[first + start : first + start + size] = False
    return marked


def visible(piece: bytes) -> str:
    """`piece` as text that shows every byte: control characters as pictures, bytes that are not UTF-8 as ⟨ff⟩."""
    return "".join(map(_shown, piece.decode("utf-8", "surrogateescape")))


def _shown(character: str) -> str:
    """One character as `visible` shows it."""
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as Python carries it in a string
        return f"⟨{code - 0xDC00:02x}⟩"
    if character == "\n":
        return "↵\n"
    if character == "\t":
        return "→   "
    if code < 0x20:
        # Unicode has a picture of each control character, in the same order.
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    # Format characters (bidirectional marks, joiners, the byte-order mark) and line separators change what stands beside them.
    if unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn") and code not in (0x200C, 0x200D):
        return f"⟨U+{code:04X}⟩"
    return character


def edited(data: bytes, edit: str) -> bytes:
    """`data` after an edit: "OLD=>NEW" replaces the first OLD, "" takes one character out of the middle.

    Raises `InvalidConfig` if OLD is not there.
    """
    if not edit:
        text = data.decode("utf-8", "surrogateescape")
        middle = len(text) // 2
        return (text[:middle] + text[middle + 1 :]).encode("utf-8", "surrogateescape")
    old, arrow, new = (part.encode("utf-8", "surrogateescape") for part in edit.partition("=>"))
    if not arrow or not old or old not in data:
        raise InvalidConfig(f"--edit {edit!r}: write OLD=>NEW, where the text has OLD")
    return data.replace(old, new, 1)


def joined(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """Runs of true flags as (first, one behind the last)."""
    runs: list[tuple[int, int]] = []
    for i, flag in enumerate(flags):
        if flag and runs and runs[-1][1] == i:
            runs[-1] = (runs[-1][0], i + 1)
        elif flag:
            runs.append((i, i + 1))
    return runs
