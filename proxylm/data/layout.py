"""Where everything lies that a row plan deals: lengths of documents, and where their chunks begin in every view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from proxylm.data.alphabet import Ints
from proxylm.data.chunks import Chunks
from proxylm.data.views import View


@dataclass(frozen=True)
class Layout:
    """The same for every run of the same views and chunks."""

    raw_lengths: Ints
    """(documents,) bytes."""
    view_lengths: Ints
    """(views, documents) positions; at least one view."""
    before: Ints
    """(documents + 1,) chunks of all documents before each."""
    cuts: Ints
    """(1 + views, chunks) position in its document, raw and in each view, at which each chunk begins."""

    @classmethod
    def of(cls, raw_lengths: Ints, views: Sequence[View], chunk: int) -> Layout:
        """Documents in chunks of `chunk` bytes at most; 0: whole."""
        chunks = Chunks.of(raw_lengths, chunk)
        # A run that shows only bytes plans with one view, the bytes themselves: kernels need one.
        raw_cuts = chunks.shares(raw_lengths)
        lengths = [view.lengths for view in views] or [raw_lengths]  # (documents,) each
        cuts = [view.cuts(chunks) for view in views] or [raw_cuts]  # (chunks,) each
        return cls(raw_lengths, np.stack(lengths), chunks.before, np.stack([raw_cuts, *cuts]))

    @property
    def n_chunks(self) -> int:
        """Chunks of all documents."""
        return int(self.before[-1])
