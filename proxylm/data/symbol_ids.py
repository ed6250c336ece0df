"""How the symbols of a codec become ids: one id for each, or only the first merges, the later ones undone.

One class a kind. The views of a store (`proxylm.data.views`) and evaluation, which encodes text itself, both ask these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from compressors.errors import InvalidConfig
from compressors.kernels import kernel
from proxylm.data.alphabet import Alphabet, HeadSlice, Ints
from proxylm.view_spec import ViewSpec

Splits = npt.NDArray[np.uint32]  # (size - 256, 2) the two earlier symbols of each later one


class SymbolReader(Protocol):
    """Symbols of one view -> ids."""

    head: HeadSlice
    """The softmax that predicts them."""

    def read(self, symbols: npt.NDArray[Any], sizes: npt.NDArray[Any] | None) -> tuple[Ints, npt.NDArray[Any] | None]:
        """(positions,) ids, and the bytes of each; symbols (n,), sizes (n,) bytes of each symbol, or None if unknown."""
        ...


class OwnIds(SymbolReader):
    """Each symbol is one position, and has one id."""

    def __init__(self, spec: ViewSpec, alphabet: Alphabet, splits: Splits | None) -> None:
        self._view, self._alphabet, self.head = spec.view, alphabet, alphabet.symbol_head(spec.view)

    def read(self, symbols: npt.NDArray[Any], sizes: npt.NDArray[Any] | None) -> tuple[Ints, npt.NDArray[Any] | None]:
        return self._alphabet.symbol_ids(self._view, symbols), sizes


class FirstMerges(SymbolReader):
    """The first merges of a refinable vocabulary: every later symbol is undone into the two it was made of."""

    def __init__(self, spec: ViewSpec, alphabet: Alphabet, splits: Splits | None) -> None:
        """Raises `InvalidConfig` if the vocabulary is not refinable, or has fewer merges."""
        assert spec.merges is not None
        n_merges = check_merges(spec, splits)
        assert splits is not None
        self._view, self._alphabet, self.head = spec.view, alphabet, alphabet.merge_head(spec.view, spec.merges)
        # Symbols that are kept stand for themselves, later ones for the parts of the two they were made of.
        parts: list[tuple[int, ...]] = [(symbol,) for symbol in range(256 + spec.merges)]
        n_bytes = [1] * 256  # bytes of each symbol; the first 256 are single bytes
        for symbol, (left, right) in enumerate(splits.tolist(), 256):
            n_bytes.append(n_bytes[left] + n_bytes[right])
            if symbol >= 256 + spec.merges:
                parts.append(parts[left] + parts[right])
        assert len(parts) == 256 + n_merges
        # What symbol s becomes is _symbols[_starts[s]:_starts[s + 1]].
        self._symbols = np.array([symbol for part in parts for symbol in part], np.int64)
        # (vocabulary + 1,)
        self._starts = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
        self._n_bytes = np.array(n_bytes, np.int64)
        # The same of each part, for the kernel.
        self._ids = alphabet.merge_ids(spec.view, self._symbols)
        self._part_bytes = self._n_bytes[self._symbols]
        self.counts = np.diff(self._starts)  # (vocabulary,) positions that each symbol takes

    def read_pieces(self, pieces: npt.NDArray[np.void], here: Ints, symbols: npt.NDArray[Any], targets: Ints) -> None:
        """Write the ids of the pieces `here`, of a shard of (n,) symbols (`proxylm.data.pieces`), and the bytes of each."""
        _undo(pieces, here, symbols, self._starts, self._ids, self._part_bytes, targets)

    def read(self, symbols: npt.NDArray[Any], sizes: npt.NDArray[Any] | None) -> tuple[Ints, npt.NDArray[Any] | None]:
        """See `SymbolReader`. The sizes are those of the vocabulary."""
        counts = self.counts[symbols]  # (n,) positions that each symbol takes
        ends = np.cumsum(counts)  # (n,) the position behind each symbol
        within = np.arange(counts.sum()) - np.repeat(ends - counts, counts)  # place of each part in its symbol
        # (positions,) kept symbols.
        found = self._symbols[np.repeat(self._starts[symbols], counts) + within]
        return self._alphabet.merge_ids(self._view, found), self._n_bytes[found]


@kernel
def _undo(pieces, here, symbols, starts, ids, n_bytes, targets):  # type: ignore[no-untyped-def] # a kernel
    """See `FirstMerges.read_pieces`. starts (vocabulary + 1,) of each symbol's parts; ids, n_bytes (parts,)."""
    for p in here:
        piece = pieces[p]
        total, place = 0, -piece.skip  # of the next position among those of the piece
        for s in range(piece.begin, piece.end):
            symbol = symbols[s]
            for part in range(starts[symbol], starts[symbol + 1]):
                if 0 <= place < piece.length:
                    targets[piece.row, piece.at + place] = ids[part]
                    total += n_bytes[part]
                place += 1
            if place >= piece.length:
                break
        piece.n_bytes = total


def check_merges(spec: ViewSpec, splits: Splits | None) -> int:
    """The merges of a view's vocabulary. Raises `InvalidConfig` if there are none, or fewer than `spec` asks for."""
    if splits is None:
        raise InvalidConfig(
            f"mix: view {spec.view!r} has no merges: its vocabulary is not refinable; use a view of `bpe`, or {spec.view!r} as it is"
        )
    if spec.merges is not None and spec.merges > len(splits):
        raise InvalidConfig(f"mix: view {str(spec)!r}: {spec.view!r} has {len(splits)} merges; ask for at most those")
    return len(splits)


READERS: dict[str, Callable[[ViewSpec, Alphabet, Splits | None], SymbolReader]] = {
    "symbols": OwnIds,
    "merges": FirstMerges,
}
