"""A sample of a corpus that does not depend on the order in which its documents come, in bounded memory.

`codec.BPE.fit` and `corpus.Reader.sample` draw their samples with it.
"""

from __future__ import annotations

import hashlib
import heapq


class Sample:
    """Of the documents that pass by, those with the least hashes: the fewest that have `n_bytes` together, or all.

    Holds `n_bytes` and one document. Each added document is hashed, at about 1 GB/s.
    """

    def __init__(self, n_bytes: int) -> None:
        self._n_bytes, self._held = n_bytes, 0
        self._heap: list[tuple[int, bytes]] = []  # the greatest hash first

    def add(self, document: bytes) -> None:
        """Offer one document; the one with the greatest hash leaves while enough bytes remain."""
        digest = hashlib.blake2b(document, digest_size=8).digest()
        heapq.heappush(self._heap, (-int.from_bytes(digest, "big"), document))
        self._held += len(document)
        while self._heap and self._held - len(self._heap[0][1]) >= self._n_bytes:
            self._held -= len(heapq.heappop(self._heap)[1])

    def documents(self) -> list[bytes]:
        """The sample, in the order of the hashes."""
        return [document for _, document in sorted(self._heap, reverse=True)]


__all__ = ["Sample"]
