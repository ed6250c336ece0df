"""Kernels of `compressors.bpe.id_coder`: one function both writes and reads, so that the two cannot drift apart.

Coder: a 64-bit range coder with 32-bit words and carry propagation (G. N. N. Martin, "Range encoding", 1979; carries as
in I. Witten et al., CACM 30(6), 1987, applied to the words already written). Everything is an integer.

All functions share these arguments. A return value of -1 or False says that the words are damaged:
no encoder continues them like this.

decoding, state  fields below, (N_STATE,) uint64
words            (n,) uint32, read or written
odds             (N_CONTEXTS,) int32: probability of yes in 2^-16 << 8 | how many answers it has learnt from

One file, because a cached kernel does not notice that one it calls in another file has changed.

`id_coder.Model` calls `code` with decoding False or True; docs/pxc.md has the stream byte by byte.
"""

import numpy as np

from compressors.kernels import inlined, kernel

LOW, RANGE, CODE, USED, TOTAL, N_STATE = range(6)  # USED words have been written or read; TOTAL is the sum of `tree`
WAYS = 4  # latest followers kept: fewer cost size, more cost speed
_SURE = 3  # a follower met again so often or more
_N_CANDIDATE_CONTEXTS = 2 * WAYS * WAYS * (_SURE + 1)  # pair or single, how many are kept, which, how sure
_NONE = np.int64(-2)  # it is to be coded in another way
N_CLASSES = 16  # of rows, by the share of what the corpus saw that they do not have
N_CONTEXTS = _N_CANDIDATE_CONTEXTS + N_CLASSES
_CERTAIN = 24  # how far a probability stays from 0 and 2^16, so that no answer costs more than 11.4 bits
_OLDEST = 255
PRECISION, LARGEST = 24, np.uint64(1 << 30)  # bits of the sum of `tree` at the beginning, and where counting stops
_WEIGHT = 1 << (PRECISION - 9)  # of a symbol met: what the corpus says counts like 512 of them
_0, _1, _8, _16, _32 = (np.uint64(k) for k in (0, 1, 8, 16, 32))
_SMALLEST, _WORD = np.uint64(1 << 32), np.uint64(0xFFFFFFFF)
_MIX = np.uint64(0x9E3779B97F4A7C15)


@inlined
def narrow(decoding, state, words, start, step, size):
    """Take the part [start, start + size) * step of the range."""
    # The coder holds an interval [LOW, LOW + RANGE); a part of it becomes the new one. The decoder
    # keeps CODE = value - LOW instead.
    begin = step * start
    state[RANGE] = step * size
    if decoding:
        state[CODE] -= begin
        if state[CODE] >= state[RANGE]:
            return False
    else:
        state[LOW] += begin
        if state[LOW] < begin:  # carry into the words already written
            i = np.int64(state[USED]) - 1
            while words[i] == _WORD:
                words[i] = _0
                i -= 1
            words[i] += 1
    # Less than 32 bits are left: shift one word out, or in. The decoder starts with two words, so
    # it reads two ahead.
    if state[RANGE] < _SMALLEST:
        used = np.int64(state[USED])
        if used == len(words):
            return False
        state[USED] += _1
        state[RANGE] <<= _32
        if decoding:
            word = np.uint64(words[used + 2]) if used + 2 < len(words) else _0
            state[CODE] = (state[CODE] << _32) | word
        else:
            words[used] = state[LOW] >> _32
            state[LOW] <<= _32
    return True


@inlined
def _answer(decoding, state, words, odds, context, yes):
    """Code a yes/no under the adaptive probability of `context`: 1, 0, or -1."""
    # odds: probability << 8 | age. The step towards the answer is 2 / (2 age + 3): an average at
    # first, then decay.
    p, n = np.int64(odds[context]) >> 8, np.int64(odds[context]) & 255
    step, size = state[RANGE] >> _16, np.uint64(p)
    if decoding:
        yes = state[CODE] < step * size
    if yes:
        sound = narrow(decoding, state, words, _0, step, size)
        p += 2 * ((1 << 16) - _CERTAIN - p) // (2 * n + 3)
    else:
        sound = narrow(decoding, state, words, size, step, np.uint64((1 << 16) - p))
        p += 2 * (_CERTAIN - p) // (2 * n + 3)
    odds[context] = p << 8 | min(n + 1, _OLDEST)
    return np.int64(yes) if sound else np.int64(-1)


@inlined
def _kept(recent, bucket, symbol):
    """Which way of the bucket has the symbol, or -1."""
    for way in range(WAYS):
        if np.int64(recent[bucket, way] >> 2) == symbol + 1:
            return way
    return -1


@inlined
def _recalled(decoding, state, words, odds, symbol, pair, single, recent):
    """Code whether `symbol` is one of what followed the last two symbols, or the last one: it, -1, or _NONE."""
    for order in range(2):
        bucket, n = single if order else pair, 0
        while n < WAYS and recent[bucket, n]:
            n += 1
        for way in range(n):
            candidate = np.int64(recent[bucket, way] >> 2) - 1
            if order and _kept(recent, pair, candidate) >= 0:
                continue  # it has been refused
            # A context for each (order, how many are kept, which of them, how sure).
            context = ((order * WAYS + n - 1) * WAYS + way) * (_SURE + 1) + np.int64(recent[bucket, way] & 3)
            yes = _answer(decoding, state, words, odds, context, candidate == symbol)
            if yes:
                return candidate if yes == 1 else np.int64(-1)
    return _NONE


