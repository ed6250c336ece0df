"""Machine code on disk that is damaged, foreign, or cannot be written is made again, and said once."""

import importlib
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import pytest
from numba.core import config

from compressors import InvalidConfig, kernels
from compressors.errors import SlowPath


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Any]]:
    """Loads a kernel as a new process would, with its cache in an empty folder."""
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "kernels_of_a_test.py").write_text(
        "def twice(x):\n    return 2 * x\n\ndef thrice(x):\n    return 3 * x\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("kernels_of_a_test")

    def use() -> Any:
        kernels._say_damaged.cache_clear()
        kernels._say_once.cache_clear()
        functions = [kernels.kernel(function) for function in (module.twice, module.thrice)]
        assert [function(21) for function in functions] == [42, 63]
        assert [function(1.5) for function in functions] == [3.0, 4.5]
        return sum(sum(function.stats.cache_hits.values()) for function in functions)

    assert use() == 0
    yield use
    del sys.modules["kernels_of_a_test"]
    kernels._say_damaged.cache_clear()
    kernels._say_once.cache_clear()


def kept(tmp_path: Path, suffix: str) -> list[Path]:
    found = sorted((tmp_path / "cache").rglob(f"*{suffix}"))
    assert found
    return found


def zeroed(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes(len(data) // 2)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "zeros": lambda data: bytes(len(data)),
    "half zeros": zeroed,
    "one bit": lambda data: data[:-100] + bytes([data[-100] ^ 1]) + data[-99:],
    "foreign": lambda data: b"something else " * 30,
    "without checksum": lambda data: data[:-32],
}


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_files_are_made_again(compiled: Callable[[], int], tmp_path: Path, suffix: str, damage: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiled() == 4
    for path in kept(tmp_path, suffix):
        path.write_bytes(DAMAGE[damage](path.read_bytes()))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert compiled() < 4
    if (suffix, damage) not in ((".nbi", "foreign"), (".nbi", "zeros")):  # as those of another Numba
        assert [str(tmp_path) in str(one.message) for one in said] == [True]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compiled() == 4


def test_files_in_each_others_place_are_noticed(compiled: Callable[[], int], tmp_path: Path) -> None:
    """Numba tells functions apart by their bytecode without its constants: 2 * x would become 3 * x."""
    for suffix in (".nbi", ".nbc"):
        names = kept(tmp_path, suffix)
        contents = [path.read_bytes() for path in names]
        for path, content in zip(names, reversed(contents), strict=True):
            path.write_bytes(content)
        with pytest.warns(SlowPath, match="not ours"):
            assert compiled() == 0


def test_an_edit_of_what_a_kernel_calls_is_noticed(tmp_path: Path) -> None:
    """Numba looks only at the file of the outer kernel: what is inlined into it, from anywhere, counts here, too."""
    (tmp_path / "outer_of_a_test.py").write_text(
        "from compressors.kernels import kernel\nfrom middle_of_a_test import double\n"
        "@kernel\ndef quadruple(x):\n    return double(double(x))\n"
        "print(quadruple(1), sum(quadruple.stats.cache_hits.values()))\n"
    )
    inner = "from compressors.kernels import inlined\nfrom plain_of_a_test import MORE\n@inlined\ndef factor():\n    return {} + MORE\n"
    middle = (
        "from compressors.kernels import inlined\nfrom inner_of_a_test import factor\n"
        "@inlined\ndef double(x):\n    return x * factor()\n"
    )
    (tmp_path / "middle_of_a_test.py").write_text(middle)
    said = []
    for value, more in ((2, 0), (2, 0), (3, 0), (3, 1)):
        (tmp_path / "inner_of_a_test.py").write_text(inner.format(value))
        (tmp_path / "plain_of_a_test.py").write_text(f"MORE = {more}\n")
        env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-W", "error", str(tmp_path / "outer_of_a_test.py")]
        said.append(subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.split())
    assert said == [["4", "0"], ["4", "1"], ["9", "0"], ["16", "0"]]


def test_a_kernel_that_others_inline_can_be_called(compiled: Callable[[], int]) -> None:
    """As the tests do. Compiled without a wrapper for Python, it would end the process."""
    assert kernels.inlined(lambda x: x + 1)(41) == 42


@pytest.mark.parametrize("call", ["_save_index", "_save_data"])
def test_a_cache_that_cannot_be_written_is_a_warning(
    compiled: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for path in kept(tmp_path, ".nbi"):
        path.unlink()
    monkeypatch.setattr(numba.core.caching.IndexDataCacheFile, call, full)
    with pytest.warns(SlowPath, match=r"compiles the kernels again.*No space left"):
        assert compiled() == 0


def test_kernels_are_not_run_uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "DISABLE_JIT", 1)
    with pytest.raises(InvalidConfig, match="NUMBA_DISABLE_JIT"):
        kernels.kernel(lambda x: x)


def test_every_kernel_of_the_packages_goes_through_here() -> None:
    """So a damaged cache is mended for `proxyc train`, too."""
    root = Path(kernels.__file__).parent.parent
    modules = [path for package in ("compressors", "proxylm", "bench") for path in (root / package).rglob("*.py")]
    direct = [path for path in modules if "njit" in path.read_text() and path.name != "kernels.py"]
    assert direct == []
    for name in ("proxylm.data.row_plan", "proxylm.data.chunks"):
        compiled = [
            f for f in vars(importlib.import_module(name)).values() if isinstance(f, numba.core.dispatcher.Dispatcher)
        ]
        assert compiled
        assert all(isinstance(function._cache, kernels._Cache) for function in compiled)


def test_a_command_without_a_compiler_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"text")
    command = [sys.executable, "-m", "proxylm.cli.main", "compress", "-q", "--codec", "bpe", str(tmp_path / "x")]
    done = subprocess.run(command, capture_output=True, check=False, env={"NUMBA_DISABLE_JIT": "1"})
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"unset it" in done.stderr
