"""Context coding of ids: exact on any symbols, as described, the same from Python's integers, sound on any bytes."""

import hashlib
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import oracle_ids
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressors import CorruptStream, InvalidConfig
from compressors.base import Ragged
from compressors.bpe import _id_coder, fit_id_coder, id_coder
from compressors.bpe.id_coder import Model
from compressors.errors import OutputLimitExceeded

VOCAB = 300


def _ids(document: bytes) -> np.ndarray:
    """Bytes as ids, some of them replaced by ids above 255."""
    ids = np.frombuffer(document, np.uint8).astype(np.uint16)
    ids[1::3] = np.where(ids[1::3] == ord("e"), 256 + ids[1::3] % 44, ids[1::3])
    return ids


@pytest.fixture(scope="module")
def arrays(documents: list[bytes]) -> id_coder.Arrays:
    rows = Ragged.from_rows([_ids(document) for document in documents[::2]], np.uint16)
    return fit_id_coder.fit(rows, VOCAB)


@pytest.fixture(scope="module", params=["fitted", "adaptive"])
def tables(request: pytest.FixtureRequest, arrays: id_coder.Arrays) -> id_coder.Arrays:
    return arrays if request.param == "fitted" else {}


@pytest.fixture(scope="module")
def model(tables: id_coder.Arrays) -> Model:
    return Model(tables, VOCAB)


@pytest.fixture(scope="module")
def unseen(documents: list[bytes]) -> np.ndarray:
    return _ids(documents[1][:6000])


def test_context_pays(arrays: id_coder.Arrays, unseen: np.ndarray) -> None:
    share = np.bincount(unseen) / len(unseen)
    order_0 = -len(unseen) * np.sum(share[share > 0] * np.log2(share[share > 0])) / 8
    assert len(Model(arrays, VOCAB).encode(unseen)) < 0.7 * order_0
    assert len(Model({}, VOCAB).encode(unseen)) < 0.9 * order_0


@given(symbols=st.lists(st.one_of(st.integers(0, 3), st.integers(0, VOCAB - 1)), max_size=300))
def test_any_symbols_round_trip(model: Model, symbols: list[int]) -> None:
    coded = model.encode(np.array(symbols, np.uint16))
    assert model.decode(coded, max_symbols=len(symbols)).tolist() == symbols


