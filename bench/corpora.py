"""The default corpus: the standard library of the running Python, so that the benches need no
download.
"""

from __future__ import annotations

import sysconfig
from pathlib import Path

from compressors.corpus import Document
from compressors.errors import InputError

# Whole packages, never trained on: no file of theirs may leak into the other part.
HELD_OUT = ("asyncio", "email", "http", "json", "logging", "unittest")
# Folders: tests, editors, what others installed, copies of packages.
_LEFT_OUT = (
    "test", "tests", "idlelib", "idle_test", "site-packages", "dist-packages", "ensurepip", "lib2to3", "__pycache__",
)  # fmt: skip
_SMALLEST, _LARGEST = 200, 500_000  # bytes of a file; outside are stubs and generated tables


def standard_library() -> tuple[list[Document], list[Document]]:
    """(training, held-out) source files of the standard library, each sorted by path.

    Raises `InputError` where Python comes without its source files.
    """
    root = Path(sysconfig.get_path("stdlib"))
    training: list[Document] = []
    held_out: list[Document] = []
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if any(part in _LEFT_OUT for part in parts) or not _SMALLEST <= path.stat().st_size <= _LARGEST:
            continue
        part = held_out if parts[0] in HELD_OUT else training
        part.append(Document("/".join(parts), path.read_bytes()))
    if not training or not held_out:
        raise InputError(f"no Python sources below {root}; give another corpus")
    return training, held_out
