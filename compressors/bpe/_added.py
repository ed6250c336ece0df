"""Kernel that finds added tokens in text: the leftmost, of those that begin there the longest, as `tokenizers` does."""

import numpy as np

from compressors.kernels import inlined, kernel

# Columns of `nodes`: the byte of a node, its first child, its next sibling (0: none), its id (-1: none).
BYTE, CHILD, SIBLING, ID = range(4)


@inlined
def _longest(text, i, end, nodes):
    """(bytes, id) of the longest token at text[i]; (0, -1) if there is none."""
    node, j, n, found = np.int64(nodes[0, CHILD]), i, 0, np.int64(-1)
    # Walk down the trie; the last node with an id is the longest token.
    while node > 0 and j < end:
        if nodes[node, BYTE] != text[j]:
            node = np.int64(nodes[node, SIBLING])
            continue
        j += 1
        if nodes[node, ID] >= 0:
            n, found = j - i, np.int64(nodes[node, ID])
        node = np.int64(nodes[node, CHILD])
    return n, found


@kernel
def find(text, segments, ids, nodes, begins, out, out_ids):
    """Cut the segments of text further into text and tokens; returns their number, of which none is empty.

    segments (n + 1): where they begin, and the end; ids (n,): -1 for text, else it is a token. nodes
    (nodes, 4): a trie, its root first. begins (65536,): may a token begin with these two bytes? Filled: out
    (bytes + 1), out_ids (bytes).
    """
    count = 0
    for s in range(len(ids)):
        begin, end = np.int64(segments[s]), np.int64(segments[s + 1])
        i = begin
        if ids[s] >= 0:
            out[count], out_ids[count] = begin, ids[s]
            count += 1
            continue
        while i < end:
            # Two bytes rule out nearly every place before the trie is touched.
            if not begins[np.uint32(text[i]) | np.uint32(text[i + 1]) << np.uint32(8)]:
                i += 1
                continue
            n, found = _longest(text, i, end, nodes)
            if found < 0:
                i += 1
                continue
            if i > begin:
                out[count], out_ids[count] = begin, -1
                count += 1
            out[count], out_ids[count] = i, found
            count += 1
            i += n
            begin = i
        if end > begin:
            out[count], out_ids[count] = begin, -1
            count += 1
    out[count] = segments[len(segments) - 1]
    return count
