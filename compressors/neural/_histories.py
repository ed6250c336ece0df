"""A hash table of bit histories, in buckets of 16 bytes: a check, then the states of the 15 decisions of half a byte."""

from __future__ import annotations

import numpy as np

from compressors._machine_words import prefetch
from compressors.kernels import inlined

_K1, _K2, _K3 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93), np.uint64(0xA0761D6478BD642F)
_PAGE = np.uint64(255)  # buckets of a page of memory, less one


@inlined
def key(context, k):
    """Mix a context with its number; the top byte is its check."""
    x = (context + np.uint64(k + 1) * _K1) * _K2
    return x ^ (x >> np.uint64(31))


@inlined
def _bucket(key, node, table):
    """Where the bucket of `node` (1, or 16 to 31: the first half of the byte is known) should be.

    All buckets of a context are in one page of memory, so that the second half of a byte finds it at hand.
    """
    place = (key >> np.uint64(8)) ^ (((np.uint64(node) * _K3) >> np.uint64(40)) & _PAGE)
    return np.int64(place & np.uint64((len(table) >> 4) - 1)) << 4


@inlined
def fetch_bucket(key, node, table):
    """Ask for the memory of a bucket."""
    prefetch(table, _bucket(key, node, table))


@inlined
def find_bucket(key, node, table):
    """Where the bucket is; the one of four neighbours that has seen least is cleared for it if there is none."""
    first, check = _bucket(key, node, table), np.uint8(((key >> np.uint64(56)) ^ np.uint64(node)) & _PAGE)
    place, least = first, np.int64(256)
    for neighbour in range(4):
        at = first ^ (neighbour << 4)
        seen = np.int64(table[np.uint64(at + 1)])
        if seen and table[np.uint64(at)] == check:
            return at
        if seen < least:
            place, least = at, seen
    for k in range(16):
        table[np.uint64(place + k)] = np.uint8(0)
    table[np.uint64(place)] = check
    return place
