"""Kernels that turn pieces of text into ids: a cache with exact keys in front of byte-pair merging.

The cache is one array of 64-byte buckets, each with two entries of four words: two words of key, two of value. What
falls out of a full bucket moves to the second place of the one beside it, if that is empty. The key
of a piece of at most 15 bytes is the piece; of a longer one, a hash and the length, and its bytes are compared too.
Value: number of ids in the top 4 bits of the first word, then ids of 20 bits, three in each word; 15 stands for a list
in `spill` at the offset in the first word, its length in the second, the bytes of a long piece behind it.

Keys of 128 pieces are made and their buckets asked for before the first is looked up, so that cache misses overlap.

`encoder.Encoder` calls `encode` for each chunk of text, and `fill_whole` once for a tokenizer with
`ignore_merges`. All indices are uint64: Numba turns a sum of int64 and uint64 into a float.
"""

import numpy as np

from compressors._machine_words import prefetch, put_lanes, word
from compressors.bpe._merge import merge_array, merge_heap
from compressors.kernels import inlined, kernel

_0, _1, _2, _3, _4, _5, _6, _8 = (np.uint64(k) for k in (0, 1, 2, 3, 4, 5, 6, 8))
_20, _29, _32, _40, _56, _60 = (np.uint64(k) for k in (20, 29, 32, 40, 56, 60))
# Masks: an id of a value; the length in a long key; the offset in a spilled value.
_ID, _LENGTH, _OFFSET = (np.uint64((1 << k) - 1) for k in (20, 56, 40))
_LONG, _SPILLED = np.uint64(255), np.uint64(15)  # top byte of a long key; number of ids that says `spill`
_MIX, _MIX_TOO = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)  # odd: golden ratio, and xxHash's
_KEPT = np.uint64(15)  # bytes of a piece that is its own key
_CACHED = np.uint64(256)  # longer pieces are merged each time, so that few of them cannot fill `spill`
_ARRAY = np.uint64(64)  # bytes of a piece that the 64-bit mask in `merge_array` can hold
_BATCH = np.uint64(128)  # pieces whose keys are made before the first is looked up
# masks: the first k bytes of a word; the bytes from 8 on of a piece of k bytes
_HEAD = np.array([(1 << 8 * min(k, 8)) - 1 for k in range(16)], np.uint64)
_TAIL = np.array([(1 << 8 * max(k - 8, 0)) - 1 for k in range(16)], np.uint64)


@inlined
def _key(text, s, n):
    """Two words that stand for the piece text[s:s+n]."""
    # A short piece is its own key: 15 bytes, zeros behind them, and the length in the last byte.
    if n <= _KEPT:
        return word(text, s) & _HEAD[n], (word(text, s + _8) & _TAIL[n]) | (n << _56)
    # A long piece is hashed in words of 8 bytes; the last word may overlap the one before it.
    a, k = n, _0
    while k + _8 <= n:
        a = (a ^ word(text, s + k)) * _MIX
        a ^= a >> _29
        k += _8
    a = (a ^ word(text, s + n - _8)) * _MIX
    return a ^ (a >> _32), n | (_LONG << _56)


@inlined
def _same(text, s, n, spill, at):
    """Are the n bytes kept from spill[at] on those of text[s:s+n]?"""
    k = _0
    while k < n:
        if spill[at] != word(text, s + k) & _HEAD[min(n - k, _8)]:
            return False
        at += _1
        k += _8
    return True


@inlined
def _exchange(cache, one, two):
    """Exchange two entries of the cache."""
    for _ in range(4):
        cache[one], cache[two] = cache[two], cache[one]
        one += _1
        two += _1


@inlined
def _recall(text, s, b, cache, slot, spill, out, at):
    """Write the spilled ids of the entry at `slot` to out[at:]; their number, 0 if it is another piece."""
    # The ids lie in `spill`, and the bytes of a long piece behind them.
    offset, count = cache[slot + _2] & _OFFSET, cache[slot + _3]
    if (b >> _56) == _LONG and not _same(text, s, b & _LENGTH, spill, offset + count):
        return _0
    k = _0
    while k < count:
        out[at + k] = spill[offset + k]
        k += _1
    return count


@inlined
def _store(text, s, n, a, b, out, at, count, cache, slot, spill, filled):
    """Keep ids out[at:at+count] as the newer entry of the bucket at `slot`; words of `spill` in use then."""
    # Words of `spill`: ids and bytes of a long piece, or more ids than the six that fit into a
    # value.
    need = _0
    if n > _KEPT:
        need = count + ((n + np.uint64(7)) >> _3)
    elif count > _6:
        need = count
    if filled + need > np.uint64(len(spill)):  # full: forget every piece and start again
        cache[:] = _0
        filled = _0
    # The newer entry moves to the second place of its bucket. The older one falls out, or into the bucket beside it.
    spare = (slot ^ _8) + _4
    if cache[slot + _5] and not cache[spare + _1]:
        _exchange(cache, slot + _4, spare)
    for k in range(4):
        cache[slot + _4 + np.uint64(k)] = cache[slot + np.uint64(k)]
    cache[slot], cache[slot + _1] = a, b
    if need:
        cache[slot + _2], cache[slot + _3] = (_SPILLED << _60) | filled, count
        for k in range(count):
            spill[filled + np.uint64(k)] = out[at + np.uint64(k)]
        filled += count
        k = _0
        while n > _KEPT and k < n:
            spill[filled] = word(text, s + k) & _HEAD[min(n - k, _8)]
            filled += _1
            k += _8
        return filled
    # Ids beyond `count` are whatever stands there: they are never looked at.
    low, high, k = count << _60, _0, _0
    for _ in range(3):
        low |= (np.uint64(out[at + k]) & _ID) << (_20 * k)
        high |= (np.uint64(out[at + k + _3]) & _ID) << (_20 * k)
        k += _1
    cache[slot + _2], cache[slot + _3] = low, high
    return filled


