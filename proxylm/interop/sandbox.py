"""Runs a program that nobody has read in a process of its own: limits of time, memory and files, no network where possible.

It guards against accidents of generated code (endless loops, forks, full memory, `exit(0)` taken for success), not against
an attacker: files that you may read stay readable. Only POSIX systems have the limits.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile

MEMORY = 1 << 30  # bytes of address space
FILE_SIZE = 1 << 20
OPEN_FILES = 32
_NEW_USER, _NEW_NET = 0x10000000, 0x40000000  # clone(2)


def run(program: str, seconds: float) -> str:
    """ "passed" if `program` runs to its end, else what stopped it: "timed out", or an error in one line."""
    token = secrets.token_hex(16)  # the program has not seen it: a process that merely exits has not passed
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", __file__, str(seconds)],
            cwd=folder,
            env={"HOME": folder, "TMPDIR": folder, "PYTHONHASHSEED": "0"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            answer, _ = process.communicate(f"{token}\n{program}".encode("utf-8", "surrogatepass"), timeout=seconds)
        except subprocess.TimeoutExpired:
            answer = b"timed out"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what it left behind, too
            process.kill()
            process.communicate()
    if answer == token.encode():
        return "passed"
    return answer.decode("utf-8", "replace") or f"ended early ({process.returncode})"


def _main() -> None:
    """In the new process: the token and the program come on standard input; the token goes back if the program ends well."""
    token, _, program = sys.stdin.buffer.read().decode("utf-8", "surrogatepass").partition("\n")
    answer, nothing = os.dup(1), os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    _limit(float(sys.argv[1]))
    try:
        exec(compile(program, "program", "exec"), {"__name__": "program"})
        said = token
    except BaseException as error:  # SystemExit and KeyboardInterrupt, too
        said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    os.write(answer, said.encode("utf-8", "replace"))
    os._exit(0)  # without waiting for threads or what was registered to run at the end


def _limit(seconds: float) -> None:
    import ctypes
    import resource

    with contextlib.suppress(AttributeError, OSError):  # no namespaces here, or not for this user
        libc = ctypes.CDLL(None)
        if libc.unshare(_NEW_NET) != 0:
            libc.unshare(_NEW_USER | _NEW_NET)
    for name, limit in (
        ("CPU", int(seconds) + 1), ("AS", MEMORY), ("FSIZE", FILE_SIZE), ("NOFILE", OPEN_FILES), ("CORE", 0), ("NPROC", 0),
    ):  # fmt: skip
        with contextlib.suppress(AttributeError, ValueError, OSError):  # not all systems have all of them
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limit, limit))


if __name__ == "__main__":
    _main()
