"""Every byte is read and written, or an error says so, whatever a stream does with the calls: one place for each."""

import errno
import gzip
import io
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import zstandard

from compressors import Compressor, InputError, files
from compressors.files import byte_streams
from compressors.files.byte_streams import Reader, Writer, size_left, sized, write_all
from compressors.files.pxc_salvage import salvage_stream
from compressors.identity import Identity
from compressors.zstd import Zstd

DATA = "naïve — 日本語 🙂\r\n".encode() * 300
PROXYC = [sys.executable, "-m", "proxylm.cli.main"]


class HostileSource(io.RawIOBase):
    """Gives 1 to n bytes, None, EAGAIN or EINTR."""

    def __init__(self, data: bytes, seed: int) -> None:
        self._inner, self._drawn = BytesIO(data), random.Random(seed)

    def readable(self) -> bool:
        return True

    def read(self, n: int = -1) -> Any:
        refusal = self._drawn.randrange(8)
        if refusal == 0:
            return None
        if refusal == 1:
            raise BlockingIOError(errno.EAGAIN, "not yet")
        if refusal == 2:
            raise InterruptedError(errno.EINTR, "interrupted")
        return self._inner.read(self._drawn.choice([1, 2, self._drawn.randint(1, n), n]))


class HostileSink(io.RawIOBase):
    """Takes 1 to n bytes, 0, None, EAGAIN or EINTR, and no more than `room` in all."""

    def __init__(self, seed: int, room: int = 1 << 40, *, raises: bool = True) -> None:
        self.got, self._drawn, self._room, self._raises = bytearray(), random.Random(seed), room, raises

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> Any:
        drawn = self._drawn
        refusal, n = drawn.randrange(9), drawn.choice([1, 3, drawn.randint(1, len(data)), len(data)])
        if refusal == 0:
            return None
        if refusal == 1:
            return 0
        if refusal == 2 and self._raises:
            raise InterruptedError(errno.EINTR, "interrupted")
        if self._room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        n = min(n, len(data), self._room)
        if refusal == 3 and self._raises:  # as a BufferedWriter whose buffer takes a part
            self._take(data, n)
            raise BlockingIOError(errno.EAGAIN, "not all", n)
        self._take(data, n)
        return n

    def _take(self, data: Any, n: int) -> None:
        self.got += bytes(data[:n])
        self._room -= n

    def flush(self) -> None:
        if self._raises and self._drawn.randrange(2):
            raise BlockingIOError(errno.EAGAIN, "not yet")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(byte_streams, "_PAUSE", 0)


@pytest.mark.parametrize("seed", range(3))
def test_both_ways_through_hostile_streams(codec: Compressor, seed: int) -> None:
    sink = HostileSink(seed)
    assert files.compress_stream(codec, HostileSource(DATA, seed), sink) == len(sink.got)  # type: ignore[arg-type]
    packed = BytesIO()
    files.compress_stream(codec, BytesIO(DATA), packed)
    assert sink.got == packed.getvalue()
    back = HostileSink(seed)
    source: Any = HostileSource(bytes(sink.got), seed)
    assert files.decompress_stream(source, back, codec=codec, name="x" + codec.suffix) == len(DATA)  # type: ignore[arg-type]
    assert back.got == DATA


@pytest.mark.parametrize("buffered", [False, True])
def test_a_full_disk_at_any_byte_is_an_error(buffered: bool) -> None:
    packed = Zstd().compress(DATA)
    for room in (0, 1, 100, len(DATA) - 1):
        raw = HostileSink(room, room, raises=not buffered)
        sink: Any = io.BufferedWriter(raw, 64) if buffered else raw
        with pytest.raises(OSError, match="No space"):
            files.decompress_stream(BytesIO(packed), sink)
        assert DATA.startswith(bytes(raw.got))
        raw._room = 1 << 20  # or the buffer fails once more where it is let go


def test_salvage_writes_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(DATA)
    files.compress_file(tmp_path / "x", tmp_path / "x.pxc", Identity())
    sink = HostileSink(5)
    assert salvage_stream(tmp_path / "x.pxc", sink) == ([], len(DATA))  # type: ignore[arg-type]
    assert sink.got == DATA


class Odd:
    """A sink that answers in one way."""

    def __init__(self, answer: Callable[[int], Any]) -> None:
        self.got, self._answer = b"", answer

    def write(self, data: Any) -> Any:
        self.got += bytes(data)
        return self._answer(len(data))


def test_sinks_without_a_count_take_all() -> None:
    """As classes of many people do, which return nothing at all."""
    sink: Any = Odd(lambda n: None)
    assert write_all(sink, [b"one", b"", b"two"]) == 6
    assert sink.got == b"onetwo"


@pytest.mark.parametrize("answer", [lambda n: n + 1, lambda n: -1, lambda n: 0])
def test_sinks_that_cannot_be_right_are_errors(answer: Callable[[int], int]) -> None:
    sink: Any = Odd(answer)
    with pytest.raises(OSError, match=r"takes no bytes|it took"):
        Writer(sink).write(b"data")


def test_a_source_of_text_is_refused() -> None:
    source: Any = io.StringIO("text")
    with pytest.raises(InputError, match="binary mode"):
        files.compress_stream(Identity(), source, BytesIO())


