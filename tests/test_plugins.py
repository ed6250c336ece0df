"""Compressors of other distributions: found by entry point, tested by the kit, trained with, and harmless when they are broken.

Each test lays out an installed distribution in a folder and asks a new process that has the folder on its path.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import forked
import pytest

Install = Callable[[Path, str, str, str, str], None]

GUEST = """
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
from compressors import Compressor, CorruptStream, Vocab
from compressors.base import check_output, checked_symbols

@dataclass(frozen=True, kw_only=True)
class Rot(Compressor):
    name: ClassVar[str] = "rot"
    by: int = 13
    @property
    def vocab(self):
        return Vocab(size=256)
    def encode(self, data):
        return np.frombuffer(data, np.uint8) + np.uint8(self.by)
    def decode(self, symbols, *, max_output=None):
        symbols = checked_symbols(self, symbols)
        check_output(self.name, len(symbols), max_output)
        return (symbols - np.uint8(self.by)).tobytes()
    def compress(self, data):
        return self.encode(data).tobytes()
    def decompress(self, data, *, max_output=None):
        return self.decode(np.frombuffer(data, np.uint8), max_output=max_output)

not_a_class = 3
an_instance = Rot()
class Plain: ...
class Half(Compressor):
    name = "rot"
    vocab = None
class Other(Rot):
    name: ClassVar[str] = "other"
"""
FAILURE = """
try:
    compressors.get({name!r})
except compressors.PluginError as error:
    print("refused:", error)
print(*compressors.names())
print(compressors.get("gzip").name, compressors.get("bytes").name)
"""


def _python(folder: Path, code: str) -> list[str]:
    environment = os.environ | {"PYTHONPATH": str(folder)}
    command = [sys.executable, "-c", "import compressors\n" + code]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_a_guest_is_found_and_passes_the_kit(tmp_path: Path, install: Install) -> None:
    install(tmp_path, "guest", "guest_rot", GUEST, "rot = guest_rot:Rot")
    code = """
import sys
from compressors.testing import check
print(*compressors.names(), "guest_rot" in sys.modules)
codec = compressors.parse("rot:by=7")
check(codec)
print(codec, compressors.entries()["rot"])
"""
    names, codec = _python(tmp_path, code)
    assert names.split()[-1] == "False"  # listed, not imported
    assert names.split()[:-1] == sorted(names.split()[:-1])
    assert codec.startswith("Rot(by=7) Entry(name='rot', target='guest_rot:Rot', distributions=('guest',)")


def test_a_guest_writes_container_files(tmp_path: Path, install: Install) -> None:
    install(tmp_path, "guest", "guest_rot", GUEST, "rot = guest_rot:Rot")
    code = """
from io import BytesIO
from compressors import files
packed, out = BytesIO(), BytesIO()
files.compress_stream(compressors.get("rot", by=3), BytesIO(b"hello" * 99), packed)
files.decompress_stream(BytesIO(packed.getvalue()), out)
print(out.getvalue() == b"hello" * 99)
"""
    assert _python(tmp_path, code) == ["True"]


@pytest.mark.parametrize(
    ("source", "target", "reason"),
    [
        ("import no_such_library_at_all\n", "Rot", "no_such_library_at_all"),
        ("from json import no_such_thing\n", "Rot", "no_such_thing"),
        ("def broken(:\n", "Rot", "SyntaxError"),
        ("1 / 0\n", "Rot", "ZeroDivisionError"),
        (GUEST, "Missing", "Missing"),
        (GUEST, "not_a_class", "is no Compressor"),
        (GUEST, "Plain", "is no Compressor"),
        (GUEST, "an_instance", "is an instance: register its class"),
        (GUEST, "Half", "it lacks decode, encode"),
        (GUEST, "Other", "its name is 'other'"),
        ("raise SystemExit('bye')\n", "Rot", "bye"),
    ],
)
def test_a_broken_guest_is_named_and_harms_nobody(
    tmp_path: Path, install: Install, source: str, target: str, reason: str
) -> None:
    install(tmp_path, "sick-guest", "guest_rot", source, f"rot = guest_rot:{target}")
    refused, names, others = _python(tmp_path, FAILURE.format(name="rot"))
    assert refused.startswith("refused: compressor 'rot' of sick-guest is broken")
    assert reason in refused
    assert "rot" in names.split()
    assert others == "gzip bytes"


def test_a_guest_may_not_take_the_name_of_a_built_in(tmp_path: Path, install: Install) -> None:
    install(tmp_path, "impostor", "guest_rot", GUEST, "zstd = guest_rot:Rot")
    code = """
