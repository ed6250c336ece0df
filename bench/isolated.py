"""Measuring in separate processes: each is bound to as many cores as it has threads, and has its
memory peak.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_CHILD = Path(__file__).with_name("child.py")


def command(function: str, **arguments: Any) -> list[str]:
    """The command line that calls `function` ("module:name") in a new process and prints its answer
    as JSON.
    """
    return [sys.executable, str(_CHILD), function, json.dumps(arguments)]


def answer(function: str, *, threads: int, timeout: float | None = None, **arguments: Any) -> dict[str, Any] | str:
    """What `function` returns in a new process, bound to `threads` cores.

    If it fails, a line that says why.

    `arguments` travel as JSON. The process is ended after `timeout` seconds.
    """
    cores = sorted(os.sched_getaffinity(0))[:threads]
    settings = {"RAYON_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": str(threads > 1).lower()}
    settings["OMP_NUM_THREADS"] = str(threads)
    try:
        done = subprocess.run(
            command(function, **arguments), env=os.environ | settings, capture_output=True, timeout=timeout,
            check=False, preexec_fn=lambda: os.sched_setaffinity(0, cores),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return f"over {timeout:.0f} s"
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return f"fails ({done.returncode}): {said[-1] if said else 'no message'}"
    try:  # only the last line is the answer: a plugin may print
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return f"answers {done.stdout[-80:]!r}"
    return found


def forget_peak() -> float | None:
    """Make the largest resident size that of now, which is returned, in MB.

    None where the system cannot (Linux can).

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


def grown(before: float | None) -> float | None:
    """MB by which the peak has risen above `before`, which `forget_peak` returned."""
    now = peak_mb()
    return None if before is None or now is None else now - before
