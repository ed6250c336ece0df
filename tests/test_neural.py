"""The neural stream: exact on every path, refused where the arithmetic differs, never much larger than its input."""

import io
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import compressors
from compressors import files
from compressors.artifact import Artifact
from compressors.neural import _network, self_test, train
from compressors.neural import model as models

TEXT = b"def area(width, height):\n    return width * height\n\n\nclass Box:\n    def __init__(self, width):\n" * 3
CHILD = """
import hashlib, sys, compressors
data = sys.stdin.buffer.read()
print(hashlib.sha256(b"".join(compressors.get("neural", preset=p).compress(data) for p in ("best", "fast"))).hexdigest())
"""


@pytest.fixture(scope="module", params=["best", "fast"])
def codec(request: pytest.FixtureRequest) -> compressors.Compressor:
    return compressors.get("neural", preset=request.param)


@given(data=st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
@settings(max_examples=25)
def test_any_bytes_return(data: bytes) -> None:
    codec = compressors.get("neural", preset="fast")
    assert codec.decompress(codec.compress(data)) == data


def test_text_is_predicted(codec: compressors.Compressor) -> None:
    assert len(codec.compress(TEXT)) < 0.5 * len(compressors.get("zstd", level=19).compress(TEXT))


@pytest.mark.parametrize("kind", ["noise", "zeros", "numbers"])
def test_never_much_larger_than_zstd_or_the_input(codec: compressors.Compressor, kind: str) -> None:
    noise = random.Random(1).randbytes(40_000)
    numbers = np.arange(8000, dtype="<i4").tobytes()
    data = {"noise": noise, "zeros": bytes(40_000), "numbers": numbers}[kind]
    packed = io.BytesIO()
    files.compress_stream(codec, io.BytesIO(data), packed)
    assert len(codec.compress(data)) <= min(len(data), 1.01 * len(compressors.get("zstd").compress(data))) + 8
    assert len(codec.compress(data)) <= len(data) * 1.001
    out = io.BytesIO()
    files.decompress_stream(io.BytesIO(packed.getvalue()), out)  # the default artifact is found by its fingerprint
    assert out.getvalue() == data


# The reference: layers and mixers as plain loops over the weights as the artifact has them, in Python's own integers.
PLAIN = """
import sys, warnings, numpy as np, compressors
from compressors.neural import _code, _context, _histories, _mixed_code, _mixing, first_coder, model as models
warnings.simplefilter("ignore")

def gather(rows, network):
    network.x[:] = 0
    at = 0
    for f, row in enumerate(rows):
        for d in range(network.width[f]):
            network.x[at] = network.table[network.start[f] + int(row) * network.width[f] + d]
            at += 1

def advance(network):
    for j, row in enumerate(model.weight1.tolist()):
        total = int(model.bias1[j]) + sum(w * x for w, x in zip(row, network.x.tolist()))
        network.hidden[j] = min(max((total + 8) >> 4, 0), 127)

def logit(node, network):
    units = network.hidden.tolist()
    return int(model.bias2[node]) + sum(w * h for w, h in zip(model.weight2[node].tolist(), units))

def dot(weights, first, inputs):
    return sum(w * x for w, x in zip(weights[first : first + len(inputs)].tolist(), inputs.tolist()))

def learn(weights, first, inputs, error):
    for k, x in enumerate(inputs.tolist()):
        weights[first + k] += (x * int(error) + (1 << 15)) >> 16

def learn_output(weights, first, hidden, error):
    for k, x in enumerate(hidden.tolist()):
        step = (((x << 4) * int(error) >> 14) + 1) >> 1
        weights[first + k] = min(max(int(weights[first + k]) + step, -(1 << 15)), (1 << 15) - 1)

artifact = compressors.get("neural", preset="fast").artifact
model = models.Model.of(artifact.settings, artifact.arrays)
if sys.argv[1] == "plain":
    for module in (_code, _mixed_code):
        module.gather, module.advance, module.fetch = gather, advance, lambda *_: None
    _code.logit = _mixing.logit = logit
    _mixing.dot, _mixing.learn, _mixing.dot_output, _mixing.learn_output = dot, learn, dot, learn_output
    _code.prefetch = _context.prefetch = _mixing.prefetch = _histories.prefetch = lambda *_: None
for binary in (False, True):
    stream = model.encode(TEXT, binary)
    assert model.decode(stream, len(TEXT), binary) == TEXT
    print(stream.hex())
stream = first_coder.encode(model, TEXT)
assert first_coder.decode(model, stream, len(TEXT)) == TEXT
print(stream.hex())
"""


def test_machine_code_and_interpreter_agree() -> None:
    """Of both coders. The other kernels are run as Python, too, where integers wrap alike."""
    found = set()
    for how, disabled in (("fast", "0"), ("plain", "1")):
        done = subprocess.run(
            [sys.executable, "-c", PLAIN.replace("TEXT", repr(TEXT[:24])), how],
            env=os.environ | {"NUMBA_DISABLE_JIT": disabled, "PROXYC_KERNELS": "python"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1


@numba.njit(_nrt=False)
def run_layers(rows, network, hidden, logits):
    for i in range(len(rows)):
        _network.gather(rows[i], network)
        _network.advance(network)
        for j in range(hidden.shape[1]):
            hidden[i, j] = network.hidden[j]
        for node in range(256):
            logits[i, node] = _network.logit(node, network)


@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize(
    ("widths", "n_hidden"),
    [((12, 8, 8), 128), ((1,), 1), ((3, 5), 15), ((8,), 16), ((7, 9, 16), 48), ((17, 40), 65), ((11, 12), 130)],
)
def test_layers_are_the_matrix_products(widths: tuple[int, ...], n_hidden: int, extreme: bool) -> None:
    """Sums kept from position to position against int64 products of each; rows stay the same, change, come back."""
    random = np.random.default_rng(n_hidden)

    def some(*shape: int) -> np.ndarray:
        values = [-128, -127, 0, 127] if extreme else range(-127, 128)
        return random.choice(np.array(values, np.int8), shape)

    width, n_rows = np.array(widths, np.int64), 16
    start = n_rows * (np.cumsum(width) - width)
    table, weight1, weight2 = some(n_rows * width.sum()), some(n_hidden, width.sum()), some(256, n_hidden)
    bias1, bias2 = (random.integers(-99_999, 99_999, n).astype(np.int32) for n in (n_hidden, 256))
    rows = random.integers(0, n_rows, (200, len(widths))).astype(np.int32)
    rows[random.random(rows.shape) < 0.3] = 3
    rows[7] = n_rows - 1  # the last row of the table
    network = _network.Network.new(
        start, width, table, _network.by_pairs(weight1), bias1, _network.by_nodes(weight2), bias2
    )
    hidden, logits = np.zeros((len(rows), n_hidden), np.int64), np.zeros((len(rows), 256), np.int64)
    run_layers(rows, network, hidden, logits)
    x = np.concatenate(
        [table[start[f] + rows[:, f, None] * width[f] + np.arange(width[f])] for f in range(len(widths))], axis=1
    ).astype(np.int64)
    expected = np.clip((x @ weight1.T.astype(np.int64) + bias1 + 8) >> 4, 0, 127)
    assert np.array_equal(hidden, expected)
    assert np.array_equal(logits, expected @ weight2.T.astype(np.int64) + bias2)


def test_a_model_of_odd_sizes_codes() -> None:
    shape = models.Shape(contexts=(3, 0), successors=(2,), n_seconds=1, width=3, history_width=10, hidden=21, bits=9)
    trainer = train.Trainer.new(shape, 1)
    arrays = trainer.quantised() | {"squash": models.squash_table(), "mixer": np.ones((16, 5), np.int32) << 14}
    model = models.Model.of({"shape": asdict(shape)}, arrays)
    for n in (0, 1, 15, 16, 17, len(TEXT)):  # the encoder prepares 16 positions together
        stream = model.encode(TEXT[:n])
        assert stream is not None
        assert model.decode(stream, n) == TEXT[:n]


def test_other_processors_processes_and_threads_give_the_same_stream() -> None:
    streams = set()
    for cpu in ({}, {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}):
        done = subprocess.run(
            [sys.executable, "-c", CHILD], input=TEXT, env=os.environ | cpu, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
        streams.add(done.stdout)
    assert len(streams) == 1
    codec = compressors.get("neural", preset="fast")
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(codec.compress, [TEXT] * 8))) == 1


def test_the_training_front_end_is_the_integer_network(codec: compressors.Compressor) -> None:
    """float32 matrix products of a batch, as in training, against an int64 reference: equal to the last bit."""
    model = models.Model.of(codec.artifact.settings, codec.artifact.arrays)
    rows = models.features(model.shape, np.frombuffer(TEXT, np.uint8))[::7]
    trainer = train.Trainer.new(model.shape, 0)
    trainer.arrays |= {"table": model.table.astype(np.float32), "bias1": model.bias1.astype(np.float32)}
    trainer.arrays["weight1"] = np.ascontiguousarray(model.weight1.T.astype(np.float32))
    x, _, hidden = trainer.forward(rows)
    sums = x.astype(np.int64) @ model.weight1.T.astype(np.int64) + model.bias1
    assert np.array_equal(hidden.astype(np.int64), np.clip((sums + 8) >> 4, 0, 127))


def test_a_machine_that_disagrees_is_refused() -> None:
    good = compressors.get("neural", preset="fast").artifact
    bad = Artifact(codec="neural", settings={**good.settings, "self_test": "0" * 64}, arrays=good.arrays, card={})
    with pytest.raises(self_test.WrongArithmetic, match="nothing was written"):
        compressors.get("neural", artifact=bad).compress(b"x")


@pytest.mark.parametrize("damaged", [b"", b"\x80", b"\xff" * 12, b"\x03", b"\xfc\xff\xff\xff\x7f", b"\x05\x00"])
def test_damage_is_refused(damaged: bytes) -> None:
    with pytest.raises(compressors.CorruptStream):
        compressors.get("neural", preset="fast").decompress(damaged)


def test_an_interrupted_training_goes_on_bit_for_bit(tmp_path: Path, documents: list[bytes], monkeypatch) -> None:
    tiny = models.Shape(contexts=(0, 3), successors=(2,), n_seconds=1, width=4, history_width=4, hidden=16, bits=8)
    monkeypatch.setattr(train, "_CHUNK", 20_000)
    monkeypatch.setattr(train, "_SAVE_EVERY", 1)
    told: list[tuple[int, int]] = []
    arguments = {"n_bytes": 80_000, "seed": 3, "progress": lambda done, n_bytes, note: told.append((done, n_bytes))}
    whole = train.train(documents, tiny, checkpoint=None, **arguments)
    assert told[0] == (0, 80_000)
    assert told[-1][0] >= 80_000
    path, real, calls = tmp_path / "x.partial", train._train_chunk, []

    def interrupted(*chunk):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*chunk)

    monkeypatch.setattr(train, "_train_chunk", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train.train(documents, tiny, checkpoint=path, **arguments)
    monkeypatch.setattr(train, "_train_chunk", real)
    resumed = train.train(documents, tiny, checkpoint=path, **arguments)
    assert all(np.array_equal(whole.arrays[name], resumed.arrays[name]) for name in whole.arrays)
    with pytest.raises(compressors.InvalidConfig, match="other documents or settings"):
        train.train(documents[1:], tiny, checkpoint=path, **arguments)
    whole_file = path.read_bytes()
    for damaged in (b"", whole_file[:-100], b"no archive"):
        path.write_bytes(damaged)
        with pytest.raises(compressors.InvalidConfig, match="not an unfinished training"):
            train.train(documents, tiny, checkpoint=path, **arguments)