import sys
from compressors import testing
from proxylm.cli.main import proxyc
testing.check = lambda codec: None  # the laws are not what is asked here
print(compressors.get_class("zstd").__module__, compressors.names().count("zstd"), "guest_rot" in sys.modules)
proxyc(["codecs"], standalone_mode=False)
proxyc(["doctor"], standalone_mode=False)
"""
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", "import compressors\n" + code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.startswith("compressors.zstd 1 False\n")
    claimed = "compressor 'zstd' is claimed by proxyc and impostor; uninstall one of them"
    assert re.search(rf"^zstd .*BROKEN: {claimed}$", done.stdout, re.MULTILINE)
    assert re.search(rf"^BAD zstd +{claimed}$", done.stdout, re.MULTILINE)
    assert "1 checks failed: zstd" in done.stderr


def test_two_guests_of_one_name_are_both_named(tmp_path: Path, install: Install) -> None:
    install(tmp_path, "guest-a", "module_a", GUEST, "rot = module_a:Rot")
    install(tmp_path, "guest-b", "module_b", GUEST, "rot = module_b:Rot")
    refused, _, others = _python(tmp_path, FAILURE.format(name="rot"))
    assert "guest-a" in refused
    assert "guest-b" in refused
    assert others == "gzip bytes"


def test_an_entry_point_may_name_an_attribute_of_an_attribute(tmp_path: Path, install: Install) -> None:
    """`module:object.attribute` is a valid entry point (packaging.python.org, entry points specification)."""
    source = GUEST + "class Namespace:\n    Inner = Rot\n"
    install(tmp_path, "guest", "guest_rot", source, "rot = guest_rot:Namespace.Inner")
    assert _python(tmp_path, "print(compressors.get('rot'))") == ["Rot(by=13)"]


def test_a_guest_is_trained_with_by_name(tmp_path: Path, install: Install) -> None:
    """Encode, train and evaluate, with a compressor that this repository has never heard of."""
    install(tmp_path, "guest", "guest_rot", GUEST, "rot = guest_rot:Rot")
    (tmp_path / "corpus").mkdir()
    for i in range(6):
        (tmp_path / f"corpus/{i}.py").write_text(f"def f_{i}(x):\n    return x + {i}\n" * 40)
    small = ["model.d_model=32", "model.n_layers=1", "model.n_heads=2", "train.rows=2", "train.row_length=64"]

    def proxyc(*arguments: str) -> str:
        python_path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
        done = subprocess.run(
            [forked.python(), "-m", "proxylm.cli.main", *arguments],
            cwd=tmp_path, env=os.environ | {"PYTHONPATH": python_path}, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    proxyc("encode", "corpus", "-o", "store", "--view", "rot:by=7", "--view", "thirteen@rot")
    views = json.loads(proxyc("store", "store", "--verify", "--json"))["views"]
    assert {name: view["config"] for name, view in views.items() if name != "raw"} == {
        "rot": {"by": 7},
        "thirteen": {"by": 13},
    }
    settings = [part for setting in small for part in ("--set", setting)]
    proxyc("train", "store", "-o", "run", "--recipe", "proxy", "--view", "rot", "--steps", "12", *settings)
    found = json.loads(proxyc("eval", "run", "corpus", "--codec", "rot:by=7", "--json"))
    assert found["bytes"] == sum(path.stat().st_size for path in (tmp_path / "corpus").iterdir())
    assert found["bytes_per_symbol"] == 1.0
    assert 0 < found["bits_per_byte"] < 8.5


def test_a_guest_is_measured_by_itself_and_a_broken_one_is_left_out(tmp_path: Path, install: Install) -> None:
    install(tmp_path, "guest", "guest_rot", GUEST, "rot = guest_rot:Rot")
    install(tmp_path, "bad", "guest_bad", "1 / 0\n", "bad = guest_bad:Rot")
    code = """
from bench.codecs import measure, stability
print("rot" in stability.default_codecs(), "bad" in stability.default_codecs())
row = measure.of_codec(compressors.get("rot"), [b"some text " * 50])
print(row["document_bits_per_byte"], row["bytes_per_symbol"], row["distance"] < 0.3)
"""
    assert _python(tmp_path, code) == ["True False", "8.0 1.0 True"]
