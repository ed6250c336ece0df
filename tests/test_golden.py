"""Frozen streams: what was once written must be readable for ever, and symbols must not change unnoticed.

Rewritten only by ``pytest tests/test_golden.py --rewrite-golden``. The fitted artifacts next to the streams are made
where they are missing and never again: other streams are a change of the codec, not of its training.
"""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import compressors
from compressors import Compressor, files, registry
from compressors.bpe.codec import BPE
from compressors.zstd import Zstd

GOLDEN = Path(__file__).parent / "golden"
TEXT = "def f(x):\n    return x + 1  # naïve — 日本語 🙂\r\n\tI'LL can't 12345\n".encode()
SAMPLES = {
    "empty": b"",
    "all bytes": bytes(range(256)),
    "text": TEXT * 3,
    "broken UTF-8": TEXT[:40] + b"\x80\xfe\xed\xa0\x80\0" + TEXT,
    "long run": b"ab" * 600,
}
CODECS: dict[str, tuple[str, dict[str, Any]]] = {
    "bpe": ("bpe", {"artifact": GOLDEN / "bpe.pxa"}),
    "brotli": ("brotli", {}),
    "brotli-11": ("brotli", {"quality": 11}),
    "bytes": ("bytes", {}),
    "entropy-windows": ("entropy-windows", {}),
    "gzip": ("gzip", {}),
    "gzip-0": ("gzip", {"level": 0}),
    "gzip-9": ("gzip", {"level": 9}),
    "neural-best": ("neural", {"preset": "best"}),
    "neural-dense-12": ("neural", {"preset": "fast", "policy": "dense", "width": 12}),
    "neural-fast": ("neural", {"preset": "fast"}),
    "neural-mixed-best": ("neural", {"preset": "best"}),
    "neural-mixed-fast": ("neural", {"preset": "fast"}),
    "neural-word": ("neural", {"preset": "fast", "policy": "word"}),
    "pack-3": ("pack", {"codec": "bytes", "bits": 3}),
    "pack-16": ("pack", {"codec": "bytes", "bits": 16, "gray": 1}),
    "random-cuts": ("random-cuts", {}),
    "zstd": ("zstd", {}),
    "zstd-19": ("zstd", {"level": 19}),
    "zstd-dictionary": ("zstd", {"artifact": GOLDEN / "zstd.pxa"}),
}
# Streams of a coder that no longer writes: they must decode, and are never made again; symbols are the same.
ONLY_READ = ("neural-best", "neural-dense-12", "neural-fast", "neural-word")
OF_OUR_OWN = (
    "bpe",
    "bytes",
    "entropy-windows",
    "neural",
    "pack",
    "random-cuts",
)  # no library shapes these streams: they never change


def _make_artifact(path: Path) -> None:
    words = [f"{a} {b}{c}\n" for a in ("return", "def", "the") for b in ("alpha", "beta", "gamma") for c in range(60)]
    documents = [TEXT, *(word.encode() * 2 for word in words)]
    codec = BPE.fit(documents, vocab_size=400) if path.stem == "bpe" else Zstd.fit(documents, dictionary_size=512)
    codec.save(path)


def _freeze(codec: Compressor, data: bytes) -> dict[str, str]:
    frozen = {"symbols": codec.encode(data).astype(codec.vocab.dtype.newbyteorder("<")).tobytes()}
    if codec.lossless:
        packed = BytesIO()
        files.compress_stream(codec, BytesIO(data), packed)
        frozen |= {"compressed": codec.compress(data), "file": packed.getvalue()}
    return {key: value.hex() for key, value in frozen.items()}


def _written_by(label: str) -> Compressor:
    name, config = CODECS[label]
    return compressors.get(name, **config)


@pytest.fixture(params=CODECS)
def golden(request: pytest.FixtureRequest) -> tuple[Compressor, dict[str, Any]]:
    """A codec and what was frozen of it."""
    path = GOLDEN / f"{request.param}.json"
    if request.config.getoption("--rewrite-golden") and request.param not in ONLY_READ:
        artifact = CODECS[request.param][1].get("artifact")
        if artifact is not None and not artifact.exists():
            _make_artifact(artifact)
        codec = _written_by(request.param)
        streams = {label: _freeze(codec, data) for label, data in SAMPLES.items()}
        path.write_text(json.dumps({"fingerprint": codec.fingerprint, "streams": streams}, indent=1) + "\n")
    if not path.exists():
        pytest.fail(f"{path.name} is missing; it is part of the repository, and made only with --rewrite-golden")
    return _written_by(request.param), json.loads(path.read_text())


def test_every_built_in_is_frozen() -> None:
    assert {name for name, _ in CODECS.values()} >= set(registry.BUILTIN), "add the new codec to CODECS"
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(CODECS)


@pytest.mark.parametrize("label", SAMPLES)
def test_frozen_streams_decode(golden: tuple[Compressor, dict[str, Any]], label: str) -> None:
    codec, frozen = golden
    stream = {key: bytes.fromhex(value) for key, value in frozen["streams"][label].items()}
    symbols = np.frombuffer(stream["symbols"], codec.vocab.dtype.newbyteorder("<"))
    if not codec.lossless:
        pytest.skip("a one-way view has nothing to decode")
    assert codec.decode(symbols) == SAMPLES[label]
    assert codec.decompress(stream["compressed"]) == SAMPLES[label]
    out = BytesIO()
    files.decompress_stream(BytesIO(stream["file"]), out, codec=codec, name="x" + codec.suffix)
    assert out.getvalue() == SAMPLES[label]


@pytest.mark.parametrize("label", SAMPLES)
def test_fresh_streams_are_the_frozen_ones(
    golden: tuple[Compressor, dict[str, Any]], label: str, request: pytest.FixtureRequest
) -> None:
    codec, frozen = golden
    if codec.name not in OF_OUR_OWN and codec.fingerprint != frozen["fingerprint"]:
        pytest.skip(f"written with another version of the library than {codec.library_versions()}")
    fresh, expected = _freeze(codec, SAMPLES[label]), frozen["streams"][label]
    if request.node.callspec.params["golden"] in ONLY_READ:
        fresh, expected = {"symbols": fresh["symbols"]}, {"symbols": expected["symbols"]}
    assert fresh == expected


def test_fingerprints_of_our_own_codecs_are_frozen(golden: tuple[Compressor, dict[str, Any]]) -> None:
    codec, frozen = golden
    if codec.library_versions():
        pytest.skip("the library's version is part of the fingerprint")
    assert codec.fingerprint == frozen["fingerprint"]
