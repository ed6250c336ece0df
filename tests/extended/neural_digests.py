"""What the neural codec makes of fixed texts, as digests, in this process.

python -m tests.extended.neural_digests N_BYTES [HOW...]

Prints JSON. HOW: threads=N; batch, documents in company; one_ahead, the encoder prepares one position at a time; torch,
its float32 products in place of numpy's; interpreter (with NUMBA_DISABLE_JIT=1), kernels as Python, layers in int64.
"""

from __future__ import annotations

import hashlib
import io
import json
import locale
import platform
import sys
import warnings
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import numpy as np

from compressors import files
from compressors.files import pxc
from compressors.neural import (
    _code,
    _context,
    _entropy_windows,
    _histories,
    _mixed_code,
    _mixing,
    _windows,
    train,
    windows,
)
from compressors.neural.codec import Neural
from compressors.neural.entropy_windows import PublishedWindows
from compressors.neural.model import Model, features

PIECE = 4096  # bytes of a block of a file, and of documents encoded together: so that there are several
SYMBOLS = {
    "words": 0,
    "dense": 0,
    "word": 0,
    "words, 4 bits less": 4,
}  # policy, and by how many bits windows are narrower


def texts(n_bytes: int) -> list[bytes]:
    """Documents: four of text, `n_bytes` together, numbers, noise, zeros, nothing. They are the same everywhere, for ever.

    Text is strings of the package's dictionary, drawn by a hash, frequent ones more often; the second half of a document
    repeats the first in pieces.
    """
    drawn = np.frombuffer(hashlib.shake_128(b"text").digest(4 * n_bytes), "<u2").reshape(2, -1)
    pieces = Neural(preset="fast").vocab.pieces or ()
    text = b"".join(pieces[symbol] for symbol in drawn[0] >> (drawn[1] % 9))
    size = n_bytes // 8
    halves = [text[i * size : (i + 1) * size] for i in range(4)]
    numbers = (np.arange(n_bytes // 32, dtype="<i4") ** 2).tobytes()
    noise = hashlib.shake_128(b"noise").digest(n_bytes // 10)
    return [*(half + half[size // 2 :] + half[: size // 2] for half in halves), numbers, noise, bytes(size), b""]


def digests(n_bytes: int, how: Collection[str] = ()) -> dict[str, str]:
    """Outcome -> 16 hex digits. Raises `AssertionError` if anything does not decode to what it was made of."""
    documents, threads = texts(n_bytes), next((int(word[8:]) for word in how if word.startswith("threads=")), 1)
    half = [text[: len(text) // 2] for text in documents[:4]]  # nothing repeats: no block is left to zstd
    found = {"texts": _digest(documents)}
    for name in ("best", "fast"):
        codec = _codec(how, preset=name)
        found[f"{name}, streams"] = _digest(_streams(codec, documents, threads))
        found[f"{name}, file"] = _digest([_file(codec, b"".join(half), threads)])
        found[f"{name}, layers"] = _digest([_hidden(codec, documents[0], how)])
    width = 16 if n_bytes >= 10_000 else 12  # the interpreter takes minutes for the trie of 65,536 strings
    for label, less in SYMBOLS.items():
        cut = _codec(how, preset="fast", policy=label.partition(",")[0], width=width - less)
        found[label] = _digest(_symbols(cut, documents, threads, "batch" in how))
    entropy = PublishedWindows()
    if "interpreter" in how:
        _take_apart(_model(entropy))
    found["entropy"] = _digest([entropy.encode(documents[0][: n_bytes // 20]).astype("<u2").tobytes()])
    return found


def _digest(parts: Iterable[bytes]) -> str:
    """Over the digests of the parts: it matters where each ends."""
    return hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()[:16]


def _codec(how: Collection[str], **settings: Any) -> Neural:
    codec = Neural(**settings)
    if "interpreter" in how:
        _take_apart(_model(codec))
    return codec


def _model(codec: Neural | PublishedWindows) -> Model:
    """Without its self-test: that must not decide what is measured."""
    assert codec.artifact is not None
    return Model.of(codec.artifact.settings, codec.artifact.arrays)


def _streams(codec: Neural, documents: Sequence[bytes], threads: int) -> list[bytes]:
    """Of the network, also where `compress` takes another way (whose bytes may depend on the version of zstd)."""
    model = _model(codec)
    with ThreadPoolExecutor(threads) as pool:
        streams = list(pool.map(lambda data: model.encode(data) or b"", documents))
        _check(documents, pool.map(lambda data: codec.decompress(codec.compress(data)), documents))
    coded = [(data, stream) for data, stream in zip(documents, streams, strict=True) if stream]
    _check((data for data, _ in coded), (model.decode(stream, len(data)) for data, stream in coded))
    return streams


def _check(expected: Iterable[bytes], found: Iterable[bytes]) -> None:
    for a, b in zip(expected, found, strict=True):
        if a != b:
            raise AssertionError(f"{b[:20]!r} was decoded, not {a[:20]!r}")


def _file(codec: Neural, data: bytes, threads: int) -> bytes:
    packed, out = io.BytesIO(), io.BytesIO()
    files.compress_stream(codec, io.BytesIO(data), packed, threads=threads)
    files.decompress_stream(io.BytesIO(packed.getvalue()), out, codec=codec, threads=threads)
    _check([data], [out.getvalue()])
    return packed.getvalue()


def _symbols(codec: Neural, documents: Sequence[bytes], threads: int, batch: bool) -> list[bytes]:
    """One by one; by `threads` threads in batches; or in one batch, behind all others in the opposite order."""
    if batch or threads > 1:
        company = [*documents[::-1], *documents] if batch else list(documents)
        found = codec.encode_batch(company, threads=threads)
        rows = [found[i] for i in range(len(company) - len(documents), len(company))]
    else:
        rows = [codec.encode(document) for document in documents]
    _check(documents, map(codec.decode, rows))
    return [row.astype("<u2").tobytes() for row in rows]


# -- the layers by other means -----------------------------------------------------------------------------------------


def _hidden(codec: Neural, data: bytes, how: Collection[str]) -> bytes:
    """Hidden units of every position, as the training computes them: a float32 product of them all, exact or wrong."""
    model = _model(codec)
    names = ("table", "weight1", "bias1")
    arrays = {name: np.ascontiguousarray(getattr(model, name).T, np.float32) for name in names}
    rows = features(model.shape, np.frombuffer(data, np.uint8))
    x, sums, _ = train.Trainer(shape=model.shape, arrays=arrays).forward(rows)
    if "torch" in how:
        torch = import_module("torch")
        bias, weight = torch.from_numpy(arrays["bias1"]), torch.from_numpy(arrays["weight1"].T.copy())
        sums = torch.nn.functional.linear(torch.from_numpy(x), weight, bias).numpy()
    whole = sums.astype(np.int64)
    if "interpreter" in how:
        whole = x.astype(np.int64) @ model.weight1.T.astype(np.int64) + model.bias1
    return ((whole + 8) >> 4).clip(0, 127).astype(np.uint8).tobytes()


def _take_apart(model: Model) -> None:
    """Put products in int64 of the weights as they are kept in place of the kernels that the interpreter cannot run."""
    weight1, weight2 = model.weight1.astype(np.int64), model.weight2.astype(np.int64)

    def gather(rows: Any, network: Any) -> None:
        places = [
            network.table[s + int(r) * w :][:w] for s, r, w in zip(network.start, rows, network.width, strict=True)
        ]
        network.x[: weight1.shape[1]] = np.concatenate(places)

    def advance(network: Any) -> None:
        sums = weight1 @ network.x[: weight1.shape[1]].astype(np.int64) + model.bias1
        network.hidden[: len(weight1)] = ((sums + 8) >> 4).clip(0, 127)

    def logit(node: int, network: Any) -> int:
        return int(weight2[node] @ network.hidden[: len(weight1)].astype(np.int64)) + int(model.bias2[node])

    def copy(source: Any, i: int, target: Any, j: int) -> None:
        target[int(j) : int(j) + _windows.WIDE] = source[int(i) : int(i) + _windows.WIDE]

    for module in (_code, _entropy_windows, _mixed_code, _mixing):
        vars(module).update(gather=gather, advance=advance, logit=logit, fetch=lambda *_: None)
    for module in (_code, _context, _mixing, _histories):
        vars(module).update(prefetch=lambda *_: None)
    vars(_mixing).update(dot=_dot, learn=_learn, dot_output=_dot, learn_output=_learn_output)
    vars(_windows).update(_copy=copy)


def _dot(weights: Any, first: int, inputs: Any) -> np.int64:
    return np.int64(weights[first : first + len(inputs)].astype(np.int64) @ inputs.astype(np.int64))


def _learn(weights: Any, first: int, inputs: Any, error: int) -> None:
    weights[first : first + len(inputs)] += ((inputs.astype(np.int64) * error + (1 << 15)) >> 16).astype(np.int32)


def _learn_output(weights: Any, first: int, hidden: Any, error: int) -> None:
    steps = (((hidden.astype(np.int64) << 4) * error >> 14) + 1) >> 1
    place = slice(first, first + len(hidden))
    weights[place] = (weights[place] + steps).clip(-(1 << 15), (1 << 15) - 1)


# -- the process -------------------------------------------------------------------------------------------------------


def facts() -> dict[str, Any]:
    """What tells this process from others."""
    code, kernel = _machine_code(), _mixed_code.code
    return {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "locale": locale.setlocale(locale.LC_CTYPE),
        "compiled_for": kernel.targetctx.codegen().magic_tuple()[1] if hasattr(kernel, "targetctx") else "interpreter",
        "vectors": next((name for name in ("zmm", "ymm", "xmm") if f"%{name}" in code), ""),  # registers, on x86
    }


def _machine_code() -> str:
    """Of the coder; empty where none is made, or it was read from Numba's cache."""
    kernel = _mixed_code.code
    stats = getattr(kernel, "stats", None)
    return "" if stats is None or stats.cache_hits else "".join(kernel.inspect_asm().values())


def main() -> None:
    n_bytes, how = int(sys.argv[1]), sys.argv[2:]
    locale.setlocale(locale.LC_ALL, "")
    if "interpreter" in how:
        warnings.simplefilter("ignore")  # integers that wrap, as they do in machine code
    if "one_ahead" in how:
        _code.AHEAD = _mixed_code.AHEAD = 1
    pxc.BLOCK_SIZE, windows._CHUNK = PIECE, PIECE
    found = digests(n_bytes, how)
    print(json.dumps({"facts": facts(), "digests": found}))


if __name__ == "__main__":
    main()
