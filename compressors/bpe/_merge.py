"""Kernels of byte-pair merging: the pair of lowest rank first, the leftmost of equals, as in `tokenizers`.

A piece of at most 64 bytes is merged with an array, a longer one with a heap: n log n steps for n bytes at worst.

`_encode` calls `merge_array` and `merge_heap` for pieces that its cache does not hold; `encoder`
fills the table of pairs once for a tokenizer. A rank has 23 bits, an id 20: `library.why_needed`
sends larger tokenizers to `tokenizers`.
"""

import numpy as np

from compressors._machine_words import highest, lowest, popcount
from compressors.kernels import inlined, kernel

_0, _1, _2, _3, _4, _6, _8 = (np.uint64(k) for k in (0, 1, 2, 3, 4, 6, 8))
_20, _24, _32, _63, _64, _65 = (np.uint64(k) for k in (20, 24, 32, 63, 64, 65))
_FULL = np.uint64(0xFFFFFFFFFFFFFFFF)
_SPILT, _RANK = np.uint64(1 << 23), np.uint64((1 << 23) - 1)  # fields of a word in `pairs`, beside the rank
_LOW32 = np.uint64(0xFFFFFFFF)
_NONE = np.uint64(1 << 29)  # no rank << 6 reaches it
_NOBODY = np.uint64((1 << 20) - 1)  # no id, so no merge has it
_MIX = np.uint64(0x9E3779B97F4A7C15)  # odd, from the golden ratio


# -- ranks of pairs ----------------------------------------------------------------------------------------------------


@kernel
def fill_pairs(left, right, pairs):
    """Hash table of the merges, buckets of four words: left id << 44 | right id << 24 | rank. `pairs`: all ones.

    A bucket that had to leave words to the next has _SPILT in its last. Where a pair is given twice the later rank
    stands, as in `tokenizers`.
    """
    for rank in range(len(left)):
        # A word is key << 24 | spilt << 23 | rank, and a key is left << 20 | right.
        key = (np.uint64(left[rank]) << _20) | np.uint64(right[rank])
        slot, k = _bucket(key, pairs), _0
        # Find the pair, or the first free word; a full bucket sends on to the next one.
        while pairs[slot + k] != _FULL and (pairs[slot + k] >> _24) != key:
            k += _1
            if k == _4:
                pairs[slot + _3] |= _SPILT
                slot, k = (slot + _4) & np.uint64(len(pairs) - 1), _0
        pairs[slot + k] = (
            (key << _24) | np.uint64(rank) | (pairs[slot + k] & _SPILT if pairs[slot + k] != _FULL else _0)
        )


@inlined
def _bucket(key, pairs):
    """Index of the first of four words: the upper half of the hash, rounded down to a bucket."""
    return ((key * _MIX) >> _32) & np.uint64(len(pairs) - 4)


@inlined
def _rank(pairs, left, right):
    """Rank of the merge of two ids, or at least _NONE. All of a bucket is compared: branches would not be foreseen."""
    key = (np.uint64(left) << _20) | np.uint64(right)
    slot = _bucket(key, pairs)
    while True:
        zero, one, two, three = pairs[slot], pairs[slot + _1], pairs[slot + _2], pairs[slot + _3]
        found = zero if (zero >> _24) == key else _FULL
        found = one if (one >> _24) == key else found
        found = two if (two >> _24) == key else found
        found = three if (three >> _24) == key else found
        if found != _FULL:
            return found & _RANK
        if three == _FULL or not (three & _SPILT):
            return _FULL
        slot = (slot + _4) & np.uint64(len(pairs) - 1)


# -- merging -----------------------------------------------------------------------------------------------------------


@inlined
def _least(work, lanes):
    """The least of work[0, 3, 6 ..]: scalar on purpose, a vector load would wait for the words just stored."""
    best, k = _FULL, _0
    while k < lanes:
        at = k * _3
        one = min(work[at], work[at + _3])
        two = min(work[at + np.uint64(6)], work[at + np.uint64(9)])
        three = min(work[at + np.uint64(12)], work[at + np.uint64(15)])
        four = min(work[at + np.uint64(18)], work[at + np.uint64(21)])
        best = min(best, min(min(one, two), min(three, four)))
        k += _8
    return best


