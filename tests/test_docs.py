"""Every block of code in README, tutorials and how-to pages runs: those of a page in one empty folder, Python before shell."""

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import forked
import pytest

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs/tutorials").glob("*.md")),
    *sorted((ROOT / "docs/how-to").glob("*.md")),
]
NOT_RUN = ("git ", "make ", "pip ", "python3 -m venv ")  # setting up


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_run(page: Path, tmp_path: Path) -> None:
    folders = [str(Path(forked.python()).parent), sysconfig.get_path("scripts"), os.environ.get("PATH", "")]
    environment = os.environ | {"PATH": os.pathsep.join(folders)}
    shell = [block for block in blocks(page, "bash") if not block.startswith(NOT_RUN)]
    commands = [
        [sys.executable, "-c", "\n".join(blocks(page, "python"))],
        ["bash", "-euo", "pipefail", "-c", "\n".join(shell)],
    ]
    for command in commands:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr + done.stdout


def test_every_error_has_a_line() -> None:
    """The page of errors names each class that derives from `ProxycError`, and the built-in kind beside it."""
    page = (ROOT / "docs/reference/errors.md").read_text()
    found = {}
    for package in ("compressors", "proxylm", "bench"):
        for path in (ROOT / package).rglob("*.py"):
            for name, bases in re.findall(r"^class (\w+)\(([\w, ]+)\):", path.read_text(), re.MULTILINE):
                found[name] = bases.split(", ")
    errors = {"ProxycError"}
    while new := {name for name, bases in found.items() if errors.intersection(bases)} - errors:
        errors |= new
    assert len(errors) > 10
    listed = dict(re.findall(r"^\| `(\w+)` \|.*?\| `(\w+)` \|", page, re.MULTILINE))
    assert set(listed) == errors - {"ProxycError"}
    for name, kind in listed.items():
        assert kind == found[name][-1], name
