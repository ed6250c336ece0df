"""Where everything lies that a row plan deals: the chunks of a store, in every view of a run. Lengths only, no id is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from proxylm.data.alphabet import Ints
from proxylm.data.chunks import Chunks
from proxylm.data.cuts import PLACE, Placer
from proxylm.data.store import Store
from proxylm.data.views import View
from proxylm.view_spec import RAW


@dataclass(frozen=True)
class Layout:
    """The same for every run of the same views and chunks."""

    chunks: Chunks
    """Of the documents."""
    placers: Sequence[Placer]
    """One for each view."""

    @classmethod
    def of(cls, store: Store, views: Sequence[View], chunk: int) -> Layout:
        """Documents in chunks of `chunk` bytes at most; 0: whole."""
        chunks = Chunks.of(store.column(RAW), chunk, store.derived)
        return cls(chunks, [view.placer(chunks) for view in views])

    @property
    def n_chunks(self) -> int:
        """Chunks of all documents."""
        return len(self.chunks)

    @property
    def n_shards(self) -> int:
        """Shards of the store."""
        return len(self.chunks.firsts) - 1

    def find(self, numbers: Ints, *, views: bool = True) -> tuple[npt.NDArray[np.void], npt.NDArray[np.void]]:
        """(n,) of `CHUNK`, the chunks of these numbers, and (n, views) of `PLACE`, where they are in every view.

        views: whether anybody asks for those; without, they are zero. Reads only the shards that the chunks lie in.
        """
        found, shards = self.chunks.find(numbers)
        # A run that shows only bytes plans with one view that is never shown: kernels need one.
        places = np.zeros((len(numbers), max(len(self.placers), 1)), PLACE)
        if views:
            for v, placer in enumerate(self.placers):
                for shard, here in shards:
                    placer.place(found, here, shard, places[:, v])
        return found, places
