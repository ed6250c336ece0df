"""The range coder against exact arithmetic: integers of any size, the ideal length, and constriction.

What runs is the loop of the coder itself, `_code.code`, with a script of probabilities in place of the model.
"""

import math
import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from types import FunctionType

import constriction
import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compressors.neural import _code, _context

ONE = 1 << 16
EXTREMES = (1, 2, 255, ONE - 255, ONE - 2, ONE - 1)
Script = Sequence[int]  # probability of a 1 for each bit, in 1/2^16


# -- slow and obvious --------------------------------------------------------------------------------------------------


def bits_of(data: bytes) -> list[int]:
    return np.unpackbits(np.frombuffer(data, np.uint8)).tolist()


def slow_encode(data: bytes, script: Script) -> bytes:
    """The interval is that of one number of any size: nothing overflows, and no carry needs care."""
    low, span, n_bytes = 0, 1 << 48, 1
    for bit, p in zip(bits_of(data), script, strict=True):
        bound = (span >> 16) * p
        low, span = (low, bound) if bit else (low + bound, span - bound)
        while span < 1 << 40:
            low, span, n_bytes = low << 8, span << 8, n_bytes + 1
    return (-(-low >> 40)).to_bytes(n_bytes, "big")


def slow_decode(stream: bytes, script: Script) -> bytes:
    """The stream is a fraction; in which part of the interval is it?"""
    number, low = Fraction(int.from_bytes(stream, "big"), 256 ** len(stream)), Fraction()
    span, unit = 1 << 48, Fraction(1, 1 << 48)
    bits: list[bool] = []
    for p in script:
        bound = (span >> 16) * p
        bits.append(number < low + bound * unit)
        low, span = (low, bound) if bits[-1] else (low + bound * unit, span - bound)
        while span < 1 << 40:
            span, unit = span << 8, unit / 256
    return np.packbits(np.array(bits, bool)).tobytes()


def ideal(data: bytes, script: Script) -> float:
    """Bytes of information."""
    return (
        math.fsum(-math.log2((p if bit else ONE - p) / ONE) for bit, p in zip(bits_of(data), script, strict=True)) / 8
    )


# -- ours --------------------------------------------------------------------------------------------------------------


def next_of_script(node, keys, mixing, w):
    return np.int64(mixing.squash[mixing.places[0]])


def go_on(bit, p, mixing, w):
    mixing.places[0] += np.uint64(1)


def no_logit(node, network):
    return np.int64(0)


def nothing_of_two(a, b):
    pass


def nothing_of_one(a):
    pass


def nothing_prepared(data, i, decoding, sight, state, network, counters, ahead, at):
    pass


def nothing_fetched(node, keys, counters):
    pass


MODEL = {
    "_mixed": next_of_script, "_learn": go_on, "logit": no_logit, "gather": nothing_of_two, "advance": nothing_of_one,
    "_prepare": nothing_prepared, "_fetch_counters": nothing_fetched,
}  # fmt: skip


def scripted(compile_: Callable[[Callable], Callable], **more: Callable) -> Callable:
    """`_code.code` with the script for a model."""
    model = {name: compile_(function) for name, function in MODEL.items()}
    loop = _code.code.py_func
    return compile_(FunctionType(loop.__code__, vars(_code) | model | more, "scripted"))


@pytest.fixture(scope="module", params=["compiled", "interpreted"])
def loop(request: pytest.FixtureRequest) -> Callable:
    return scripted(numba.njit if request.param == "compiled" else lambda function: function)


def run(loop: Callable, raw: np.ndarray, decoding: int, stream: np.ndarray, script: Script) -> int:
    table = np.array([*script, 1], np.int32)
    none = np.zeros(0, np.int64)
    mixing = _code.Mixing.new(table, none, none, np.zeros((16, 1 + _code.N_COUNTERS), np.int32), 1)
    sight, state = _context.Sight(none, none, none, 0), _context.State.new(0, 1)
    return int(loop(raw, decoding, stream, sight, state, none, mixing, _code.Ahead.new(0), np.array([-1, 0])))


def encode(loop: Callable, data: bytes, script: Script) -> bytes:
    stream = np.empty(2 * len(script) + 64, np.uint8)  # 16 bits for a decision, at worst
    used = run(loop, np.frombuffer(data, np.uint8).copy(), 0, stream, script)
    return stream[:used].tobytes()


