"""A new file is private while it is made, follows no planted link, and replaces nothing that came to be meanwhile."""

import errno
import os
import threading
from pathlib import Path

import pytest

from compressors import InputError
from compressors.atomic import atomic_file, write_atomically


def held(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def only_temporary(folder: Path) -> Path:
    (found,) = folder.glob(".*.tmp")
    return found


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o440])
def test_what_comes_of_a_file_is_never_readable_by_more_people_than_it(tmp_path: Path, mode: int) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"secret")
    source.chmod(mode)
    with atomic_file(target, source=source) as file:
        assert only_temporary(tmp_path).stat().st_mode & 0o777 == 0o600
        file.write(b"packed")
    assert target.stat().st_mode & 0o777 == mode


def test_without_a_source_the_mode_is_that_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_atomically(tmp_path / "x", b"new")
    with atomic_file(tmp_path / "y") as file:
        file.write(b"new")
    assert len({path.stat().st_mode for path in tmp_path.iterdir()}) == 1


def test_a_link_planted_under_the_temporary_name_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can guess the name; here they may."""
    (tmp_path / "victim").write_bytes(b"precious")
    monkeypatch.setattr(os, "urandom", bytes)
    (tmp_path / f".x.{'00' * 8}.tmp").symlink_to("victim")
    with pytest.raises(InputError, match="cannot write"), atomic_file(tmp_path / "x"):
        pytest.fail("opened")
    (tmp_path / f".y.{'00' * 8}.tmp").symlink_to("victim")
    with pytest.raises(FileExistsError):
        write_atomically(tmp_path / "y", b"new")
    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_two_writers_of_one_target_do_not_meet(tmp_path: Path) -> None:
    """As threads, and as processes of one number in two containers, do."""
    both = threading.Barrier(2)

    def write(letter: bytes) -> None:
        with atomic_file(tmp_path / "x", force=True) as file:
            both.wait(60)
            file.write(letter * 100_000)
            both.wait(60)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert held(tmp_path)["x"] in (b"a" * 100_000, b"b" * 100_000)
    assert len(held(tmp_path)) == 1


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127])
def test_names_may_be_as_long_as_the_system_lets_them(tmp_path: Path, name: str) -> None:
    with atomic_file(tmp_path / name) as file:
        file.write(b"new")
    write_atomically(tmp_path / name, b"newer")
    assert held(tmp_path) == {name: b"newer"}


@pytest.mark.parametrize("links", [True, False])
def test_an_output_that_came_to_be_meanwhile_is_kept_without_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def unsupported(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", unsupported)
    target = tmp_path / "x"
    with atomic_file(target) as file:
        file.write(b"new")
    assert held(tmp_path) == {"x": b"new"}
    target.unlink()
    with pytest.raises(InputError, match="exists already; use --force"), atomic_file(target):
        target.write_bytes(b"precious")
    assert held(tmp_path) == {"x": b"precious"}
    with atomic_file(target, force=True) as file:
        file.write(b"newer")
    assert held(tmp_path) == {"x": b"newer"}


def test_a_full_disk_names_the_output(tmp_path):
    def fill() -> None:
        with atomic_file(tmp_path / "out") as file:
            file.write(b"x")
            raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full") as caught:
        fill()
    assert caught.value.filename == str(tmp_path / "out")
    with pytest.raises(FileNotFoundError) as caught:
        write_atomically(tmp_path / "no/out", b"x")
    assert caught.value.filename == str(tmp_path / "no/out")
