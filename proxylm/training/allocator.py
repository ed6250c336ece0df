"""Freed memory stays with a process that trains on a CPU.

A step takes and frees the same buffers again and again. glibc gives large ones back to the system, which clears every page when it
is used next: at d = 128 in bf16 that is a tenth of a step or more (Zen 4, one thread).
"""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # numbers of glibc's malloc.h


def keep_freed() -> None:
    """Ask glibc to keep what is freed, from now on and for the whole process; other C libraries are left as they are."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_TRIM_THRESHOLD, -1)  # never give back the end of the heap
        mallopt(_MMAP_MAX, 0)  # no buffer outside the heap: such ones are given back when they are freed