def test_a_reader_looks_ahead_without_losing_a_byte() -> None:
    read = Reader(HostileSource(DATA, 1))  # type: ignore[arg-type]
    assert read.peek(10) == read.peek(10) == DATA[:10]
    assert read.full(5) == DATA[:5]
    assert read.full(100) == DATA[5:105]
    assert b"".join(read.pieces()) == DATA[105:]
    assert (read.peek(1), read.full(3), read(1)) == (b"", b"", b"")


# -- sizes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"hi", DATA * 60], ids=len)
def test_a_zst_of_a_file_says_its_size(tmp_path: Path, data: bytes) -> None:
    """Simple decoders read no other, and need no larger window than the data; two bytes at level 22 took 744 MB."""
    source, target = tmp_path / "x", tmp_path / "x.zst"
    source.write_bytes(data)
    for codec, options in ((Zstd(), {}), (Zstd(level=22), {"verify": True}), (Zstd(level=19), {"threads": 2})):
        files.compress_file(source, target, codec, force=True, **options)
        parameters = zstandard.get_frame_parameters(target.read_bytes())
        assert parameters.content_size == len(data)
        assert parameters.window_size <= max(1024, 2 * len(data))
        assert zstandard.decompress(target.read_bytes()) == data
    with source.open("rb") as file:
        file.seek(len(data) // 2)  # from there on
        out = BytesIO()
        files.compress_stream(Zstd(), file, out)
    assert zstandard.decompress(out.getvalue()) == data[len(data) // 2 :]


def test_streams_have_no_known_size(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(DATA)
    assert size_left(BytesIO(DATA)) is None
    assert size_left(io.BufferedReader(HostileSource(DATA, 0))) is None
    with open(os.devnull, "rb") as device, gzip.open(tmp_path / "x") as other:
        assert size_left(device) is None
        assert size_left(other) is None  # type: ignore[arg-type]
        assert size_left(io.BufferedReader(other)) is None  # type: ignore[type-var]


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="files that say they are empty are Linux's")
def test_files_that_say_they_are_empty_are_read(tmp_path: Path) -> None:
    files.compress_file(Path("/proc/self/status"), tmp_path / "x.zst", Zstd())
    assert b"Name:" in Zstd().decompress((tmp_path / "x.zst").read_bytes())


@pytest.mark.parametrize("n", [len(DATA) - 1, len(DATA) + 1])
def test_a_file_that_grows_or_shrinks_meanwhile_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    (tmp_path / "x").write_bytes(DATA)
    monkeypatch.setattr("compressors.files.whole.size_left", lambda _: n)
    with pytest.raises(InputError, match="changed while it was read"):
        files.compress_file(tmp_path / "x", tmp_path / "x.zst", Zstd())
    assert not (tmp_path / "x.zst").exists()
    assert b"".join(sized([DATA], len(DATA))) == DATA


# -- the command -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("blocking", [True, False])
def test_standard_output_gets_every_byte(tmp_path: Path, unbuffered: str, blocking: bool) -> None:
    """Through a pipe that is full most of the time, of a process that is stopped and continued."""
    data = DATA * 100
    (tmp_path / "x.zst").write_bytes(Zstd().compress(data))
    reader, writer = os.pipe()
    os.set_blocking(writer, blocking)
    command = [*PROXYC, "decompress", "-qc", str(tmp_path / "x.zst")]
    with subprocess.Popen(command, stdout=writer, env=os.environ | {"PYTHONUNBUFFERED": unbuffered}) as process:
        os.close(writer)
        got = bytearray()
        for turn in range(1 << 30):
            if turn < 10:
                time.sleep(0.01)  # the pipe is full again
                process.send_signal(signal.SIGSTOP)
                process.send_signal(signal.SIGCONT)
            if not (piece := os.read(reader, 20_000)):
                break
            got += piece
    os.close(reader)
    assert process.returncode == 0
    assert got == data


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["compress", "-qc", "x"], ["decompress", "-qc", "x.zst"], ["codecs"]])
def test_an_output_without_room_is_one_line(tmp_path: Path, unbuffered: str, arguments: list[str]) -> None:
    (tmp_path / "x").write_bytes(b"small enough for a buffer")
    (tmp_path / "x.zst").write_bytes(Zstd().compress(b"small, too"))
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*PROXYC, *arguments], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, check=False,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered, "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(b"proxyc: ")
    assert done.stderr.endswith(b"No space left on device\n")
    assert done.stderr.count(b"\n") == 1


def test_standard_input_without_blocking_is_waited_for() -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    command = [*PROXYC, "compress", "-q", "--codec", "gzip"]

    def feed() -> None:
        for at in range(0, len(DATA), 2000):
            os.write(writer, DATA[at : at + 2000])
            time.sleep(0.1)
        os.close(writer)

    with subprocess.Popen(command, stdin=reader, stdout=subprocess.PIPE) as process:
        os.close(reader)
        threading.Thread(target=feed).start()
        packed, _ = process.communicate()
    out = BytesIO()
    files.decompress_stream(BytesIO(packed), out)
    assert out.getvalue() == DATA