@inlined
def merge_array(text, start, n, byte_id, byte_pair, pairs, merged, out, at, work):
    """Merge the piece text[start:start+n], n <= 64, into out[at:]; number of ids, with up to three words behind them.

    work (198): rank << 6 | place of a pair at 3k, an id at 3k + 1; places 64 and 65 stand for no neighbour.
    """
    # `lanes` is n rounded up to a multiple of 8, for the unrolled loops; lanes beyond n hold no
    # pair.
    lanes, k, previous = (n + np.uint64(7)) & np.uint64(0xF8), _0, np.uint64(text[start])
    while k < lanes:
        for _ in range(8):
            following = np.uint64(text[start + k + _1])
            rank = np.uint64(byte_pair[(previous << _8) | following])
            work[k * _3] = (rank << _6) | k if k + _1 < n else _FULL
            work[k * _3 + _1] = np.uint64(byte_id[previous])
            previous = following
            k += _1
    work[_64 * _3 + _1] = work[_65 * _3 + _1] = _NOBODY
    # One bit for each place that still starts an id.
    alive = _FULL >> (_64 - n)
    while True:
        best = _least(work, lanes)
        if best >= _NONE:
            break
        # rank << 6 | place: the least is the lowest rank and, of equals, the leftmost place.
        place, fresh = best & _63, np.uint64(merged[best >> _6])
        # `gone`: the neighbour on the right, which is merged in. `after` and `before`: the
        # neighbours then; `lowest` gives 64 and the minimum 65 where none is left.
        above = alive & (~_1 << place)
        gone = lowest(above)
        above &= above - _1
        alive ^= _1 << gone
        after, before = lowest(above), min(highest(alive & ((_1 << place) - _1)), _65)
        # The two pairs that the new id is part of get their ranks; the pair of `gone` is no longer
        # possible.
        work[gone * _3] = _FULL
        work[place * _3 + _1] = fresh
        work[place * _3] = (_rank(pairs, fresh, work[after * _3 + _1]) << _6) | place
        work[before * _3] = (_rank(pairs, work[before * _3 + _1], fresh) << _6) | before
    count, k = popcount(alive), at
    while alive:
        # Four ids at a time; up to three too many are overwritten by the next piece.
        for _ in range(4):
            out[k] = work[lowest(alive) * _3 + _1]
            alive &= alive - _1
            k += _1
    return count


@inlined
def _push(heap, size, item):
    """Put an item into the binary heap (least first); its new size."""
    k = size
    while k > 0:
        parent = (k - 1) >> 1
        if heap[parent] <= item:
            break
        heap[k] = heap[parent]
        k = parent
    heap[k] = item
    return size + 1


@inlined
def _pop(heap, size):
    """Remove the least item, heap[0]; the new size."""
    size -= 1
    item, k = heap[size], 0
    while 2 * k + 1 < size:
        child = 2 * k + 1
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if heap[child] >= item:
            break
        heap[k] = heap[child]
        k = child
    heap[k] = item
    return size


@inlined
def _offer(pairs, ids, links, heap, size, k, right):
    """Note the pair of ids at k and `right` as one that may be merged; new size of the heap."""
    rank = _rank(pairs, ids[k], ids[right])
    links[k, 2] = -1
    if rank < _NONE:
        links[k, 2] = np.int64(rank)
        size = _push(heap, size, (rank << _32) | np.uint64(k))
    return size


@inlined
def merge_heap(text, n, byte_id, pairs, merged, ids, links, heap):
    """Merge a piece of any length into ids[:count]. links (n, 3): left neighbour, right neighbour, rank offered."""
    size = np.int64(0)  # a plain 0 is another type to Numba, and would compile `_offer`, `_push` and `_pop` twice
    for k in range(n):
        ids[k] = byte_id[text[k]]
        links[k, 0], links[k, 1], links[k, 2] = k - 1, k + 1, -1
    for k in range(n - 1):
        size = _offer(pairs, ids, links, heap, size, k, k + 1)
    while size > 0:
        # An item is rank << 32 | place: again the lowest rank, and the leftmost of equals.
        k, rank = np.int64(heap[0] & _LOW32), np.int64(heap[0] >> _32)
        size = _pop(heap, size)
        if links[k, 2] != rank:  # an offer that no longer stands
            continue
        gone = np.int64(links[k, 1])
        after, before = np.int64(links[gone, 1]), np.int64(links[k, 0])
        ids[k] = merged[rank]
        # Unlink `gone`, and withdraw the offers of both places: -1 matches no rank in the heap.
        links[k, 1], links[gone, 2], links[k, 2] = after, -1, -1
        if after < n:
            links[after, 0] = k
        for left, right in ((k, after), (before, k)):  # a loop: `_offer` is inlined once
            if left >= 0 and right < n:
                size = _offer(pairs, ids, links, heap, size, left, right)
    # Follow the links and close up the ids in place; count never overtakes k.
    count, k = 0, 0
    while k < n:
        ids[count] = ids[k]
        count += 1
        k = np.int64(links[k, 1])
    return count