def decode(loop: Callable, stream: bytes, script: Script) -> bytes:
    raw = np.zeros(len(script) // 8, np.uint8)
    run(loop, raw, 1, np.frombuffer(stream, np.uint8).copy(), script)
    return raw.tobytes()


def check(loop: Callable, data: bytes, script: Script) -> bytes:
    """Our stream is the slow one's, both read it, and it is hardly longer than the information."""
    stream = encode(loop, data, script)
    assert stream == slow_encode(data, script)
    assert decode(loop, stream, script) == data
    assert decode(loop, stream.rstrip(b"\0"), script) == data  # as streams are kept
    assert slow_decode(stream, script) == data
    assert ideal(data, script) - 1e-6 * len(script) - 1e-9 < len(stream) < ideal(data, script) + 1e-6 * len(script) + 2
    return stream


probabilities = st.sampled_from(EXTREMES) | st.integers(1, ONE - 1)
decisions = st.lists(st.tuples(st.integers(0, 1), probabilities), max_size=25 * 8).map(lambda d: d[: len(d) // 8 * 8])


@given(decisions=decisions)
def test_any_decisions(loop: Callable, decisions: list[tuple[int, int]]) -> None:
    data = np.packbits(np.array([bit for bit, _ in decisions], np.uint8)).tobytes()
    check(loop, data, [p for _, p in decisions])


@pytest.mark.parametrize("p", EXTREMES)
@pytest.mark.parametrize("byte", [0, 255, 0b01010101])
def test_extremes_of_frequencies(loop: Callable, p: int, byte: int) -> None:
    """The likeliest decision and the least likely one, again and again."""
    check(loop, bytes([byte]) * 40, [p] * 320)


def test_typical_decisions(loop: Callable) -> None:
    draw = random.Random(0)
    script = [min(max(round(ONE * draw.betavariate(0.2, 0.2)), 1), ONE - 1) for _ in range(8 * 300)]
    bits = [draw.random() < p / ONE for p in script]
    check(loop, np.packbits(bits).tobytes(), script)


# Streams on whose way many bytes 255 wait for a carry: those just below a number whose last digits are zeros, or on it.
WAITING = [
    b"\x7f" + b"\xff" * 40, b"\x80" + bytes(40) + b"\x01", b"\xff" * 40, b"\xfe" + b"\xff" * 40 + b"\x01",
    b"".join(b"\x12" + b"\xff" * n + b"\x80" + bytes(n) for n in range(12)),
]  # fmt: skip


def test_carries(monkeypatch: pytest.MonkeyPatch) -> None:
    """What decodes from such streams codes to them, through a carry over the bytes that wait, and without one."""
    carried, emit = {0: 0, 1: 0}, _code._emit

    def watched(out, used, state, low):
        top = int(low >> np.uint64(40))
        if top != 255:
            carried[top >> 8] = max(carried[top >> 8], int(state[1]))
        return emit(out, used, state, low)

    plain = scripted(lambda function: function, _emit=watched)
    compiled, draw = scripted(numba.njit), random.Random(1)
    for wanted in WAITING:
        for kind in ("even", "odd", "skewed"):
            n_bits = 8 * (len(wanted) + 4)
            script = {
                "even": [ONE // 2] * n_bits,
                "odd": [draw.randrange(20_000, 45_000) for _ in range(n_bits)],
                "skewed": [draw.choice((3000, 62_000)) for _ in range(n_bits)],
            }[kind]
            data = slow_decode(wanted, script)
            stream = check(compiled, data, script)
            assert encode(plain, data, script) == stream
    assert carried[0] > 10
    assert carried[1] > 10


def test_as_short_as_constriction(loop: Callable) -> None:
    draw = random.Random(2)
    script = [draw.choice((*EXTREMES, 20_000, 32_768, 60_000)) for _ in range(8 * 500)]
    bits = [int(draw.random() < p / ONE) for p in script]
    peer = constriction.stream.queue.RangeEncoder()
    peer.encode(np.array(bits, np.int32), constriction.stream.model.Bernoulli(), np.array(script) / ONE)
    ours = check(loop, np.packbits(bits).tobytes(), script)
    assert len(ours) <= 4 * len(peer.get_compressed()) + 2
