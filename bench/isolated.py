"""Measuring in processes of their own: bound to as many cores as they have threads, with a memory peak of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any


def answer(module: str, *arguments: str, threads: int, timeout: float | None = None) -> dict[str, Any] | str:
    """What `python -m MODULE ARGUMENTS` prints as JSON; a word about it if it fails or takes longer than `timeout` seconds."""
    cores = sorted(os.sched_getaffinity(0))[:threads]
    settings = {"RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": str(threads > 1).lower()}
    try:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments], env=os.environ | settings, capture_output=True, timeout=timeout,
            check=False, preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"over {timeout:.0f} s"
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return f"fails ({done.returncode}): {said[-1] if said else 'no message'}"
    try:  # the last line: a plugin may print
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return f"answers {done.stdout[-80:]!r}"
    return found


def forget_peak() -> float | None:
    """Make the largest resident size that of now, which is returned, in MB; None where the system cannot (Linux can).

    A child begins with its parent's peak.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return peak_mb()


def peak_mb() -> float | None:
    """Largest resident size since `forget_peak`, in MB; None where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM:")), None)
