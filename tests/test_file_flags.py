"""The flags of zstd and gzip, and what many files, streams, terminals and plugins do to the command line."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import compressors
from compressors import registry
from compressors.cli import progress as progress_module
from compressors.cli.options import as_command, n_bytes
from compressors.cli.progress import progress
from compressors.cli.shown import shown
from compressors.zstd import Zstd
from proxylm.cli.main import proxyc

TEXT = b"some text that packs well\n" * 400


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_bytes(TEXT)
    (tmp_path / "b.txt").write_bytes(TEXT[:999])
    return tmp_path


def run(*arguments: str, **how: object) -> click.testing.Result:
    return CliRunner().invoke(proxyc, arguments, **how)


def command(*arguments: str, data: bytes = b"", **how: object) -> "subprocess.CompletedProcess[bytes]":
    line = [sys.executable, "-m", "proxylm.cli.main", *arguments]
    return subprocess.run(line, input=data, capture_output=True, timeout=120, check=False, **how)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", "compress"),
        ("-d", "decompress"),
        ("-dc a.zst", "decompress -c a.zst"),
        ("-dkf a.gz b.gz", "decompress -k -f a.gz b.gz"),
        ("-19 --ultra -T0 a -o b", "compress -l 19 -T 0 a -o b"),
        ("-3vk a", "compress -l 3 -v -k a"),
        ("--fast=3 a", "compress -l -3 a"),
        ("-t a.zst", "test a.zst"),
        ("-tfq a.zst", "test -q a.zst"),
        ("-l a.zst", "inspect a.zst"),
        ("--list a.zst", "inspect a.zst"),
        ("-D d -19 a", "compress --codec zstd=d -l 19 a"),
        ("-dD d a.zst", "decompress --codec zstd=d a.zst"),
        ("-d -9 a.gz", "decompress a.gz"),
        ("-B1MB a", "compress a"),
        ("--long a", "compress --long 27 a"),
        ("--long=31 -19 a", "compress --long=31 -l 19 a"),
        ("-d --long=31 a.zst", "decompress --long=31 a.zst"),
        ("--codec gzip -9 a", "compress --codec gzip -l 9 a"),
        ("-1 -- -d", "compress -l 1 -- -d"),
        ("compress -d", "decompress"),
        ("compress -l19 a", "compress -l 19 a"),
        ("compress -l -5 a", "compress -l -5 a"),
        ("encode -1 c", "encode -1 c"),
        ("--help", "--help"),
        ("--version", "--version"),
    ],
)
def test_flags_of_other_tools_name_a_command(line: str, expected: str) -> None:
    assert as_command(line.split(), piped=True) == expected.split()


def test_without_arguments_a_terminal_sees_the_help() -> None:
    assert as_command([], piped=False) == []


@pytest.mark.parametrize("program", ["", " compress"])
def test_tar_works_both_ways(folder: Path, program: str) -> None:
    script = folder / "proxyc"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m proxylm.cli.main "$@"\n')
    script.chmod(0o755)
    for flags in (["-cf", "x.tzst", "a.txt"], ["-xf", "x.tzst", "--to-stdout"]):
        done = subprocess.run(["tar", "-I", f"./proxyc{program}", *flags], capture_output=True, timeout=120, check=True)
    assert done.stdout == TEXT


def test_a_stream_round_trips_without_a_command(folder: Path) -> None:
    packed = command("-19", data=TEXT).stdout
    assert Zstd().decompress(packed) == TEXT
    assert command("-d", data=packed).stdout == TEXT
    assert command("-t", data=packed).returncode == 0


def test_sizes_have_units() -> None:
    parse = lambda text: n_bytes(None, None, text)  # type: ignore[arg-type] # noqa: E731
    assert [parse(text) for text in ("7", "1kB", "1KiB", "0.5 GB", "2M", "1TiB")] == [
        7,
        1000,
        1024,
        5 * 10**8,
        2 * 10**6,
        2**40,
    ]
    with pytest.raises(click.BadParameter):
        parse("10XB")


def test_several_inputs_into_one_stream_that_cannot_hold_them(folder: Path) -> None:
    done = run("compress", "--codec", "brotli", "-c", "a.txt", "b.txt")
    assert done.exit_code == 2
    assert "cannot be read one after the other" in done.stderr
    for codec in ("gzip", "zstd", "bytes"):
        joined = run("compress", "--codec", codec, "-c", "a.txt", "b.txt").stdout_bytes
        assert run("decompress", "-c", input=joined).stdout_bytes == TEXT + TEXT[:999]


def test_recursion_passes_by_what_is_not_meant(folder: Path) -> None:
    assert run("compress", "-r", ".").exit_code == 0
    again = run("compress", "-r", "-f", ".")
    assert again.exit_code == 0
    assert "2 files passed by: compressed already" in again.stderr
    assert "2 files: 11,399 -> " in again.stderr
    assert not list(folder.glob("*.zst.zst"))
    for command_line in (["test", "-r", "."], ["decompress", "-rf", "."]):
        done = run(*command_line)
        assert done.exit_code == 0, done.stderr
        assert "2 files passed by: in no compressed format" in done.stderr
    assert run("compress", "-r", "--codec", "gzip", "--exclude-compressed", ".").exit_code == 0
    assert {path.name for path in folder.iterdir()} == {f"{n}.txt{s}" for n in "ab" for s in ("", ".zst", ".gz")}


def test_recursion_leaves_what_a_killed_run_left_unfinished(folder: Path) -> None:
    (folder / ".b.txt.zst.0123456789abcdef.tmp").write_text("half")
    (folder / ".mine.tmp").write_text("a name of the user's")
    assert run("compress", "-r", ".").exit_code == 0
    assert {path.name for path in folder.glob(".*.zst")} == {".mine.tmp.zst"}


def test_outputs_into_a_folder(folder: Path) -> None:
    (folder / "in").mkdir()
    (folder / "out").mkdir()
    (folder / "in/c.txt").write_bytes(TEXT)
    assert run("compress", "-r", "a.txt", "in", "--output-dir-flat", "out").exit_code == 0
    assert {path.name for path in (folder / "out").iterdir()} == {"a.txt.zst", "c.txt.zst"}
    done = run("compress", "a.txt", "-o", "out")
    assert "out is a folder; --output-dir-flat puts the outputs there" in str(done.exception)


def test_a_one_way_view_writes_no_files(folder: Path) -> None:
    done = command("compress", "--codec", "entropy-windows", "a.txt")
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1
    assert b"one-way view" in done.stderr
    assert b"use it with `proxyc encode --view`, or another codec" in done.stderr
    assert "one-way view" in next(
        line for line in run("codecs").stdout.splitlines() if line.startswith("entropy-windows")
    )


class Faulty(Zstd):
    """A plugin with a bug."""

    def compress_stream(self, pieces: object, **how: object) -> object:
        if b"".join(pieces) == TEXT:
            raise KeyError("no such\nkey \x1b[31m")
        return [b"done"]


def test_a_fault_of_a_plugin_is_one_line_and_harms_no_other_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "parse", lambda _: Faulty())
    done = run("compress", "a.txt", "b.txt")
    assert done.exit_code == 1
    first, second = done.stderr.splitlines()
    assert first.startswith("proxyc: a.txt: KeyError: ")
    assert "\x1b" not in first
    assert second.startswith("b.txt: 999 -> 4 bytes")
    monkeypatch.setenv("PROXYC_TRACEBACK", "1")
    assert isinstance(run("compress", "-f", "a.txt").exception, KeyError)


def test_names_do_nothing_to_a_terminal(folder: Path) -> None:
    assert shown("a\x1b[31m\nb\udcff\u202e") == "a\\x1b[31m\\nb\\udcff\\u202e"
    name = "evil\x1b]0;title\x07\n.txt"
    Path(name).write_bytes(TEXT)
    for line in (["compress", name], ["test", name + ".zst"], ["decompress", name]):
        done = run(*line)
        assert "\x1b" not in done.stderr + done.stdout
        assert (done.stderr + done.stdout).count("\n") == 1
    assert b"\x1b" not in command("inspect", name).stderr


def test_without_standard_error_all_is_done(folder: Path) -> None:
    line = f"{sys.executable} -m proxylm.cli.main compress a.txt 2>&- && {sys.executable} -m proxylm.cli.main test a.txt.zst 2>&-"
    assert subprocess.run(["sh", "-c", line], capture_output=True, timeout=120, check=False).returncode == 0


class Screen(list[str]):
    """A standard error that keeps what is written."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.isatty = lambda: terminal
        self.write, self.flush = self.append, lambda: None


