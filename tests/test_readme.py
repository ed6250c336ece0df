"""Every block of the README runs: Python in one session, shell in another, both in an empty folder."""

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


def test_python_blocks_run(tmp_path):
    found = blocks("python")
    assert len(found) >= 2
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(found)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_shell_blocks_run(tmp_path):
    script = "\n".join(block for block in blocks("bash") if not block.startswith(("git ", "make ", "pip ")))
    assert "proxyc train" in script
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PATH": path},
    )
    assert done.returncode == 0, done.stderr + done.stdout


def test_every_file_of_the_tree_is_there():
    root = README.parent
    tree = next(block for block in blocks("text") if "compressors/" in block)
    named = {name for line in tree.splitlines() for name in re.findall(r"[\w/]+\.py", line.partition("  ")[0] + line)}
    existing = {path.name for folder in ("compressors", "proxylm", "bench") for path in (root / folder).rglob("*.py")}
    assert {name.rpartition("/")[2] for name in named} == existing - {"__init__.py"}
