"""Many sources, one after the other: where each output goes, what is said, and one that fails harms no other."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import click

from compressors import files
from compressors.errors import InputError, ProxycError, in_one_line


@dataclass(frozen=True)
class Say:
    """What is said on standard error while a file is worked on, and after it."""

    quiet: bool
    verbose: bool
    packs: bool  # compressing: the source is the raw side

    @contextmanager
    def progress(self, path: Path) -> Iterator[files.Progress]:
        """A progress bar with ETA, where standard error is a terminal."""
        if self.quiet or not sys.stderr.isatty() or not path.is_file():
            yield lambda n: None
            return
        with click.progressbar(length=os.path.getsize(path), label=path.name, file=sys.stderr) as bar:
            yield bar.update

    def summary(self, source: Path, target: Path | None, read: int, written: int, seconds: float) -> None:
        """One line for each file; with -v also for streams, with time and speed."""
        if self.quiet or (target is None and not self.verbose):
            return
        raw, packed = (read, written) if self.packs else (written, read)
        time_taken = f" in {seconds:.2f} s, {raw / seconds / 1e6:.1f} MB/s" if self.verbose else ""
        ratio = f"{read:,} -> {written:,} bytes ({packed / max(raw, 1):.1%})"
        click.echo(f"{source}: {ratio}{time_taken} {target or '(standard output)'}", err=True)


def each(
    source: tuple[Path, ...],
    work: Callable[[Path, Path | None, files.Progress], int],
    name: Callable[[Path], Path],
    say: Say,
    how: dict[str, Any],
) -> None:
    """`work` on every source and its target (None: standard output); it returns the number of bytes written."""
    paths, named = list(expanded(source, how["recursive"])), how["output"]
    to_stdout = how["stdout"] or named == files.STDIN
    if named is not None and (how["stdout"] or len(paths) > 1):
        raise click.UsageError("-o names one output: give one input, and not -c")
    if to_stdout and how["remove"]:
        raise click.UsageError("--rm needs an output that can be checked: give no -c")
    written_to: set[Path] = set()

    def one(path: Path) -> None:
        target = None if to_stdout or (path == files.STDIN and named is None) else named or name(path)
        place = target and target.parent.resolve() / target.name
        if place in written_to:
            raise InputError(f"{path}: {target} is the output of another source already; do them one by one with -o")
        began, read = time.perf_counter(), 0
        with say.progress(path) as bar:

            def progress(n_bytes: int) -> None:
                nonlocal read
                read += n_bytes
                bar(n_bytes)

            written = work(path, target, progress)
        written_to.update([place] if place else [])
        say.summary(path, target, path.stat().st_size if path.is_file() else read, written, time.perf_counter() - began)

    despite_errors(one, paths)


Found: TypeAlias = Path | OSError  # a source, or why a folder could not be looked into


def despite_errors(one: Callable[[Path], None], sources: Iterable[Found]) -> None:
    """Do every source; one that fails is told of and does not keep the others from being done. Exit code 1 if any did."""
    failed = False
    for source in sources:
        try:
            if isinstance(source, OSError):
                raise source
            one(source)
        except BrokenPipeError:  # who reads our output has gone: there is no use in going on
            raise
        except (ProxycError, OSError, MemoryError) as error:
            click.echo(f"proxyc: {_named(source, error)}", err=True)
            failed = True
    if failed:
        raise click.exceptions.Exit(1)


def _named(source: Found, error: Exception) -> str:
    """The line for an error, which begins with the source unless it names a file by itself."""
    text = in_one_line(error)
    names_one = isinstance(error, InputError) or getattr(error, "filename", None)
    return text if names_one or text.startswith((f"{source}:", f"{source} ")) else f"{source}: {text}"


def expanded(sources: tuple[Path, ...], recursive: bool) -> Iterator[Found]:
    """The sources, or standard input if there are none; with `recursive` the files below each folder, sorted."""
    if sources.count(files.STDIN) > 1:
        raise click.UsageError("- is standard input, which can be read once")
    for path in sources or (files.STDIN,):
        if recursive and path.is_dir():
            yield from _below(path)
        else:
            yield path


def _below(folder: Path) -> list[Found]:
    """The files below a folder; links are left out, as in zstd: with --rm they would be replaced by what they point to."""
    errors: list[OSError] = []
    found = [Path(root, name) for root, _, names in os.walk(folder, onerror=errors.append) for name in names]
    return [*errors, *sorted(path for path in found if path.is_file() and not path.is_symlink())]


def output(*, binary: bool) -> BinaryIO:
    """Standard output. Raises `InputError` if it is closed, or `binary` would upset a terminal."""
    if sys.stdout is None:
        raise InputError("standard output is closed; use -o FILE")
    if binary and sys.stdout.isatty():
        raise InputError("standard output is a terminal; use -o FILE, a pipe, or -f")
    return sys.stdout.buffer
