"""The entropy coder against the same arithmetic in Python's unbounded integers."""

from bisect import bisect_right

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressors import CorruptStream, rans

counts_of_any_kind = st.lists(st.one_of(st.integers(0, 5), st.integers(0, 1 << 40)), min_size=2, max_size=300)


def slow_encode(symbols: list[int], start: list[int]) -> bytes:
    """Duda's C(x, s) = (x // f) 2^24 + start + x % f, from the last symbol to the first, words going out at 2^63."""
    state, words = 1 << 31, []
    for symbol in reversed(symbols):
        low, frequency = start[symbol], start[symbol + 1] - start[symbol]
        if (state // frequency << 24) + low + state % frequency >= 1 << 63:
            words.append(state % (1 << 32))
            state >>= 32
        state = (state // frequency << 24) + low + state % frequency
    return state.to_bytes(8, "little") + b"".join(word.to_bytes(4, "little") for word in reversed(words))


def exact_state(symbols: list[int], start: list[int]) -> int:
    """The same without words: one integer that grows without bound."""
    state = 1 << 31
    for symbol in reversed(symbols):
        low, frequency = start[symbol], start[symbol + 1] - start[symbol]
        state = (state // frequency << 24) + low + state % frequency
    return state


def exact_symbols(state: int, n: int, start: list[int]) -> list[int]:
    symbols = []
    for _ in range(n):
        slot = state % (1 << 24)
        symbols.append(bisect_right(start, slot) - 1)
        low, high = start[symbols[-1]], start[symbols[-1] + 1]
        state = (high - low) * (state >> 24) + slot - low
    assert state == 1 << 31
    return symbols


def _table(counts: list[int]) -> np.ndarray:
    return rans.starts(rans.frequencies(np.array(counts, np.int64)))


def _symbols(counts: list[int], n: int, seed: int = 0) -> np.ndarray:
    weights = np.array(counts, float) + 1
    return np.random.default_rng(seed).choice(len(counts), n, p=weights / weights.sum()).astype(np.int64)


@given(counts=counts_of_any_kind)
def test_frequencies_are_positive_and_sum_to_the_total(counts: list[int]) -> None:
    frequency = rans.frequencies(np.array(counts, np.int64))
    assert frequency.min() >= 1
    assert sum(frequency.tolist()) == 1 << 24
    assert rans.starts(frequency).tolist()[-1] == 1 << 24


@given(counts=counts_of_any_kind)
def test_frequencies_follow_the_counts(counts: list[int]) -> None:
    frequency, total = rans.frequencies(np.array(counts, np.int64)).tolist(), sum(counts) + len(counts)
    most = counts.index(max(counts))  # takes what rounding leaves over
    for i, count in enumerate(counts):
        assert i == most or abs(frequency[i] - (count + 1) * 2**24 / total) <= len(counts) + 1
    assert frequency[most] == max(frequency)


def test_frequencies_of_a_large_vocabulary() -> None:
    frequency = rans.frequencies(np.arange(1 << 17))
    assert frequency.min() >= 1
    assert int(frequency.sum()) == 1 << 24


@given(counts=counts_of_any_kind, n=st.integers(0, 300), seed=st.integers(0, 9))
def test_the_stream_is_that_of_exact_arithmetic(counts: list[int], n: int, seed: int) -> None:
    start, symbols = _table(counts), _symbols(counts, n, seed)
    data = rans.encode(symbols, start)
    assert data == slow_encode(symbols.tolist(), start.tolist())
    np.testing.assert_array_equal(rans.decode(data, n, start), symbols, strict=True)


@given(counts=counts_of_any_kind, symbols=st.data())
def test_any_symbols_round_trip_however_unlikely(counts: list[int], symbols: st.DataObject) -> None:
    chosen = symbols.draw(st.lists(st.integers(0, len(counts) - 1), max_size=200))
    start = _table(counts)
    data = rans.encode(np.array(chosen, np.int64), start)
    assert rans.decode(data, len(chosen), start).tolist() == chosen
    assert exact_symbols(exact_state(chosen, start.tolist()), len(chosen), start.tolist()) == chosen


def test_words_cost_next_to_nothing() -> None:
    counts = [1000, 300, 100, 30, 10, 3, 1]
    start, symbols = _table(counts), _symbols(counts, 5000)
    exact_bits = exact_state(symbols.tolist(), start.tolist()).bit_length()
    assert 8 * len(rans.encode(symbols, start)) <= 1.001 * exact_bits + 64


def test_the_compiled_kernels_agree_with_their_python_source() -> None:
    counts = [50, 1, 7, 0, 900]
    start, symbols = _table(counts), _symbols(counts, 700)
    words, slow_words = np.zeros(700, np.uint32), np.zeros(700, np.uint32)
    state, used = rans._encode(symbols, start, words)
    assert (int(state), used) == tuple(map(int, rans._encode.py_func(symbols, start, slow_words)))
    np.testing.assert_array_equal(words, slow_words)
    back = words[:used][::-1].copy()
    for kernel in (rans._decode, rans._decode.py_func):
        out = np.empty(700, np.int64)
        assert kernel(np.uint64(state), back, start, out)
        np.testing.assert_array_equal(out, symbols)
        assert not kernel(np.uint64(state), back[:-1], start, out)
        assert not kernel(np.uint64(state) ^ np.uint64(1 << 40), back, start, out)


@pytest.mark.parametrize("likely", [0.3, 0.6, 0.75])
def test_a_long_run_of_a_likely_symbol_is_not_taken_for_damage(likely: float) -> None:
    """A megabyte of one symbol: rounding may then undercut the information by more than the state has to spare."""
    start = _table([round(likely * 1e6), *[round((1 - likely) * 1e6 / 255)] * 255])
    symbols = np.zeros(1_000_000, np.int64)
    np.testing.assert_array_equal(rans.decode(rans.encode(symbols, start), len(symbols), start), symbols)


def test_damage_of_every_kind_raises() -> None:
    counts = [1, 2, 3, 4, 500]
    start, symbols = _table(counts), _symbols(counts, 400)
    data = rans.encode(symbols, start)
    for n in (0, 399, 401, 1 << 40, 1 << 62):
        with pytest.raises(CorruptStream):
            rans.decode(data, n, start)
    for bad in [data[:n] for n in range(len(data))] + [data + b"\0" * n for n in range(1, 9)]:
        with pytest.raises(CorruptStream):
            rans.decode(bad, 400, start)


def test_a_flipped_bit_raises_or_gives_other_symbols() -> None:
    """The coder has no checksum: files get theirs from the container. A flip must not give the same symbols."""
    start, symbols = _table([9, 9, 1, 40]), _symbols([9, 9, 1, 40], 200)
    data = rans.encode(symbols, start)
    noticed = 0
    for bit in range(8 * len(data)):
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        try:
            assert not np.array_equal(rans.decode(bytes(bad), 200, start), symbols)
        except CorruptStream:
            noticed += 1
    assert noticed >= 8 * len(data) - 1
