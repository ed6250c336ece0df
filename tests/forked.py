"""Commands in processes of their own that are forked from one with torch in it: importing that takes seconds each time."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from proxylm.cli import main

_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(["proxylm.train", "proxylm.generate"])


def run(*arguments, input=None, cwd=None):
    """`proxyc ARGUMENTS`, as `subprocess.run` gives it."""
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder, name) for name in ("stdin", "stdout", "stderr")]
        streams[0].write_bytes(input or b"")
        process = _FORKED.Process(target=_command, args=(list(map(str, arguments)), cwd, streams))
        process.start()
        process.join()
        said = (path.read_bytes() for path in streams[1:])
        return subprocess.CompletedProcess(arguments, process.exitcode, *said)


def _command(arguments, cwd, streams):
    for number, (path, flags) in enumerate(zip(streams, (os.O_RDONLY, *[os.O_WRONLY | os.O_CREAT] * 2), strict=True)):
        os.dup2(os.open(path, flags), number)
    os.chdir(cwd or ".")
    sys.argv[1:] = arguments
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode) for number, mode in enumerate("rww"))
    main()