def test_the_bar_is_removed_and_lines_come_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: clock[0])
    for terminal in (True, False):
        screen = Screen(terminal)
        monkeypatch.setattr(sys, "stderr", screen)
        with progress("a.txt", 100) as tell:
            for _ in range(4):
                clock[0] += 6
                tell(25)
        text = "".join(screen)
        if terminal:
            assert "a.txt  [######------------------]  25%, 25 B, 4 B/s, 18 s left" in text
            assert text.endswith("100%, 100 B, 4 B/s\r\033[K")
        else:
            assert text == "proxyc: a.txt: 50%, 50 B, 4 B/s, 12 s left\nproxyc: a.txt: 100%, 100 B, 4 B/s\n"
    monkeypatch.setattr(sys, "stderr", None)
    with progress("a.txt", 100) as tell:
        tell(100)


def test_a_dictionary_becomes_a_file_for_zstd(folder: Path, zstd_with_dictionary: Zstd) -> None:
    zstd_with_dictionary.save("d.pxa")
    assert run("convert", "d.pxa", "-o", "d.dict").exit_code == 0
    assert compressors.load("d.dict") == zstd_with_dictionary
    assert command("-D", "d.dict", "a.txt", "-o", "x.zst").returncode == 0
    assert command("-dc", "-D", "d.pxa", "x.zst").stdout == TEXT


