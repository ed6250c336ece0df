"""Measurements in separate processes."""

import os
import subprocess
import sys
from pathlib import Path

import bench
from bench import isolated

TOLD = """import json, os, sys, time
from compressors.errors import InputError
def told(seconds):
    time.sleep(seconds)
    return {"cores": len(os.sched_getaffinity(0)), "rayon": os.environ["RAYON_NUM_THREADS"]}
def chatty(): print("hello"); return {}
def silent(): pass
def fails(what): raise (InputError if what == "input" else ValueError)(f"a line about {what}")
"""


def test_a_peak_is_that_of_the_work_alone():
    script = (
        "from bench import isolated\n"
        "made = b'x' * 80_000_000\n"
        "del made\n"
        "before = isolated.forget_peak()\n"
        "made = b'x' * 50_000_000\n"
        "print(-1 if before is None else isolated.grown(before))"
    )
    grown = float(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)
    assert grown == -1 or 45 < grown < 60


def test_a_child_has_the_cores_it_is_given_and_its_failure_is_told(tmp_path, monkeypatch):
    (tmp_path / "telling.py").write_text(TOLD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert isolated.answer("telling:told", threads=1, seconds=0) == {"cores": 1, "rayon": "1"}
    assert isolated.answer("telling:chatty", threads=1) == {}
    assert isolated.answer("telling:silent", threads=1) == "answers b''"
    assert isolated.answer("telling:fails", threads=1, what="input") == "fails (1): a line about input"
    assert isolated.answer("telling:fails", threads=1, what="value") == "fails (1): ValueError: a line about value"
    assert isolated.answer("telling:told", threads=1, timeout=1, seconds=60) == "over 1 s"


def test_a_child_imports_nothing_from_the_current_folder(tmp_path, monkeypatch):
    """A folder `bench`, a file `brotli.py`, and names of the standard library and of files of ours."""
    (tmp_path / "bench").mkdir()
    for name in ("bench/__init__.py", "brotli.py", "json.py", "numpy.py", "codecs.py", "markdown.py", "pathlib.py"):
        (tmp_path / name).write_text("raise SystemExit('imported from the current folder')\n")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.py").write_text("x = 1\n")
    asked = {"name": "brotli", "corpus": ["text.py"], "max_bytes": 9, "n_threads": 1, "sections": ["files"]}
    found = isolated.answer("bench.codecs.command:child", threads=1, **asked, speed_only=True)
    assert set(found) == {"name", "bytes", "compress_s", "decompress_s", "fingerprint"} - {"fingerprint"}


def test_a_child_finds_a_checkout_that_is_not_installed(tmp_path):
    """Only the folder above `bench` says where it is; names in `bench` do not hide those of the standard library."""
    code = "import bench.child, sys; print(sys.path[-1])"
    root = str(Path(bench.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": root}, capture_output=True, check=True
    )
    assert done.stdout.decode().strip() == root
