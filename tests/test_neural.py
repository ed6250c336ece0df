"""The neural stream: exact on every path, refused where the arithmetic differs, never much larger than its input."""

import io
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import compressors
from compressors import files
from compressors.artifact import Artifact
from compressors.neural import codec as neural
from compressors.neural import model as models
from compressors.neural import train

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


def test_machine_code_and_interpreter_agree() -> None:
    """The reference is the same kernels run as plain Python, where integers wrap alike."""
    script = """
import hashlib, warnings, numpy as np, compressors
warnings.simplefilter("ignore")
model = compressors.get("neural", preset="fast")
print(hashlib.sha256(model.compress(b"def f(x):\\n    return x\\n")).hexdigest())
"""
    found = set()
    for disabled in ("0", "1"):
        environment = os.environ | {"NUMBA_DISABLE_JIT": disabled}
        patch = (
            "import compressors.neural.codec as c; c._SAMPLE = b'x'; c.Neural._model = property(lambda s: c.Model.of("
        )
        patch += "s.artifact.settings, s.artifact.arrays))\n"
        done = subprocess.run(
            [sys.executable, "-c", patch + script], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        found.add(done.stdout)
    assert len(found) == 1


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
    with pytest.raises(neural.WrongArithmetic, match="nothing was written"):
        compressors.get("neural", artifact=bad).compress(b"x")


@pytest.mark.parametrize("damaged", [b"", b"\x80", b"\xff" * 12, b"\x03", b"\xfc\xff\xff\xff\x7f", b"\x05\x00"])
def test_damage_is_refused(damaged: bytes) -> None:
    with pytest.raises(compressors.CorruptStream):
        compressors.get("neural", preset="fast").decompress(damaged)


def test_an_interrupted_training_goes_on_bit_for_bit(tmp_path: Path, documents: list[bytes], monkeypatch) -> None:
    tiny = models.Shape(contexts=(0, 3), successors=(2,), n_seconds=1, width=4, history_width=4, hidden=16, bits=8)
    monkeypatch.setattr(train, "_CHUNK", 20_000)
    monkeypatch.setattr(train, "_SAVE_EVERY", 1)
    arguments = {"n_bytes": 80_000, "seed": 3, "progress": False}
    whole = train.train(documents, tiny, checkpoint=None, **arguments)
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
        with pytest.raises(compressors.InvalidConfig, match="no unfinished training"):
            train.train(documents, tiny, checkpoint=path, **arguments)
