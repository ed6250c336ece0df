"""Whole files: the input and an older output survive whatever happens, and nothing half-written stays."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest

import compressors
from compressors import Compressor, CorruptStream, InputError, InvalidConfig, OutputLimitExceeded, atomic, files
from compressors.gzip import Gzip
from compressors.identity import Identity

TEXT = "naïve — 日本語 🙂\r\n".encode() * 4000


class Interrupted(Identity):
    """Ctrl-C in the middle of the work."""

    def compress(self, data: bytes) -> bytes:
        raise KeyboardInterrupt


def _state(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "input.txt"
    path.write_bytes(TEXT)
    return path


def test_files_round_trip(codec: Compressor, source: Path, tmp_path: Path) -> None:
    packed, back = files.compressed_name(source, codec), tmp_path / "back"
    files.compress_file(source, packed, codec)
    files.decompress_file(packed, back, codec=codec)
    assert files.decompressed_name(packed) == source
    assert _state(tmp_path) == {"input.txt": TEXT, packed.name: packed.read_bytes(), "back": TEXT}


def test_a_file_says_how_it_is_decoded(codec: Compressor, source: Path, tmp_path: Path) -> None:
    if '"artifact": "' in json.dumps(codec.config()):
        pytest.skip("an artifact has to be given")
    packed = files.compressed_name(source, codec)
    files.compress_file(source, packed, codec)
    files.decompress_file(packed, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == TEXT


def test_progress_tells_every_byte_of_input_once(codec: Compressor) -> None:
    told: list[int] = []
    packed = BytesIO()
    files.compress_stream(codec, BytesIO(TEXT * 5), packed, progress=told.append)
    assert sum(told) == 5 * len(TEXT)
    told.clear()
    name = "x" + codec.suffix
    files.decompress_stream(BytesIO(packed.getvalue()), BytesIO(), codec=codec, name=name, progress=told.append)
    assert sum(told) == len(packed.getvalue())


def test_sources_that_give_a_byte_at_a_time(codec: Compressor) -> None:
    class Slow(BytesIO):
        def read(self, n: int | None = -1) -> bytes:
            return super().read(min(1, n))

    packed, out = BytesIO(), BytesIO()
    files.compress_stream(codec, Slow(TEXT[:300]), packed)
    files.decompress_stream(Slow(packed.getvalue()), out, codec=codec, name="x" + codec.suffix)
    assert out.getvalue() == TEXT[:300]


@pytest.mark.parametrize("work", [files.compress_file, lambda s, t, codec, **k: files.decompress_file(s, t, **k)])
def test_an_existing_output_is_kept_without_force(work: Callable[..., None], source: Path, tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"precious")
    with pytest.raises(InputError, match="exists already; use --force"):
        work(source, tmp_path / "old", Gzip())
    assert _state(tmp_path) == {"input.txt": TEXT, "old": b"precious"}


def test_force_replaces_it(source: Path, tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"precious")
    files.compress_file(source, tmp_path / "old", Gzip(), force=True)
    assert Gzip().decompress((tmp_path / "old").read_bytes()) == TEXT


def test_an_error_leaves_everything_as_it_was(source: Path, tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"precious")
    (tmp_path / "bad.gz").write_bytes(Gzip().compress(TEXT)[:-3])
    files.compress_file(source, tmp_path / "good.gz", Gzip())
    before = _state(tmp_path)
    for target in (tmp_path / "old", tmp_path / "new"):
        with pytest.raises(CorruptStream):
            files.decompress_file(tmp_path / "bad.gz", target, force=True)
        with pytest.raises(KeyboardInterrupt):
            files.compress_file(source, target, Interrupted(), force=True)
        with pytest.raises(OutputLimitExceeded):
            files.decompress_file(tmp_path / "good.gz", target, force=True, max_output=len(TEXT) - 1)
        assert _state(tmp_path) == before


def test_a_full_disk_leaves_everything_as_it_was(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        files.compress_file(source, tmp_path / "new", Gzip())
    assert _state(tmp_path) == {"input.txt": TEXT}


def test_the_input_may_not_be_the_output(source: Path, tmp_path: Path) -> None:
    (tmp_path / "hard").hardlink_to(source)
    (tmp_path / "soft").symlink_to(source)
    for target in (source, tmp_path / "hard", tmp_path / "soft", tmp_path / ".." / tmp_path.name / source.name):
        with pytest.raises(InputError, match="is the input"):
            files.compress_file(source, target, Gzip(), force=True)
    assert source.read_bytes() == TEXT


def test_force_does_not_replace_a_device(source: Path, tmp_path: Path) -> None:
    """`-f -o /dev/null` must not turn the device into a file; a link stands in for it here."""
    (tmp_path / "null").symlink_to(os.devnull)
    with suppress(InputError):
        files.compress_file(source, tmp_path / "null", Gzip(), force=True)
    assert (tmp_path / "null").is_char_device()


def test_missing_inputs_and_impossible_outputs(source: Path, tmp_path: Path) -> None:
    for reader, target in ((tmp_path / "none", tmp_path / "x"), (tmp_path, tmp_path / "x")):
        with pytest.raises(InputError, match=r"cannot read|is a folder"):
            files.compress_file(reader, target, Gzip())
    with pytest.raises(InputError, match="not an ordinary file"):
        files.compress_file(source, tmp_path, Gzip(), force=True)
    with pytest.raises(InputError, match="cannot write"):
        files.compress_file(source, tmp_path / "no" / "x", Gzip())
    assert _state(tmp_path) == {"input.txt": TEXT}


@pytest.mark.parametrize("name", ["x.zst", "x.gz", "x.pxc"])
def test_content_that_does_not_fit_the_suffix(name: str) -> None:
    for data in (b"", b"\x8e", b"hello world"):
        with pytest.raises(CorruptStream):
            files.decompress_stream(BytesIO(data), BytesIO(), name=name)


def test_an_unknown_format_asks_for_the_codec() -> None:
    with pytest.raises(InvalidConfig, match="--codec"):
        files.decompress_stream(BytesIO(b"hello"), BytesIO())
    with pytest.raises(InputError, match="unknown suffix"):
        files.decompressed_name(Path("x.txt"))
    with pytest.raises(CorruptStream):
        files.decompress_stream(BytesIO(b"hello"), BytesIO(), codec=compressors.get("bytes"))


@pytest.mark.parametrize(("suffix", "codec"), [(".tgz", "gzip"), (".tzst", "zstd")])
def test_short_suffixes_of_tars(tmp_path: Path, suffix: str, codec: str) -> None:
    packed = tmp_path / f"x{suffix}"
    packed.write_bytes(compressors.get(codec).compress(TEXT))
    assert files.decompressed_name(packed) == tmp_path / "x.tar"
    packed.write_bytes(TEXT)
    with pytest.raises(CorruptStream, match=f"is not a {codec} file"):
        files.check_file(packed)


def test_a_sync_that_fails_beside_the_work_is_not_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system reports a failed write once: to the early sync, not to the last one."""
    calls: list[int] = []

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 1:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(atomic, "SYNC_EVERY", 1000)
    monkeypatch.setattr("os.fsync", fsync)
    with pytest.raises(OSError, match="Input/output"), atomic.atomic_file(tmp_path / "x") as file:
        file.writelines([b"y" * (3 << 20)] * 5)
    assert calls
    assert not list(tmp_path.iterdir())


def test_a_last_write_that_fails_beside_the_work_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic._Beside, "_write_all", full)
    with pytest.raises(OSError, match="No space"), atomic.atomic_file(tmp_path / "x") as file:
        file.write(b"a single write, whose error nothing but the end can report")
    assert not list(tmp_path.iterdir())
