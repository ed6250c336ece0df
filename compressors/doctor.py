"""`proxyc doctor`: is this installation sound?

`examine` lists versions, compares the digest of every numeric path with the one it must have, and
runs
the laws of `testing` over every registered codec. `warm` compiles all kernels ahead of their first
use.
Each check is a `Finding`; no check raises, so one broken plugin does not hide the other results.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from compressors import registry, testing
from compressors.base import Compressor
from compressors.errors import InvalidConfig, PluginError, ProxycError, SlowPath

# Packages whose versions a bug report needs; all but the last two are required.
_PACKAGES = ("proxyc", "numpy", "numba", "zstandard", "brotli", "tokenizers", "safetensors", "constriction", "torch")
# SHA-256 of the stream of 5,000 fixed ids: equal on every machine, or files written here cannot be read elsewhere.
_IDS_DIGEST = "28ffaec2086f27002f932cd25be98962a06c4c49132b54ac5e42ff78d1a41b42"
# What the package's own artifacts make of a text: SHA-256 of symbols (as four bytes each) and, where files
# are written, of the stream, 16 digits.
_TEXT = (
    'def area(width, height_2):\n    """naïve — 日本語 🙂"""\n    return [width * height_2 for _ in range(12345)]\r\n\n\n'
    * 3
).encode() + b"\xff\x00\t"
_DIGESTS: dict[str, tuple[str, ...]] = {
    "bpe": ("a111a92366216ee3", "5afb4933c38fd537"),
    "neural:preset=best": ("ced734c8fa12ecbc", "2410259d38715975"),
    "neural:preset=fast": ("ced734c8fa12ecbc", "b6f0e52f5b3d9489"),
    "neural:policy=dense": ("f5cf412d19f06444", "2410259d38715975"),
    "neural:policy=word": ("ad8f3fe517b86a51", "2410259d38715975"),
    "entropy-windows": ("5c9d48f2d0d31e13",),
}


@dataclass(frozen=True)
class Finding:
    """One check: its name, whether it went well, and what was found."""

    name: str
    sound: bool
    detail: str

    def to_json(self) -> str:
        """One line, which the child process of `warm` prints and its parent reads."""
        return json.dumps(asdict(self))


def examine() -> Iterator[Finding]:
    """All checks, one after the other; none raises."""
    yield Finding("python", True, f"{platform.python_version()} on {platform.machine()}")
    for package in _PACKAGES:
        try:
            yield Finding(package, True, version(package))
        except PackageNotFoundError:
            yield Finding(package, package in ("constriction", "torch"), "not installed")
    yield _kernels()
    yield _ids()
    for spec in _DIGESTS:
        yield _numbers(spec)
    for entry in registry.entries().values():
        yield _codec(entry)


def warm() -> Iterator[Finding]:
    """Compile the kernels of every codec into Numba's cache, so that no first use waits for it.

    Codecs are compiled side by side. One whose configuration decides what is compiled has `specimens()`,
    configurations that use all of it.
    """
    if not (kept := _kernels()).sound:
        yield kept
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(_warmed_apart, registry.names())
    yield kept


# The program of each child of `warm`: compile one codec's kernels, print the finding.
_CHILD = "import sys; from compressors import doctor; print(doctor.warmed(sys.argv[1]).to_json())"


def _warmed_apart(name: str) -> Finding:
    """Run `warmed` in a new process: within one process Numba compiles one function at a time."""
    # The child must find plugins that only this process's path has.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _CHILD, name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}"]
        return Finding(name, False, said[-1])
    return Finding(**json.loads(done.stdout.splitlines()[-1]))


def warmed(name: str) -> Finding:
    """Compile what the codec needs, in this process."""
    began = time.perf_counter()
    try:
        specimens = getattr(registry.class_of(registry.entries()[name]), "specimens", None)
        for codec in specimens() if specimens else [registry.get(name)]:
            _use(codec)
    except InvalidConfig as error:
        return Finding(name, True, f"has no default to be warmed: {error}")
    except ProxycError as error:
        return Finding(name, False, str(error))
    return Finding(name, True, f"warm after {time.perf_counter() - began:.1f} s")


def _use(codec: Compressor) -> None:
    """Call every path of `codec` that a kernel may serve: batches, decoding, both ways of the stream."""
    data = "def f(x):\n    return 'naïve' * 1234567\n".encode() * 20 + b"\xff"
    symbols = codec.encode_batch([data])
    if codec.lossless:
        codec.decode_batch(symbols)
        codec.decompress(codec.compress(data))


def _kernels() -> Finding:
    """Can machine code be kept on disk? Else every process compiles again, for many seconds."""
    with warnings.catch_warnings():  # it says the same
        warnings.simplefilter("ignore", SlowPath)
        try:
            from compressors import kernels
        except InvalidConfig as error:
            return Finding("kernels", False, str(error))
    folder = kernels.folder()
    return Finding("kernels", folder is not None, f"kept in {folder}" if folder else kernels.HOMELESS)


def _ids() -> Finding:
    """The coder of BPE ids on 5,000 fixed ids: its stream must be the same on every machine."""
    from compressors.bpe.id_coder import Model

    # Squares modulo a prime: fixed, spread over the vocabulary, and with repetitions for the
    # contexts.
    model, ids = Model({}, 1000), np.arange(5000, dtype=np.uint32) ** 2 % 7919 % 1000
    stream = model.encode(ids)
    digest = hashlib.sha256(stream).hexdigest()
    if digest != _IDS_DIGEST or not np.array_equal(model.decode(stream), ids):
        return Finding(
            "id coding", False, f"digest {digest[:12]}, expected {_IDS_DIGEST[:12]}: do not write .pxc files here"
        )
    return Finding("id coding", True, f"digest {digest[:12]}")


def _numbers(spec: str) -> Finding:
    """Symbols and stream of a text must be those of every other machine, or what is written here cannot be
    read there.
    """
    try:
        codec = registry.parse(spec)
        # Symbols as 4-byte integers, so that the digest does not depend on the dtype of the
        # vocabulary.
        outputs = [codec.encode(_TEXT).astype("<u4").tobytes(), *([codec.compress(_TEXT)] if codec.lossless else [])]
    except ProxycError as error:
        return Finding(f"{spec} digests", False, str(error))
    digests = tuple(hashlib.sha256(output).hexdigest()[:16] for output in outputs)
    if digests != _DIGESTS[spec]:
        detail = f"{' and '.join(digests)}, expected {' and '.join(_DIGESTS[spec])}: do not write with it here"
        return Finding(f"{spec} digests", False, detail)
    named = zip(("symbols", "stream"), digests, strict=False)
    return Finding(f"{spec} digests", True, ", ".join(map(" ".join, named)))


def _codec(entry: registry.Entry) -> Finding:
    """All laws of one registered codec. A codec without a default configuration is not checked, which
    is fine.
    """
    name = entry.name
    try:
        registry.class_of(entry)  # two claims to one name are found here
        codec = registry.get(name)
        testing.check(codec)
    except InvalidConfig as error:
        return Finding(name, True, f"not checked: {error}")
    except PluginError as error:
        return Finding(name, False, str(error))
    except (ProxycError, testing.LawBroken) as error:
        return Finding(name, False, f"breaks the contract: {error}")
    return Finding(name, True, f"keeps every law; fingerprint {codec.fingerprint[:12]}")


__all__ = ["Finding", "examine", "warm", "warmed"]