def test_a_terminal_without_a_file_sees_the_usage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from compressors.cli import many_files

    class Terminal:
        isatty = staticmethod(lambda: True)

    monkeypatch.setattr(sys, "stdin", Terminal())
    with pytest.raises(click.UsageError, match="name a file, or - for what is typed here"):
        many_files.taken((), False)
    assert many_files.taken((Path("-"),), False) == ([Path("-")], 0)


def test_several_files_share_the_threads(folder: Path) -> None:
    names = [f"{number}.txt" for number in range(9)]
    for number, name in enumerate(names):
        (folder / name).write_bytes(TEXT[number:])
    (folder / "4.txt").unlink()
    result = run("compress", "-T3", *names)
    assert result.exit_code == 1
    # One line for the missing file, one for each other file, and one for all of them.
    assert result.output.count("4.txt") == 1
    assert "8 files: " in result.output
    for number, name in enumerate(names):
        if number != 4:
            assert b"".join(Zstd().decompress_stream([(folder / f"{name}.zst").read_bytes()])) == TEXT[number:]
    tested = run("test", "-T3", *(f"{name}.zst" for name in names if name != "4.txt"))
    assert tested.exit_code == 0
    assert tested.output.count("sound") == 8
    back = run("decompress", "-T3", "-f", "--rm", *(f"{name}.zst" for name in names if name != "4.txt"))
    assert back.exit_code == 0
    assert not list(folder.glob("*.zst"))


def test_threads_do_not_write_two_sources_to_one_output(folder: Path) -> None:
    for number in range(6):
        (folder / str(number)).mkdir()
        (folder / str(number) / "same.txt").write_bytes(TEXT[number:])
    result = run("compress", "-T4", "-f", "--output-dir-flat", ".", *(f"{number}/same.txt" for number in range(6)))
    assert result.exit_code == 1
    assert result.output.count("is the output of another source already") == 5


def test_outputs_to_standard_output_keep_their_order(folder: Path) -> None:
    (folder / "1.txt").write_bytes(TEXT * 200)
    (folder / "2.txt").write_bytes(b"the second")
    packed = run("compress", "-T2", "-c", "1.txt", "2.txt")
    assert run("decompress", "-c", input=packed.stdout_bytes).stdout_bytes == TEXT * 200 + b"the second"
