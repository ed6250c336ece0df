"""First use: `doctor --warm` leaves nothing to be compiled, and without a place for machine code all works, with a note."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from numba.core import caching

from compressors import SlowPath, doctor, kernels
from proxylm.cli.main import proxyc

# What people do first, in a new process; prints the kernels that had to be compiled.
USE = """
import gc, sys, compressors
from numba.core.dispatcher import Dispatcher
for codec in (compressors.load(sys.argv[1]), compressors.get("neural"), compressors.get("neural", preset="fast")):
    data = "x = 'naïve' + str(12345)\\n".encode() * 9
    assert codec.decode(codec.encode(data)) == data
    assert codec.encode_batch([data, data], threads=2)[1].tolist() == codec.encode(data).tolist()
    assert codec.decompress(codec.compress(data)) == data
found = [kernel for kernel in gc.get_objects() if isinstance(kernel, Dispatcher)]
print(len(found), [kernel.__name__ for kernel in found if kernel.stats.cache_misses])
"""


def test_after_warming_nothing_is_compiled() -> None:
    done = CliRunner().invoke(proxyc, ["doctor", "--warm", "--json"], catch_exceptions=False)
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert done.exit_code == 0
    assert "warm after" in findings["bpe"]["detail"]
    assert Path(findings["kernels"]["detail"].removeprefix("kept in ")).is_dir()
    golden = Path(__file__).parent / "golden/bpe.pxa"
    used = subprocess.run([sys.executable, "-c", USE, golden], capture_output=True, text=True, check=True)
    number, _, compiled = used.stdout.strip().partition(" ")
    assert compiled == "[]"
    assert int(number) > 10


def test_without_a_place_for_machine_code_kernels_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
    kernels._say_once.cache_clear()
    with pytest.warns(SlowPath, match="NUMBA_CACHE_DIR"):

        @kernels.kernel
        def twice(x):
            return x + x

    assert twice(4) == 8
    monkeypatch.setattr(kernels, "folder", lambda: twice.stats.cache_path)
    (finding,) = doctor.warm()
    assert not finding.sound
    assert "set NUMBA_CACHE_DIR" in finding.detail
