"""The laws of threads and processes, a part of the conformance kit.

Data loaders encode in threads, in forked workers and in spawned ones: a codec must give the same
symbols
in all of them. `testing.check` calls these functions.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import select
import signal
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

from compressors.base import Compressor
from compressors.testing import law

FORK_SECONDS = 60  # a forked child that says nothing for so long hangs on a lock that it inherited


def check_threads(codec: Compressor, documents: list[bytes]) -> None:
    """One object used by several threads at once gives what it gives in one thread."""
    in_one_thread = [codec.encode(data).tobytes() for data in documents] * 3
    with ThreadPoolExecutor(4) as pool:
        symbols = list(pool.map(codec.encode, documents * 3))
        law([row.tobytes() for row in symbols] == in_one_thread, codec, "encode works from several threads")
        if codec.lossless:
            back, packed = list(pool.map(codec.decode, symbols)), list(pool.map(codec.compress, documents * 3))
            law(back == documents * 3, codec, "encode and decode work from several threads")
            law(packed == [codec.compress(d) for d in documents] * 3, codec, "compress works from several threads")


def digest_of(codec: Compressor, documents: list[bytes]) -> str:
    """One hash over fingerprint, symbols and compressed bytes."""
    digest = hashlib.sha256(codec.fingerprint.encode())
    for document in documents:
        digest.update(codec.encode(document).tobytes() + (codec.compress(document) if codec.lossless else b""))
    return digest.hexdigest()


def check_fork(codec: Compressor, documents: list[bytes]) -> None:
    """A child forked after the codec was used, also by threads, gives what the parent gives, and ends."""
    if not hasattr(os, "fork"):
        return
    # Using the codec first fills its caches and starts its threads, if it has any: then comes the
    # fork.
    expected = digest_of(codec, documents).encode()
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # from Python 3.12 on, if any thread lives: that is the test
        child = os.fork()
    if child == 0:  # nothing of the parent's may run here: no handlers at exit, no buffers written twice
        try:
            os.write(writer, digest_of(codec, documents).encode())
        finally:
            os._exit(0)
    os.close(writer)
    # A child that deadlocks never writes: wait for the pipe, not for the child, and then kill it.
    said, _, _ = select.select([reader], [], [], FORK_SECONDS)
    found = os.read(reader, 100) if said else b""
    os.close(reader)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    law(bool(said), codec, "works in a forked process, which hangs")
    law(found == expected, codec, "symbols and bytes in a forked process are the parent's")


# The program of a fresh process: read a pickled (codec, documents), print their digest.
_CHILD = """
import pickle, sys
from compressors import testing_processes
print(testing_processes.digest_of(*pickle.load(sys.stdin.buffer)))
"""


def check_fresh_processes(codec: Compressor, documents: list[bytes]) -> None:
    """Fresh processes, under other hash seeds, locales and time zones, give the same symbols, bytes and fingerprint."""
    # A codec pickles as its configuration, so the child builds its tables itself.
    sent = pickle.dumps((codec, documents))
    digests = set()
    for seed, zone in (("0", "UTC"), ("1", "Asia/Tokyo")):
        environment = os.environ | {
            "PYTHONHASHSEED": seed,
            "TZ": zone,
            "LC_ALL": "C",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        done = subprocess.run(
            [sys.executable, "-c", _CHILD], input=sent, capture_output=True, env=environment, check=False
        )
        law(
            done.returncode == 0,
            codec,
            f"works in a fresh process, which said {done.stderr.decode(errors='replace')[-300:]}",
        )
        digests.add(done.stdout)
    law(len(digests) == 1, codec, "symbols, bytes and fingerprint are the same in every process")


__all__ = ["check_fork", "check_fresh_processes", "check_threads", "digest_of"]
