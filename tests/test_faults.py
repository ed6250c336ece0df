"""Killed, interrupted, out of room: the input is intact and nothing half written has the final name."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from proxylm.cli.main import proxyc

COMMAND = [sys.executable, "-m", "proxylm.cli.main"]
# Level 22 needs seconds for these, so that a signal meets the command at work.
DATA = b"".join(b"line %d of a text that is long enough, %d\n" % (i, i * i % 9973) for i in range(400_000))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "input.txt").write_bytes(DATA)
    return tmp_path / "input.txt"


def untouched(source: Path) -> bool:
    """Only the input is there, and it is as it was."""
    return source.read_bytes() == DATA and [p.name for p in source.parent.iterdir()] == ["input.txt"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("codec", ["zstd:level=22", "pack:codec=brotli:quality=11"])
def test_a_signal_in_the_middle_of_compressing(source: Path, number: int, codec: str) -> None:
    process = subprocess.Popen([*COMMAND, "compress", "--rm", "--codec", codec, str(source)], stderr=subprocess.PIPE)
    deadline = time.time() + 60
    while not list(source.parent.glob(".*.tmp")) and time.time() < deadline:
        time.sleep(0.002)
    time.sleep(0.1)
    process.send_signal(number)
    _, said = process.communicate()
    assert process.returncode != 0
    assert b"Traceback" not in said
    left = list(source.parent.glob(".*.tmp"))
    if number == signal.SIGKILL:  # nobody can tidy up then, but the name says what it is
        for path in left:
            path.unlink()
    assert untouched(source)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_signal_does_not_wait_for_the_blocks_under_way(source: Path, number: int, threads: int) -> None:
    """Those of `neural` take ten seconds each, these here ten minutes."""
    code = (
        "import sys, time; from compressors.identity import Identity; from proxylm.cli.main import main\n"
        "Identity.compress = lambda *_: time.sleep(600)\nmain()"
    )
    arguments = ["compress", "--codec", "bytes", f"-T{threads}", str(source)]
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, stderr=subprocess.PIPE, preexec_fn=heeding_all) as process:
        deadline = time.time() + 60
        while not list(source.parent.glob(".*.tmp")) and time.time() < deadline:
            time.sleep(0.002)
        time.sleep(0.1)
        process.send_signal(number)
        try:
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == -number  # as a shell that runs a loop expects
    assert said == b""
    assert untouched(source)


def heeding_all() -> None:
    """As from a terminal: `nohup` and scripts have some of them ignored."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def test_a_hangup_that_is_ignored_is_ignored(source: Path) -> None:
    code = (
        "import os, signal; from compressors.identity import Identity; from proxylm.cli.main import main\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "Identity.compress = lambda _, data: os.kill(os.getpid(), signal.SIGHUP) or data\nmain()"
    )
    subprocess.run([sys.executable, "-c", code, "compress", "-q", "--codec", "bytes", str(source)], check=True)
    assert source.with_name("input.txt.pxc").exists()


def limited() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


@pytest.mark.parametrize("codec", ["bytes", "gzip", "zstd"])
def test_no_room_for_the_output(source: Path, codec: str) -> None:
    done = subprocess.run(
        [*COMMAND, "compress", "--rm", "--codec", codec, str(source)],
        capture_output=True,
        preexec_fn=limited,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"too large" in done.stderr
    assert untouched(source)


def test_no_room_on_a_device(source: Path) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*COMMAND, "compress", "-c", str(source)], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_reader_that_goes_away(source: Path) -> None:
    subprocess.run([*COMMAND, "compress", "-q", str(source)], check=True)
    packed = source.with_name("input.txt.zst")
    command = [*COMMAND, "decompress", "-c", str(packed)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(10) == DATA[:10]
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_an_output_folder_that_may_not_be_written(source: Path) -> None:
    done = subprocess.run([*COMMAND, "compress", str(source), "-o", "/proc/no/x.zst"], capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1


def test_rm_removes_only_after_reading_back(source: Path) -> None:
    os.chmod(source, 0o640)
    os.utime(source, (1_000_000_000, 1_000_000_000))
    done = subprocess.run([*COMMAND, "compress", "--rm", str(source)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    packed = source.with_name("input.txt.zst")
    assert not source.exists()
    assert packed.stat().st_mode & 0o777 == 0o640
    assert packed.stat().st_mtime == 1_000_000_000
    assert (
        subprocess.run([*COMMAND, "decompress", "--rm", str(packed)], capture_output=True, check=False).returncode == 0
    )
    assert untouched(source)


def test_one_bad_input_does_not_keep_the_others_from_being_done(source: Path) -> None:
    other = source.with_name("other.txt")
    other.write_bytes(b"other")
    done = subprocess.run([*COMMAND, "compress", "-q", "missing", str(other), "gone"], capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 2
    assert other.with_name("other.txt.zst").exists()


def test_no_room_for_one_output_does_not_keep_the_others_from_being_done(source: Path) -> None:
    """Their errors come as they happen: what comes after a first one may never end."""
    other = source.with_name("other.txt")
    other.write_bytes(b"other")
    command = [*COMMAND, "compress", "-q", "--rm", "--codec", "gzip", "missing", str(source), str(other)]
    done = subprocess.run(command, capture_output=True, preexec_fn=limited, check=False)
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == [
        "proxyc: cannot read missing: No such file or directory",
        f"proxyc: File too large: {source}.gz",
    ]
    assert {path.name for path in source.parent.iterdir()} == {"input.txt", "other.txt.gz"}


def test_a_source_that_cannot_be_removed_is_one_error(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> None:
        raise PermissionError(1, "Operation not permitted", str(path))

    other = source.with_name("other.txt")
    other.write_bytes(b"other")
    monkeypatch.setattr(Path, "unlink", lambda path, **_: None if path.suffix == ".tmp" else refused(path))
    done = CliRunner().invoke(proxyc, ["compress", "-q", "--rm", str(source), str(other)])
    assert done.stderr.splitlines() == [f"proxyc: Operation not permitted: {path}" for path in (source, other)]
    assert other.with_name("other.txt.zst").exists()


def test_salvage_by_command_line(source: Path) -> None:
    subprocess.run([*COMMAND, "compress", "-q", "--codec", "bytes", str(source)], check=True)
    packed = source.with_name("input.txt.pxc")
    data = bytearray(packed.read_bytes())
    data[len(data) // 2] ^= 1
    packed.write_bytes(data)
    back = source.with_name("back.txt")
    refused = subprocess.run([*COMMAND, "decompress", str(packed), "-o", str(back)], capture_output=True, check=False)
    assert refused.returncode == 1
    assert not back.exists()
    done = subprocess.run(
        [*COMMAND, "decompress", "--salvage", str(packed), "-o", str(back)], capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b"1 gap," in done.stderr
    assert len(DATA) - (1 << 20) <= back.stat().st_size < len(DATA)
