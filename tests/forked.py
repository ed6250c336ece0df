"""Commands in processes that are forked from one with torch in it: importing that takes seconds each time.

`python()` is a program to be used for `sys.executable` where `-m MODULE` or a script follows; `proxyc` is beside it. It hands its
arguments, folder, environment and open files to a server, passes signals on and ends as the command does; if it is killed, so is
the command. What such a test cannot see: a module that is not imported, warnings of imports, variables that Python reads when it
starts (all commands have one hash seed), and what happens while an interpreter ends.
"""

import atexit
import importlib
import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

# The first step of any optimizer imports the last one, which takes as long as torch itself.
PRELOADED = (
    "proxylm.training.trainer",
    "proxylm.evaluation.bits_per_byte",
    "proxylm.generation",
    "bench.downstream.arms",
    "bench.downstream.worker",
    "torch._dynamo",
)
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run(*arguments, input=None, cwd=None):
    """`proxyc ARGUMENTS`."""
    command = [python(), "-m", "proxylm.cli.main", *map(str, arguments)]
    return subprocess.run(command, input=input or b"", cwd=cwd, capture_output=True, check=False)


@cache
def python():
    """The program; its server ends with this process, whose pipe it reads."""
    folder = Path(tempfile.mkdtemp(prefix="forked-"))
    program = folder / "python"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -ISs "{__file__}" "{folder}/socket" "$@"\n')
    program.with_name("proxyc").write_text(f'#!/bin/sh\nexec "{program}" -m proxylm.cli.main "$@"\n')
    for path in folder.iterdir():
        path.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/socket")
        listener.listen(64)
        server = [sys.executable, __file__, str(listener.fileno()), str(program)]
        python.server = subprocess.Popen(
            server, stdin=subprocess.PIPE, pass_fds=[listener.fileno()], start_new_session=True
        )
    return str(program)


def client(path, *arguments):
    """What the program does; its exit status."""
    rest = arguments[arguments[:1] == ("-u",) :]  # as torch.distributed.run has it
    if not rest or (rest[0].startswith("-") and rest[0] != "-m"):
        os.execv(sys.executable, [sys.executable, *arguments])
    request = json.dumps([rest, os.getcwd(), dict(os.environ)]).encode()
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        socket.send_fds(server, [len(request).to_bytes(4, "little")], [0, 1, 2])
        server.sendall(request)
        pid = received(server)

        def pass_on(number, frame):
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(pid, number)

        for number in PASSED_ON:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, pass_on)
        code = os.waitstatus_to_exitcode(received(server))
    if code < 0:
        with suppress(OSError):  # that of SIGKILL cannot be set
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


def received(server):
    """A number of four bytes."""
    if len(data := server.recv(4)) < 4:
        sys.exit(f"the server of {__file__} has gone")
    return int.from_bytes(data, "little")


def serve(number, program):
    """Fork a process for each request. Only that process returns, with what it is to run."""

    def end():
        os.read(0, 1)
        shutil.rmtree(Path(program).parent, ignore_errors=True)
        os._exit(0)

    threading.Thread(target=end, daemon=True).start()
    for name in PRELOADED:
        importlib.import_module(name)
    # The first kernel that runs has Numba import the rest of itself.
    importlib.import_module("compressors.kernels")._nothing()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait below
    listener = socket.socket(fileno=int(number))
    while True:
        connection, _ = listener.accept()
        if not os.fork():
            break
        connection.close()
    listener.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if pid := os.fork():
        with suppress(BrokenPipeError):  # the program was killed
            connection.sendall(pid.to_bytes(4, "little"))
            connection.sendall(os.waitpid(pid, 0)[1].to_bytes(4, "little"))
        os._exit(0)
    return become(connection, program)


def become(connection, program):
    """Take over what the program was given; returns its arguments."""
    head, files, _, _ = socket.recv_fds(connection, 4, 3)
    request = b""
    while len(request) < int.from_bytes(head, "little"):
        request += (part := connection.recv(1 << 20))
        if not part:  # the program was killed
            os._exit(1)
    arguments, folder, environment = json.loads(request)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    sys.stdin, sys.stdout = os.fdopen(0, "r"), os.fdopen(1, "w")
    sys.stderr = os.fdopen(2, "w", 1, errors="backslashreplace")
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.executable, sys.path[0] = program, folder if arguments[0] == "-m" else str(Path(arguments[0]).parent)
    sys.path[1:1] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))

    def end():
        with suppress(ConnectionResetError):
            connection.recv(1)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=end, daemon=True).start()
    return arguments


def execute(what, *arguments):
    """Run a module or a script to the end of its threads; its exit status."""
    try:
        if what == "-m":
            what, *arguments = arguments
            sys.modules.pop(what, None)  # as if it had not been imported
        sys.argv = [what, *arguments]
        (runpy.run_path if what.endswith(".py") else partial(runpy.run_module, alter_sys=True))(
            what, run_name="__main__"
        )
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else bool(end.code)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    if not sys.argv[1].isdecimal():
        sys.exit(client(*sys.argv[1:]))
    code = execute(*serve(*sys.argv[1:]))
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)  # the interpreter would take a second to put torch away
