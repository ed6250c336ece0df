"""One process at a time: who writes a store, trains in a folder, or runs a job of a grid.

The lock is the system's, on an open file. It ends with the last process that has the file open, however that ends: nothing
is left over after a kill, and a job on another machine may resume.
"""

from __future__ import annotations

import errno
import warnings
from pathlib import Path
from typing import IO, Any

from compressors.errors import SlowPath

NAME = ".lock"  # of the file that stands for its folder: over NFS only a file that is open for writing can be locked
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)  # Lustre without `flock` says the first


def open_lock(folder: Path) -> IO[bytes]:
    """The file that stands for `folder`, for `lock`. It stays there: to remove it would give two processes two files."""
    return open(folder / NAME, "ab")


def lock(file: IO[Any], *, wait: bool = False) -> bool:
    """Lock an open file; False if another process has it, and never with `wait`.

    Where the file system has no locks, nothing is locked, the result is True, and a warning says so.
    """
    from filelock import lock_descriptor

    try:
        return lock_descriptor(file.fileno(), blocking=wait)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        warnings.warn(
            f"{file.name}: this file system has no locks; start no second process that writes there",
            SlowPath,
            stacklevel=2,
        )
        return True


__all__ = ["NAME", "lock", "open_lock"]