@inlined
def _whole(text, s, n, a, b, whole, whole_text):
    """Id of a piece that is an id though merging would not give it (`ignore_merges`); all ones if it is none."""
    # Open addressing in a table of 2^k rows; a row is empty where the second word of its key is 0.
    last = np.uint64(len(whole) - 1)
    slot = (a ^ (b * _MIX_TOO)) & last
    while whole[slot, _1]:
        if whole[slot, _0] == a and whole[slot, _1] == b and _same(text, s, n, whole_text, whole[slot, _3]):
            return np.int64(whole[slot, _2])
        slot = (slot + _1) & last
    return -1


@kernel
def fill_whole(text, starts, ids, whole, whole_text):
    """Hash table for `_whole`: rows of key, key, id and where the bytes are kept; empty rows are zero, 2^k of them."""
    last, kept = np.uint64(len(whole) - 1), _0
    for j in range(len(ids)):
        s = np.uint64(starts[j])
        n = np.uint64(starts[j + 1]) - s
        a, b = _key(text, s, n)
        slot = (a ^ (b * _MIX_TOO)) & last
        while whole[slot, _1]:
            slot = (slot + _1) & last
        whole[slot, _0], whole[slot, _1], whole[slot, _2], whole[slot, _3] = a, b, np.uint64(ids[j]), kept
        k = _0
        while k < n:
            whole_text[kept] = word(text, s + k) & _HEAD[min(n - k, _8)]
            kept += _1
            k += _8


@inlined
def _merge(text, s, n, tables, whole, a, b, work, links, heap, out, at):
    """Ids of one piece by merging, into out[at:]; their number."""
    byte_id, byte_pair, pairs, merged, whole_text = tables
    if len(whole):
        known = _whole(text, s, n, a, b, whole, whole_text)
        if known >= 0:
            out[at] = known
            return _1
    if n <= _ARRAY:
        return merge_array(text, s, n, byte_id, byte_pair, pairs, merged, out, at, work)
    return np.uint64(merge_heap(text[s:], np.int64(n), byte_id, pairs, merged, out[at:], links, heap))


@kernel
def encode(text, starts, first_piece, tokens, tables, whole, cache, spill, used, work, links, heap, out, rows, keys):
    """Ids of every piece into `out`, one after the other; returns their number.

    text, starts (pieces + 1), first_piece (documents + 1): as `_split.split` leaves them, 64 bytes readable beyond the
    text. tokens (documents,): ids of documents that are an added token, else -1; or empty. tables: id of each byte
    (256), rank of each pair of bytes (65536), `fill_pairs`, id of each merge, and the bytes for `whole`. cache, spill,
    used (1): kept between calls. work (192), links (n, 3), heap (3 n): for merging a piece of n bytes. Filled: out
    (text + 7), rows (documents + 1), where the ids of each document start.
    """
    last_bucket = np.uint64((len(cache) >> 3) - 1)
    at, filled = _0, np.uint64(used[0])
    for d in range(len(first_piece) - 1):
        rows[d] = at
        # An added token is one id; its bytes are not looked at.
        if len(tokens) and tokens[d] >= 0:
            out[at] = tokens[d]
            at += _1
            continue
        j, stop = np.uint64(first_piece[d]), np.uint64(first_piece[d + 1])
        while j < stop:
            batch, p = min(stop - j, _BATCH), _0
            s = np.uint64(starts[j])
            while p < batch:
                following = np.uint64(starts[j + p + _1])
                a, b = _key(text, s, following - s)
                # The upper half of the hash picks the bucket; << 3 makes it an index of 8-word
                # buckets.
                slot = ((((a ^ (b * _MIX_TOO)) * _MIX) >> _32) & last_bucket) << _3
                keys[p, _0], keys[p, _1], keys[p, _2] = a, b, slot
                prefetch(cache, slot)
                s = following
                p += _1
            p = _0
            while p < batch:
                a, b, slot = keys[p, _0], keys[p, _1], keys[p, _2]
                # A piece that is met again moves to the first place, where it is found without a wrong guess.
                if not (cache[slot] == a and cache[slot + _1] == b):
                    other, spare = slot + _4, (slot ^ _8) + _4
                    if cache[other] == a and cache[other + _1] == b:
                        _exchange(cache, slot, other)
                    elif cache[other + _1] and cache[spare] == a and cache[spare + _1] == b:
                        _exchange(cache, slot, spare)
                s, count = np.uint64(starts[j + p]), _0
                if cache[slot] == a and cache[slot + _1] == b:
                    count = cache[slot + _2] >> _60
                    if count <= _6:  # nearly always: apart from the other cases the loop runs three times as fast
                        put_lanes(out, at, cache[slot + _2])
                        put_lanes(out, at + _3, cache[slot + _3])
                        at += count
                        p += _1
                        continue
                    count = _recall(text, s, b, cache, slot, spill, out, at)
                if count == _0:
                    n = np.uint64(starts[j + p + _1]) - s
                    count = _merge(text, s, n, tables, whole, a, b, work, links, heap, out, at)
                    if n <= _CACHED:
                        filled = _store(text, s, n, a, b, out, at, count, cache, slot, spill, filled)
                at += count
                p += _1
            j += batch
    rows[len(first_piece) - 1] = at
    used[0] = filled
    return at
