"""Owner, mode, times and holes of outputs, as gzip, xz and zstd together have them; what cannot be kept is a warning."""

import errno
import os
import random
import stat
import warnings
from pathlib import Path
from typing import Any

import pytest

from compressors import atomic, files
from compressors.errors import NotKept
from compressors.gzip import Gzip
from compressors.zstd import Zstd

OTHER = 1234
as_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "x"
    path.write_bytes(b"content")
    os.utime(path, ns=(1_000_000_000_123_456_789, 1_000_000_000_987_654_321))
    return path


def packed(source: Path) -> os.stat_result:
    target = source.with_name("x.gz")
    files.compress_file(source, target, Gzip(), force=True)
    assert Gzip().decompress(target.read_bytes()) == b"content"
    return target.stat()


def refuse(*_: Any, **__: Any) -> None:
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))


def test_mode_and_times_are_kept_to_the_nanosecond(source: Path) -> None:
    source.chmod(0o750)
    found = packed(source)
    assert stat.S_IMODE(found.st_mode) == 0o750
    assert found.st_mtime_ns == 1_000_000_000_987_654_321


def test_ones_own_special_bits_are_kept(source: Path) -> None:
    source.chmod(0o6750)
    assert stat.S_IMODE(packed(source).st_mode) == 0o6750


@as_root
@pytest.mark.parametrize("mode", [0o600, 0o6755, 0o2640])
def test_root_leaves_a_file_with_its_owner(source: Path, mode: int) -> None:
    os.chown(source, OTHER, OTHER + 1)
    source.chmod(mode)
    found = packed(source)
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (OTHER, OTHER + 1, mode)


@as_root
@pytest.mark.parametrize("mode", [0o6755, 0o4755, 0o2755, 0o1777])
def test_a_program_that_runs_as_its_owner_never_runs_as_us(
    source: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    os.chown(source, OTHER, OTHER)
    source.chmod(mode)
    monkeypatch.setattr(os, "fchown", refuse)
    with pytest.warns(NotKept, match="owner"):
        found = packed(source)
    assert stat.S_IMODE(found.st_mode) & 0o7000 == 0


@as_root
@pytest.mark.parametrize(("mode", "expected"), [(0o660, 0o600), (0o664, 0o644), (0o670, 0o600), (0o666, 0o666)])
def test_another_group_may_do_no_more_than_all_others(
    source: Path, monkeypatch: pytest.MonkeyPatch, mode: int, expected: int
) -> None:
    os.chown(source, 0, OTHER)
    source.chmod(mode)
    monkeypatch.setattr(os, "fchown", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)  # not root, so no warning
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert stat.S_IMODE(packed(source).st_mode) == expected


@pytest.mark.parametrize(("call", "what"), [("fchmod", "mode"), ("utime", "times")])
def test_what_cannot_be_set_is_a_warning(source: Path, monkeypatch: pytest.MonkeyPatch, call: str, what: str) -> None:
    """CIFS, exFAT and some mounts refuse it; the output is worth more, and the mode of a temporary file is the safe one."""
    source.chmod(0o644)
    monkeypatch.setattr(os, call, refuse)
    with pytest.warns(NotKept, match=f"cannot keep {what}"):
        found = packed(source)
    assert stat.S_IMODE(found.st_mode) == (0o600 if call == "fchmod" else 0o644)


def test_notes_on_a_file_are_kept_where_there_are_any(source: Path) -> None:
    try:
        os.setxattr(source, "user.note", b"mine")
    except (AttributeError, OSError):
        pytest.skip("this file system has no attributes")
    packed(source)
    assert os.getxattr(source.with_name("x.gz"), "user.note") == b"mine"


# -- holes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1 << 24, (1 << 24) + 17])
def test_zeros_become_holes(tmp_path: Path, size: int) -> None:
    """One within, one at the end, whatever the pieces."""
    data = b"begins" + bytes(size // 2) + os.urandom(10_000) + bytes(size // 2)
    (tmp_path / "x.zst").write_bytes(Zstd().compress(data))
    files.decompress_file(tmp_path / "x.zst", tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == data
    assert (tmp_path / "x").stat().st_blocks * 512 < 1 << 20


def test_only_whole_blocks_of_zeros_are_holes() -> None:
    drawn = random.Random(0)
    for _ in range(200):
        parts = [
            drawn.choice([bytes, drawn.randbytes])(drawn.choice([1, 7, 4095, 4096, 4097, 9000, 20_000]))
            for _ in range(drawn.randrange(9))
        ]
        data, offset = b"".join(parts), drawn.choice([0, 1, 4095, 4096, 5000])
        blocks = range(-offset % 4096, len(data) - 4095, 4096)
        expected = {at for at in blocks if not any(data[at : at + 4096])}
        found = [at for start, end in atomic._holes(data, offset) for at in range(start, end, 4096)]
        assert found == sorted(expected)


# -- signals and processes -------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_ends_removes_nothing_of_its_parent(tmp_path: Path) -> None:
    with atomic.atomic_file(tmp_path / "x") as file:
        file.write(b"content")
        if (child := os.fork()) == 0:
            atomic.discard_unfinished()
            os._exit(0)
        os.waitpid(child, 0)
        assert len(list(tmp_path.glob(".x.*.tmp"))) == 1
    assert (tmp_path / "x").read_bytes() == b"content"