@given(vocab_size=st.sampled_from([1, 2, 3, 257, 65_537]), seed=st.integers(0, 99))
def test_any_vocabulary_round_trips_without_tables(vocab_size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    symbols = rng.integers(0, vocab_size, rng.integers(0, 200)).astype(np.uint32)
    symbols = np.concatenate([symbols, symbols[::-1], symbols[: len(symbols) // 2]])
    coded = Model({}, vocab_size).encode(symbols)
    assert Model({}, vocab_size).decode(coded).tolist() == symbols.tolist()
    assert len(coded) <= 1.1 * len(symbols) * max(vocab_size - 1, 1).bit_length() / 8 + 60


def test_a_vocabulary_of_millions() -> None:
    symbols = np.array([0, (1 << 22) - 1, 5, 0, (1 << 22) - 1, 5], np.uint32)
    model = Model({}, 1 << 22)
    np.testing.assert_array_equal(model.decode(model.encode(symbols)), symbols)


@given(rows=st.lists(st.lists(st.integers(0, 9), max_size=40), max_size=60))
def test_tables_of_any_corpus_work(rows: list[list[int]]) -> None:
    corpus = Ragged.from_rows([np.array(row, np.uint8) for row in rows], np.uint8)
    arrays = fit_id_coder.fit(corpus, 10)
    symbols = [symbol for row in rows for symbol in row] + list(range(10))
    coded = Model(arrays, 10).encode(np.array(symbols, np.uint8))
    assert Model(arrays, 10).decode(coded).tolist() == symbols == oracle_ids.decode(coded, 10, arrays)


def test_the_stream_is_as_described(tables: id_coder.Arrays, unseen: np.ndarray) -> None:
    assert oracle_ids.decode(Model(tables, VOCAB).encode(unseen), VOCAB, tables) == unseen.tolist()


def test_a_run_costs_next_to_nothing_and_limits_hold(model: Model) -> None:
    rng = np.random.default_rng(0)
    symbols = rng.integers(0, VOCAB, 1000).astype(np.uint16)
    long = np.concatenate([symbols, np.zeros(300_000, np.uint16), symbols])
    coded = model.encode(long)
    np.testing.assert_array_equal(model.decode(coded), long)
    assert len(coded) < 3500
    with pytest.raises(OutputLimitExceeded):
        model.decode(coded, max_symbols=len(long) - 1)


def test_counting_ends_before_sums_overflow() -> None:
    symbols = np.random.default_rng(0).permutation(1 << 16).astype(np.uint32)  # no pair twice: all by frequency
    model = Model({}, 1 << 16)
    words, odds = np.empty(6 * len(symbols), np.uint32), model._odds.copy()
    with model._memory(len(symbols)) as (state, recent, tree):
        assert _id_coder.code(symbols, 0, False, state, words, odds, *model._rows, recent, tree) > 0
    assert int(state[_id_coder.TOTAL]) == int(_id_coder.LARGEST)
    np.testing.assert_array_equal(model.decode(model.encode(symbols)), symbols)


def test_fitting_is_deterministic(arrays: id_coder.Arrays, documents: list[bytes]) -> None:
    rows = Ragged.from_rows([_ids(document) for document in documents[::2]], np.uint16)
    again = fit_id_coder.fit(rows, VOCAB)
    assert list(arrays) == list(again) == list(id_coder.ARRAYS)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, again[name], strict=True)


# -- the range coder -------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(1, 1 << 30), st.floats(0, 1), st.floats(0, 1)), max_size=200))
def test_the_range_coder_is_exact_arithmetic(choices: list[tuple[int, float, float]]) -> None:
    """Against a low end that never overflows and so never carries: Python's integers."""
    state, words = np.zeros(_id_coder.N_STATE, np.uint64), np.zeros(300, np.uint32)
    state[_id_coder.RANGE] = (1 << 64) - 1
    low, width, n_words = 0, (1 << 64) - 1, 0
    for total, x, y in choices:
        start = min(int(x * total), total - 1)
        size, step = 1 + int(y * (total - start - 1)), width // total
        assert _id_coder.narrow(False, state, words, np.uint64(start), np.uint64(step), np.uint64(size))
        low, width = low + step * start, step * size
        if width < 1 << 32:
            low, width, n_words = low << 32, width << 32, n_words + 1
    assert int(state[_id_coder.USED]) == n_words
    found = int.from_bytes(words[:n_words].astype(">u4").tobytes(), "big") << 64 | int(state[_id_coder.LOW])
    assert (found, int(state[_id_coder.RANGE])) == (low, width)
    ended = id_coder._ended(words[:n_words], int(state[_id_coder.LOW]), width)
    assert 4 * n_words <= len(ended) <= 4 * n_words + 4
    assert low <= int.from_bytes(ended.ljust(4 * n_words + 8, b"\0"), "big") < low + width


def test_a_carry_runs_through_words_of_ones() -> None:
    words, state = np.array([5, 0xFFFFFFFF, 0xFFFFFFFF, 0], np.uint32), np.zeros(_id_coder.N_STATE, np.uint64)
    state[_id_coder.USED], state[_id_coder.LOW], state[_id_coder.RANGE] = 3, (1 << 64) - 2, 1 << 62
    assert _id_coder.narrow(False, state, words, np.uint64(1), np.uint64(1 << 61), np.uint64(1))
    assert words.tolist() == [6, 0, 0, 0]
    ended = id_coder._ended(np.array([5, 0xFFFFFFFF], np.uint32), (1 << 64) - 1, 1 << 40)
    assert ended == bytes([0, 0, 0, 6, 0, 0, 0, 0])


_CHILD = """
import pickle, sys
from compressors.bpe import _id_coder
from compressors.bpe.id_coder import Model
assert not hasattr(_id_coder.code, "py_func")
arrays, ids = pickle.load(sys.stdin.buffer)
for tables in (arrays, {}):
    coded = Model(tables, 300).encode(ids)
    assert (Model(tables, 300).decode(coded) == ids).all()
    print(coded.hex())
"""


def test_the_compiled_kernels_agree_with_their_python_source(arrays: id_coder.Arrays, unseen: np.ndarray) -> None:
    as_python = {"NUMBA_DISABLE_JIT": "1", "PROXYC_KERNELS": "python"}
    environment = os.environ | as_python | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command, ids = [sys.executable, "-W", "ignore", "-c", _CHILD], unseen[:1500]
    done = subprocess.run(command, input=pickle.dumps((arrays, ids)), capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().split() == [Model(tables, VOCAB).encode(ids).hex() for tables in (arrays, {})]


def test_several_threads_on_one_model(model: Model, documents: list[bytes]) -> None:
    rows = [_ids(document[:3000]) for document in documents[:12]] * 3
    with ThreadPoolExecutor(4) as pool:
        coded = list(pool.map(model.encode, rows))
        decoded = list(pool.map(model.decode, coded))
    assert coded == [model.encode(row) for row in rows]
    assert all(np.array_equal(a, b) for a, b in zip(decoded, rows, strict=True))


# -- what no encoder wrote -------------------------------------------------------------------------------------------


def _decoded(model: Model, data: bytes) -> np.ndarray | None:
    """The symbols of a stream, or None of one that is refused."""
    try:
        return model.decode(data, max_symbols=100_000)
    except CorruptStream:
        return None


def _is_sound(symbols: np.ndarray | None, data: bytes) -> bool:
    """Refused, or symbols of the vocabulary and as many as the stream says."""
    return symbols is None or (int(symbols.max(initial=0)) < VOCAB and data.startswith(id_coder._varint(len(symbols))))


def test_a_stream_cut_anywhere_followed_by_more_or_flipped(model: Model, unseen: np.ndarray) -> None:
    coded = model.encode(unseen[:200])
    assert _decoded(model, coded) is not None
    damaged = [coded[:n] for n in range(len(coded))]
    damaged += [coded + bytes(n) for n in range(1, 9)] + [coded + b"\xff" * n for n in range(1, 9)]
    damaged += [(int.from_bytes(coded, "big") ^ 1 << bit).to_bytes(len(coded), "big") for bit in range(8 * len(coded))]
    decoded = [_decoded(model, bad) for bad in damaged]
    assert all(_is_sound(symbols, bad) for symbols, bad in zip(decoded, damaged, strict=True))
    assert sum(symbols is None for symbols in decoded) > 0.9 * len(damaged)


@given(data=st.binary(max_size=60))
def test_any_bytes_are_a_stream_or_refused(model: Model, data: bytes) -> None:
    assert _is_sound(_decoded(model, data), data)


@given(n=st.integers(0, 50), data=st.binary(min_size=4, max_size=60))
def test_any_bytes_of_the_right_length_are_a_stream_or_refused(model: Model, n: int, data: bytes) -> None:
    data = bytes([n]) + data
    assert _is_sound(_decoded(model, data), data)


@pytest.mark.parametrize("n", [1, 1 << 20, 1 << 40, (1 << 56) - 1])
def test_a_claim_of_many_symbols_takes_no_memory(model: Model, n: int) -> None:
    with pytest.raises(CorruptStream, match="damaged"):
        model.decode(id_coder._varint(n) + bytes.fromhex("8badf00d0ddba11c" * 8))


def test_symbols_outside_the_vocabulary_are_refused(model: Model) -> None:
    with pytest.raises(CorruptStream, match=r"300 is outside 0\.\.299"):
        model.encode(np.array([0, 300], np.uint16))


@pytest.mark.parametrize("name", id_coder.ARRAYS)
def test_tables_that_do_not_fit_are_refused(arrays: id_coder.Arrays, name: str) -> None:
    array = arrays[name]
    damaged = [array[:-1], array.astype(np.int64), array.reshape(1, -1)]
    if name not in ("counts", "row_counts"):
        damaged.append(np.full_like(array, np.iinfo(array.dtype).max))
    if name in ("row_counts", "row_symbols", "odds"):
        damaged.append(np.zeros_like(array))
    for bad in damaged:
        with pytest.raises(InvalidConfig, match="do not fit a vocabulary of"):
            Model(arrays | {name: bad}, VOCAB)
    with pytest.raises(InvalidConfig, match=name):
        Model({key: value for key, value in arrays.items() if key != name}, VOCAB)
    with pytest.raises(InvalidConfig, match="vocabulary of 301"):
        Model(arrays, VOCAB + 1)


def test_frozen_streams() -> None:
    """What was once written must be readable for ever; the tables are made by hand, as fitting may change."""
    i = np.arange(64 * 5)
    tables = {
        "counts": i[:64] ** 3,
        "row_lengths": np.array([5] * 64 + [0]),
        "row_symbols": i // 5 % 13 + i % 5 * 12,
        "row_counts": 1 + i * i % 997,
        "row_classes": i[:65] % 16,
        "odds": (400 * i[: _id_coder.N_CONTEXTS] + 1000) << 8 | i[: _id_coder.N_CONTEXTS] % 30,
    }
    tables = {name: tables[name].astype(dtype) for name, dtype in id_coder.ARRAYS.items()}
    symbols = (np.arange(1500) ** 2 % 91 % 64 * (np.arange(1500) % 7 > 0)).astype(np.uint8)
    coded = {"fitted": Model(tables, 64).encode(symbols), "adaptive": Model({}, 64).encode(symbols)}
    assert oracle_ids.decode(coded["fitted"], 64, tables) == symbols.tolist()
    assert {name: hashlib.sha256(stream).hexdigest()[:16] for name, stream in coded.items()} == FROZEN


FROZEN = {"fitted": "950e75a340e47de0", "adaptive": "fb50bdeb064f39f9"}