@inlined
def _last_at_most(ascending, first, end, value):
    """The last place in [first, end) that has at most `value`; `first` if none has."""
    while end - first > 1:
        middle = (first + end) >> 1
        if ascending[middle] <= value:
            first = middle
        else:
            end = middle
    return first


@inlined
def _followed(decoding, state, words, odds, symbol, last, rows, nexts, ends, classes):
    """Code whether the corpus's row of `last` has the symbol, and then which it is: it, -1, or _NONE."""
    first, end = np.int64(rows[last]), np.int64(rows[last + 1])
    if first == end:
        return _NONE
    # The row is ascending, so a bisection finds the symbol; `ends` are running sums of counts, so a
    # bisection of them finds what was coded.
    place = first if decoding else _last_at_most(nexts, first, end, symbol)
    context = _N_CANDIDATE_CONTEXTS + np.int64(classes[last])
    yes = _answer(decoding, state, words, odds, context, nexts[place] == symbol)
    if yes != 1:
        return np.int64(-1) if yes else _NONE
    base = np.uint64(ends[first])
    total = np.uint64(ends[end]) - base
    step = state[RANGE] // total
    if decoding:
        place = _last_at_most(ends, first, end, min(state[CODE] // step, total - _1) + base)
    start = np.uint64(ends[place])
    sound = narrow(decoding, state, words, start - base, step, np.uint64(ends[place + 1]) - start)
    return np.int64(nexts[place]) if sound else np.int64(-1)


@inlined
def _any(decoding, state, words, symbol, tree):
    """Code any symbol, by its frequency in the corpus and how often the document had to do so: it or -1.

    `tree` sums frequencies (P. Fenwick, "A new data structure for cumulative frequency tables", 1994).
    """
    step, below = state[RANGE] // state[TOTAL], np.int64(0)
    if decoding:
        # Descend from the largest power of two: the last place whose sum is at most the target.
        target, symbol, bit = np.int64(min(state[CODE] // step, state[TOTAL] - _1)), np.int64(0), np.int64(1 << 24)
        while bit:
            if symbol + bit < len(tree) and below + tree[symbol + bit] <= target:
                symbol += bit
                below += tree[symbol]
            bit >>= 1
    # `below`: the sum of all frequencies before the symbol. In a Fenwick tree, clearing the lowest
    # bit of an index goes to the part before.
    node = symbol
    if not decoding:
        while node:
            below += tree[node]
            node &= node - 1
    size, node, stop = np.int64(tree[symbol + 1]), symbol, (symbol + 1) & symbol
    while node > stop:  # frequency of one symbol: its node less the nodes below it
        size -= tree[node]
        node &= node - 1
    if not narrow(decoding, state, words, np.uint64(below), step, np.uint64(size)):
        return np.int64(-1)
    if state[TOTAL] < LARGEST:
        state[TOTAL] += np.uint64(_WEIGHT)
        # And adding the lowest bit goes to each larger part that holds it.
        node = symbol + 1
        while node < len(tree):
            tree[node] += _WEIGHT
            node += node & -node
    return symbol


@inlined
def _keep(recent, bucket, symbol):
    """Put the symbol first in the bucket, surer if it was there."""
    way, entry = _kept(recent, bucket, symbol), (symbol + 1) << 2
    if way >= 0:
        entry |= min(np.int64(recent[bucket, way] & 3) + 1, _SURE)
    else:
        way = WAYS - 1
    while way > 0:
        recent[bucket, way] = recent[bucket, way - 1]
        way -= 1
    recent[bucket, 0] = entry


@kernel
def code(
    symbols, begin, decoding, state, words, odds, rows, nexts, ends, classes, recent, tree
):  # fmt: skip
    """Write symbols[begin:], or read them: how many words that took since the start of the stream, or -1.

    Everything carries over to the next call, on a longer `symbols` that begins with the same ones.

    Of the corpus: rows (vocab_size + 2,), nexts (n_pairs,), ends (n_pairs + 1,), classes (vocab_size + 1,);
    rows are empty without one.
    Of the document: recent (2 * size, WAYS) uint32, symbol + 1 << 2 | how sure; tree (vocab_size + 1,) int32.
    """
    size, nothing = len(recent) // 2, np.int64(len(rows) - 2)
    mask = np.uint64(size - 1)
    for i in range(begin, len(symbols)):
        symbol, last = np.int64(symbols[i]), np.int64(symbols[i - 1]) if i else nothing
        # Buckets by hash: the lower half of `recent` by the last symbol, the upper half by the last
        # two.
        hashed = np.uint64(last + 1) * _MIX
        single = np.int64((hashed >> _32) & mask)
        hashed = (hashed + np.uint64(symbols[i - 2] if i > 1 else 0)) * _MIX
        pair = size + np.int64((hashed >> _32) & mask)
        # Three ways, each tried where the one before does not know the symbol.
        coded = _recalled(decoding, state, words, odds, symbol, pair, single, recent)
        if coded == _NONE:
            coded = _followed(decoding, state, words, odds, symbol, last, rows, nexts, ends, classes)
        if coded == _NONE:
            coded = _any(decoding, state, words, symbol, tree)
        if coded < 0:
            return np.int64(-1)
        symbols[i] = coded
        _keep(recent, single, coded)
        _keep(recent, pair, coded)
    return np.int64(state[USED])
