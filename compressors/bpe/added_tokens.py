"""Added tokens: strings such as ``<|endoftext|>`` that always become one id.

The text between two of them is encoded as a text that ends there. `encoder` cuts documents by
`AddedTokens.find` before it cuts them into pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from compressors.bpe import _added
from compressors.bpe.cutting import Room


class AddedTokens:
    """Finds them: first those that are not normalised, then the others in what is left, as `tokenizers` does."""

    def __init__(self, tokens: Sequence[dict[str, Any]]) -> None:
        """`tokens`: as in a `tokenizer.json`; of two with the same content the last counts."""
        kinds = [[token for token in tokens if bool(token.get("normalized")) == kind] for kind in (False, True)]
        contents = [{token["content"].encode(): token["id"] for token in kind if token["content"]} for kind in kinds]
        self._tries = [_trie(content) for content in contents if content]
        self._signs = sorted({content[:2] for kind in contents for content in kind})

    def may_be_in(self, data: bytes) -> bool:
        """Might `data` hold one?

        Most begin alike ("<|"), and two bytes are looked for at many times the speed of `find`.
        """
        return len(self._signs) > 8 or any(sign in data for sign in self._signs)

    def find(self, text: Any, offsets: Any, room: Room) -> tuple[Any, Any]:
        """Segments of documents, each text or one token: where they begin and the end (n + 1), and ids (n), -1
        for text.
        """
        segments, ids = offsets, np.full(len(offsets) - 1, -1, np.int64)
        for i, (nodes, begins) in enumerate(self._tries):
            most = int(offsets[-1]) + 1
            finer = room.array(f"segments {i}", (most,), np.int64)
            finer_ids = room.array(f"ids {i}", (most,), np.int64)
            count = _added.find(text, segments, ids, nodes, begins, finer, finer_ids)
            segments, ids = finer[: count + 1], finer_ids[:count]
        return segments, ids


def _trie(contents: dict[bytes, int]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """(nodes, begins) as `_added.find` takes them."""
    children: list[dict[int, int]] = [{}]
    ids, begins = [-1], np.zeros(1 << 16, np.bool_)
    for content, symbol in contents.items():
        node = 0
        for byte in content:
            if byte not in children[node]:
                children[node][byte] = len(children)
                children.append({})
                ids.append(-1)
            node = children[node][byte]
        ids[node] = symbol
        # Index first | second << 8, as the kernel reads it; a token of one byte begins with any
        # second byte.
        begins[content[0] | content[1] << 8 if len(content) > 1 else slice(content[0], None, 256)] = True
    nodes = np.zeros((len(ids), 4), np.int32)
    nodes[:, _added.ID] = ids
    for node, below in enumerate(children):
        # The children of a node are a linked list: the first hangs on the node, the others on each
        # other.
        previous = None
        for byte, child in below.items():
            nodes[child, _added.BYTE] = byte
            nodes[node if previous is None else previous, _added.CHILD if previous is None else _added.SIBLING] = child
            previous = child
    return nodes, begins
