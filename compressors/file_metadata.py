"""Owner, mode, times and attributes that a file gets from the file it was made of, as gzip, xz and zstd have it."""

from __future__ import annotations

import os
import stat
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from compressors.errors import NotKept

# Access lists, and what people note on files; never capabilities or labels, which the system gives.
_KEPT_ATTRIBUTES = ("user.", "system.posix_acl_access")


def give(descriptor: int, source: Path, status: os.stat_result, target: Path) -> None:
    """Give the open file, which will be `target`, the metadata of `source`, which had `status` when it was opened.

    What cannot be set is a warning (`NotKept`): the content is worth more. The owner comes first, as a change of owner
    clears bits of the mode, and the times last.
    """
    lost: list[str] = []
    mode = _mode(descriptor, status, lost)
    if not _done(lambda: _copy_attributes(descriptor, source)):
        lost.append("attributes")
    if not _done(lambda: os.fchmod(descriptor, mode) if hasattr(os, "fchmod") else None):
        lost.append("mode")
    if not _done(lambda: os.utime(descriptor, ns=(status.st_atime_ns, status.st_mtime_ns))):
        lost.append("times")
    if lost:
        warnings.warn(
            f"{target}: cannot keep {', '.join(lost)} of {source}; the content is whole", NotKept, stacklevel=2
        )


def _mode(descriptor: int, status: os.stat_result, lost: list[str]) -> int:
    """Give the file its owner and group where that is allowed; the mode that is then safe.

    A program of somebody else's that runs as its owner must not run as us. A group that is not the source's may do
    only what both the source's group and all others may, as with xz.
    """
    if not hasattr(os, "fchown"):
        return stat.S_IMODE(status.st_mode) & 0o777
    here = os.fstat(descriptor)
    owned = here.st_uid == status.st_uid or _done(lambda: os.fchown(descriptor, status.st_uid, -1))
    grouped = here.st_gid == status.st_gid or _done(lambda: os.fchown(descriptor, -1, status.st_gid))
    if not (owned and grouped) and os.geteuid() == 0:  # only root may give files away, so others get no warning
        lost.append("owner")
    mode = stat.S_IMODE(status.st_mode)
    if not grouped:
        # The bits of the group (070) stay only where all others (007) have them, too.
        mode &= 0o7707 | (mode & 0o007) << 3
    return mode if owned and grouped else mode & 0o777


def _copy_attributes(descriptor: int, source: Path) -> None:
    """Copy the extended attributes that belong to users; only Linux has them in this form."""
    if sys.platform != "linux":
        return
    for name in os.listxattr(source):
        if name.startswith(_KEPT_ATTRIBUTES):
            os.setxattr(descriptor, name, os.getxattr(source, name))


def _done(change: Callable[[], object]) -> bool:
    """Make the change; was it possible?"""
    with suppress(OSError, NotImplementedError):  # Windows has not all of them for descriptors
        change()
        return True
    return False


__all__ = ["give"]
