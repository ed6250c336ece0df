"""Each flag of `compress`, `decompress` and `test` does what it says, and what zstd's of that name does."""

import contextlib
import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from compressors import ProxycError, files, registry
from compressors.gzip import Gzip
from compressors.stream_codec import Encoder
from compressors.zstd import Zstd
from proxylm.cli.main import proxyc

DATA = b"".join(b"line %d, %d\n" % (i, i * i % 9973) for i in range(90_000))  # more than one .pxc block


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_bytes(DATA)
    return tmp_path


def run(*arguments: str, stdin: bytes = b"") -> Result:
    return CliRunner().invoke(proxyc, arguments, input=stdin)


def held(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_stdout_and_output(folder: Path) -> None:
    packed = run("compress", "-c", "a.txt").stdout_bytes
    assert held(folder) == {"a.txt"}
    assert Zstd().decompress(packed) == DATA
    assert run("compress", "a.txt", "-o", "-").stdout_bytes == packed
    streamed = run("compress", "-", stdin=DATA).stdout_bytes  # without the size, which nobody knows beforehand
    assert streamed == run("compress", stdin=DATA).stdout_bytes
    assert Zstd().decompress(streamed) == DATA
    assert run("compress", "-", "-o", "named", stdin=DATA).exit_code == 0
    assert (folder / "named").read_bytes() == streamed
    assert run("decompress", "-c", "named").stdout_bytes == DATA


def test_keep_is_the_default_and_the_last_of_keep_and_rm_counts(folder: Path) -> None:
    for flags, kept in (([], True), (["-k"], True), (["--rm", "-k"], True), (["-k", "--rm"], False)):
        (folder / "a.txt").write_bytes(DATA)
        assert run("compress", "-q", "-f", *flags, "a.txt").exit_code == 0
        assert (folder / "a.txt").exists() == kept
    assert run("decompress", "--rm", "a.txt.zst").exit_code == 0
    assert held(folder) == {"a.txt"}


@pytest.mark.parametrize("flags", [["-c"], ["-o", "-"]])
def test_rm_needs_an_output_that_can_be_checked(folder: Path, flags: list[str]) -> None:
    assert run("compress", "--rm", "a.txt", *flags).exit_code == 2
    assert (folder / "a.txt").read_bytes() == DATA


def test_two_sources_never_share_an_output(folder: Path) -> None:
    """With -f the second would replace the first, and with --rm nothing would be left of it."""
    (folder / "b.txt").write_bytes(b"other")
    for arguments in (["-r", "."], ["a.txt", "b.txt"]):
        assert run("compress", "--rm", "-f", "-o", "one.zst", *arguments).exit_code == 2
    (folder / "x.zst").write_bytes(Zstd().compress(b"first"))
    (folder / "x.gz").write_bytes(Gzip().compress(b"second"))
    done = run("decompress", "--rm", "-f", "x.zst", "x.gz")
    assert done.exit_code == 1
    assert held(folder) == {"a.txt", "b.txt", "x", "x.gz"}
    assert (folder / "x").read_bytes() == b"first"


def test_one_output_under_two_names_is_shared_no_more(folder: Path) -> None:
    (folder / "x.zst").write_bytes(Zstd().compress(b"first"))
    (folder / "x.gz").write_bytes(Gzip().compress(b"second"))
    (folder / "same").symlink_to(".")
    for second in (f"{folder}/x.gz", "same/x.gz"):
        assert run("decompress", "--rm", "-f", "x.zst", second).exit_code == 1
        assert (folder / "x").read_bytes() == b"first"
        assert (folder / "x.gz").exists()
        (folder / "x").rename(folder / "x.zst")
        (folder / "x.zst").write_bytes(Zstd().compress(b"first"))


def test_a_file_named_like_standard_input_is_no_concern_of_it(folder: Path) -> None:
    """`--rm` of a stream removes nothing, as in zstd, and its output is like any new file."""
    (folder / "-").write_bytes(b"important")
    (folder / "-").chmod(0o604)
    (folder / "usual").touch()
    packed = Zstd().compress(DATA)
    for command, given in (("compress", DATA), ("decompress", packed)):
        for named in ([], ["-"]):
            assert run(command, "-o", "x", "--rm", "-f", *named, stdin=given).exit_code == 0
            assert (folder / "-").read_bytes() == b"important"
            assert (folder / "x").stat().st_mode == (folder / "usual").stat().st_mode
    assert (folder / "x").read_bytes() == DATA


def test_rm_removes_no_pipe(folder: Path) -> None:
    os.mkfifo("pipe")
    writer = threading.Thread(target=Path("pipe").write_bytes, args=(DATA,))
    writer.start()
    assert run("compress", "--rm", "-o", "x.zst", "pipe").exit_code == 0
    writer.join()
    assert held(folder) == {"a.txt", "pipe", "x.zst"}


@pytest.mark.parametrize("command", ["compress", "decompress", "test"])
def test_standard_input_is_read_once(folder: Path, command: str) -> None:
    done = run(command, "-", "-", stdin=DATA)
    assert done.exit_code == 2
    assert "can be read once" in done.stderr


def test_quiet_and_verbose(folder: Path) -> None:
    assert run("compress", "-q", "a.txt").stderr == ""
    plain = run("compress", "-f", "a.txt").stderr
    assert re.fullmatch(r"a\.txt: [\d,]+ -> [\d,]+ bytes \(\d+\.\d%\) a\.txt\.zst\n", plain)
    timed = r"%s: [\d,]+ -> [\d,]+ bytes \(\d+\.\d%%\) in \d+\.\d\d s, \d+\.\d MB/s %s\n"
    assert re.fullmatch(timed % (r"a\.txt", r"a\.txt\.zst"), run("compress", "-v", "-f", "a.txt").stderr)
    done = run("decompress", "-v", "-f", "a.txt.zst")
    assert re.fullmatch(timed % (r"a\.txt\.zst", r"a\.txt"), done.stderr)
    assert plain.partition("(")[2].partition(")")[0] in done.stderr  # compressed over raw, both ways
    stream = run("compress", "-v", stdin=DATA)
    assert re.fullmatch(timed % ("-", r"\(standard output\)"), stream.stderr)
    assert f"-: {len(DATA):,} -> {len(stream.stdout_bytes):,} bytes" in stream.stderr


@pytest.mark.parametrize("codec", ["zstd", "gzip", "brotli", "bytes"])
def test_threads_change_no_byte(folder: Path, codec: str) -> None:
    made = {
        run("compress", "-c", "--codec", codec, *flags, "a.txt").stdout_bytes for flags in ([], ["-T2"], ["-T", "0"])
    }
    assert len(made) == 1
    Path("a.packed").write_bytes(made.pop())
    for threads in ("-T1", "-T3"):
        assert run("decompress", "-c", "--codec", codec, threads, "a.packed").stdout_bytes == DATA


def test_levels(folder: Path) -> None:
    sizes = [len(run("compress", "-c", flag, "a.txt").stdout_bytes) for flag in ("-l1", "-l19")]
    assert sizes[1] < sizes[0]
    assert run("compress", "-c", "-l", "9", "--codec", "gzip", "a.txt").stdout_bytes == Gzip(level=9).compress(DATA)
    for wrong in (["-l", "99"], ["--codec", "bytes", "-l", "3"]):
        assert isinstance(run("compress", "-c", *wrong, "a.txt").exception, ProxycError)


class ForgetfulEncoder:
    """Loses the last byte of every piece."""

    def __init__(self) -> None:
        self._encoder = Gzip().file_encoder()
        self.flush = self._encoder.flush

    def compress(self, data: bytes, /) -> bytes:
        return self._encoder.compress(data[:-1])


class Forgetful(Gzip):
    def file_encoder(self) -> Encoder:
        return ForgetfulEncoder()


def test_verify_notices_a_standard_file_that_is_not_its_source(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for codec in ("zstd", "gzip", "brotli", "bytes"):
        plain, verified = (run("compress", "-c", "--codec", codec, *v, "a.txt") for v in ([], ["--verify"]))
        assert verified.stdout_bytes == plain.stdout_bytes != b""
    monkeypatch.setattr(registry, "parse", lambda _: Forgetful())
    assert "does not decode to what was compressed" in run("compress", "--verify", "--rm", "a.txt").stderr
    assert held(folder) == {"a.txt"}
    files.compress_file(Path("a.txt"), Path("lost.gz"), Forgetful())  # which only --verify and --rm notice


def test_max_output(folder: Path) -> None:
    run("compress", "-q", "a.txt")
    for command in (["decompress", "-f"], ["test"]):
        assert "exceeds the limit" in run(*command, "--max-output", str(len(DATA) - 1), "a.txt.zst").stderr
        assert run(*command, "--max-output", str(len(DATA)), "a.txt.zst").exit_code == 0


def test_recursion_and_what_is_sound_beside_what_is_not(folder: Path) -> None:
    (folder / "in/deep").mkdir(parents=True)
    for name in ("in/b.txt", "in/deep/c.txt"):
        (folder / name).write_bytes(name.encode())
    assert run("compress", "-q", "-r", "--rm", "--codec", "gzip", "in").exit_code == 0
    assert {path.name for path in (folder / "in").rglob("*.*")} == {"b.txt.gz", "c.txt.gz"}
    (folder / "in/a.gz").write_bytes(b"no gzip")
    done = run("test", "-r", "in")
    assert done.exit_code == 1
    assert done.stderr == "proxyc: in/a.gz is not a gzip file: it does not begin with the magic number\n"
    assert done.stdout.count("sound") == 2  # the bad one, tested first, does not keep the others from being tested


def test_salvage_needs_a_file(folder: Path) -> None:
    assert "name a file" in run("decompress", "--salvage", stdin=b"x").stderr


def test_links_are_no_files_below_a_folder(folder: Path) -> None:
    """What they point to would be compressed, and the link removed."""
    (folder / "in").mkdir()
    (folder / "in/link.txt").symlink_to(folder / "a.txt")
    (folder / "in/to_folder").symlink_to(folder)
    assert run("compress", "-q", "-r", "--rm", "in").exit_code == 0
    assert {path.name for path in (folder / "in").iterdir()} == {"link.txt", "to_folder"}


def test_a_folder_that_cannot_be_looked_into_is_told_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scandir = os.scandir

    def refused(path: str) -> object:
        if Path(path).name == "secret":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    (folder / "in/secret").mkdir(parents=True)
    (folder / "in/b.txt").write_bytes(b"text")
    monkeypatch.setattr(os, "scandir", refused)  # root may look into any
    done = run("compress", "-q", "-r", "in")
    assert (done.exit_code, done.stderr) == (1, "proxyc: Permission denied: in/secret\n")
    assert (folder / "in/b.txt.zst").exists()


def test_errors_name_their_file_and_block(folder: Path) -> None:
    for name, codec in (("a.zst", "zstd"), ("b.pxc", "pack:codec=gzip"), ("c.pxc", "bytes"), ("d.br", "brotli")):
        run("compress", "-q", "--codec", codec, "a.txt", "-o", name)
        if name != "d.br":
            damaged = bytearray(Path(name).read_bytes())
            damaged[-len(damaged) // 5] ^= 1
            Path(name).write_bytes(damaged)
    done = run("test", "a.zst", "b.pxc", "c.pxc", "d.br")
    lines = done.stderr.splitlines()
    assert [line.partition(": ")[2][:6] for line in lines] == ["a.zst:", "b.pxc:", "c.pxc:"]
    assert all("the block at byte 1048576 of the output is damaged" in line for line in lines[1:])
    assert done.stdout.startswith("d.br: sound")


def test_a_source_that_may_not_be_read_harms_no_other(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "b.txt").write_bytes(b"other")
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, *how: path != "b.txt" and access(path, *how))  # root may read any
    done = run("compress", "-q", "b.txt", "a.txt")
    assert done.exit_code == 0, done.stderr  # it is opened, not asked for
    assert held(folder) == {"a.txt", "a.txt.zst", "b.txt", "b.txt.zst"}


def on_a_terminal(stream: str, *arguments: str) -> tuple[int, bytes]:
    """Exit code and what a terminal shows that is the command's `stream`."""
    ours, theirs = pty.openpty()
    other = "stderr" if stream == "stdout" else "stdout"
    command = [sys.executable, "-m", "proxylm.cli.main", *arguments]
    with subprocess.Popen(command, **{stream: theirs, other: subprocess.PIPE}) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # Linux: the end of a terminal is EIO
            while piece := os.read(ours, 1 << 16):
                shown += piece
        said = b"".join(pipe.read() for pipe in (process.stdout, process.stderr) if pipe)
    os.close(ours)
    return process.returncode, shown + said


def test_binary_does_not_go_to_a_terminal(folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"some text\n")
    code, shown = on_a_terminal("stdout", "compress", "-c", "a.txt")
    assert (code, shown) == (1, b"proxyc: standard output is a terminal; use -o FILE, a pipe, or -f\n")
    code, shown = on_a_terminal("stdout", "compress", "-c", "-f", "a.txt")
    assert (code, shown[:4]) == (0, b"\x28\xb5\x2f\xfd")
    run("compress", "-q", "a.txt")
    assert on_a_terminal("stdout", "decompress", "-c", "a.txt.zst") == (0, b"some text\r\n")  # as zstd -dc and gzip -dc


def test_progress_is_shown_on_a_terminal_only(folder: Path) -> None:
    code, shown = on_a_terminal("stderr", "compress", "--codec", "bytes", "a.txt")
    assert code == 0
    assert re.search(rb"a\.txt.*\[#+.*100%", shown)
    assert b"100%" not in on_a_terminal("stderr", "compress", "-q", "-f", "--codec", "bytes", "a.txt")[1]
    assert "100%" not in run("compress", "-f", "--codec", "bytes", "a.txt").stderr
