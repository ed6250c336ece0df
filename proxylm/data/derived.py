"""What is computed from a store once and kept beside it: STORE/derived/NAME, mapped when it is used again.

A file is SHA-256 of what it was computed from, SHA-256 of the numbers, their type, and the numbers. A file that is damaged, or
was computed from something else, is made again; where nothing can be written the numbers stay in memory.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_HEAD = 2 * hashlib.sha256().digest_size + 8  # two digests and the type, 72 bytes: numbers of 8 bytes stay aligned
WORTH = 1 << 20  # numbers to be read: what takes less than some milliseconds is computed again


@dataclass(frozen=True)
class Derived:
    """Such numbers of one store."""

    folder: Path

    def has(self, name: str) -> bool:
        """Whether there is a file of that name, whole or not."""
        return (self.folder / name).exists()

    def numbers(self, name: str, source: str, cost: int, make: Callable[[], npt.NDArray[Any]]) -> npt.NDArray[Any]:
        """What `make` returns, one row of numbers, made once.

        name: of the file. source: all that decides the numbers. cost: numbers that `make` reads.
        """
        if cost < WORTH:
            return make()
        file, key = self.folder / name, hashlib.sha256(source.encode()).digest()
        found = _mapped(file, key)
        if found is not None:
            return found
        made = make()
        # A read-only store, a full disk: slower at the next start, and not an error.
        with suppress(OSError):
            _write(file, key, made)
            return _mapped(file, key) if len(made) else made  # type: ignore[return-value] # it was just written
        return made


def _mapped(file: Path, key: bytes) -> npt.NDArray[Any] | None:
    """The numbers of a file that is whole and was computed from `key`; else None."""
    try:
        data = np.asarray(np.memmap(file, np.uint8, "r"))
        head = data[:_HEAD].tobytes()
        numbers = data[_HEAD:].view(head[64:].decode().strip())
    except (OSError, ValueError, TypeError):  # missing, empty, cut short
        return None
    is_whole = head[:64] == key + hashlib.sha256(numbers.data).digest()
    return numbers if is_whole else None


def _write(file: Path, key: bytes, numbers: npt.NDArray[Any]) -> None:
    """Write under a temporary name, then rename. Not synced to disk: the digest tells whether it arrived."""
    little = np.ascontiguousarray(numbers, numbers.dtype.newbyteorder("<"))
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.urandom(8).hex()}.tmp")
    try:
        with open(temporary, "xb") as opened:
            opened.write(key + hashlib.sha256(little.data).digest() + little.dtype.str.ljust(8).encode())
            opened.write(little.data)
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
