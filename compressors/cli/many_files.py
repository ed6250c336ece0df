"""Many sources, one after the other: where each output goes, what is printed, how errors are met.

An error of one source is one line on standard error, and the next source is done all the same; the
exit
code is then 1. `cli.files` uses `each` for commands that write, and `despite_errors` for the
others.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeAlias

import click

from compressors import files
from compressors.cli.progress import progress
from compressors.cli.shown import shown
from compressors.errors import InputError, ProxycError, in_one_line


@dataclass
class Say:
    """What is said on standard error while a file is worked on, and after it; it adds up what it says."""

    quiet: bool
    verbose: bool
    packs: bool  # compressing: the source is the raw side
    files: int = 0  # done so far
    read: int = 0  # bytes of their inputs
    written: int = 0  # bytes of their outputs

    def summary(self, source: Path, target: Path | None, read: int, written: int, seconds: float) -> None:
        """One line for each file; with -v also for streams, with time and speed."""
        self.files, self.read, self.written = self.files + 1, self.read + read, self.written + written
        if self.quiet or (target is None and not self.verbose):
            return
        time_taken = (
            f" in {seconds:.2f} s, {self._sides(read, written)[0] / seconds / 1e6:.1f} MB/s" if self.verbose else ""
        )
        self._line(f"{source}: {self._ratio(read, written)}{time_taken} {target or '(standard output)'}")

    def total(self, skipped: int) -> None:
        """A line for several files, and how many were passed by."""
        if not self.quiet and self.files > 1:
            self._line(f"{self.files} files: {self._ratio(self.read, self.written)}")
        if not self.quiet and skipped:
            what = "are compressed already" if self.packs else "are in no compressed format"
            self._line(f"{skipped} files {what}: passed by")

    def _sides(self, read: int, written: int) -> tuple[int, int]:
        """(raw bytes, packed bytes), whichever way the command works."""
        return (read, written) if self.packs else (written, read)

    def _ratio(self, read: int, written: int) -> str:
        raw, packed = self._sides(read, written)
        return f"{read:,} -> {written:,} bytes ({packed / max(raw, 1):.1%})"

    def _line(self, text: str) -> None:
        click.echo(shown(text), err=True)


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the outputs go, and which sources are taken."""

    output: Path | None  # of -o
    flat: Path | None  # a folder for all outputs
    stdout: bool  # -c
    remove: bool  # --rm
    recursive: bool  # -r
    wanted: Callable[[Path], bool] = lambda _: True  # of the files below folders
    joins: bool = True  # outputs one after the other can be read again

    @property
    def to_stdout(self) -> bool:
        return self.stdout or self.output == files.STDIN

    def check(self, n_sources: int) -> None:
        """Raise `UsageError` for what goes not together."""
        if self.output is not None and (self.stdout or self.flat or n_sources > 1):
            raise click.UsageError("-o names one output: give one input, and neither -c nor --output-dir-flat")
        if self.to_stdout and self.remove:
            raise click.UsageError("--rm needs an output that can be checked: give no -c")
        if self.to_stdout and n_sources > 1 and not self.joins:
            raise click.UsageError("files of this codec cannot be read one after the other: give one input, or no -c")
        if self.output and self.output != files.STDIN and self.output.is_dir():
            raise InputError(f"{self.output} is a folder; --output-dir-flat puts the outputs there")

    def of(self, path: Path, name: Callable[[Path], Path]) -> Path | None:
        """The output of a source; None is standard output."""
        if self.to_stdout or (path == files.STDIN and self.output is None):
            return None
        return self.output or (self.flat / name(path).name if self.flat else name(path))


def each(
    source: tuple[Path, ...],
    work: Callable[[Path, Path | None, files.Progress], int],
    name: Callable[[Path], Path],
    say: Say,
    places: Places,
) -> None:
    """`work` on every source and its target (None: standard output); it returns the number of bytes written."""
    paths, skipped = taken(source, places.recursive, places.wanted)
    places.check(len(paths))
    written_to: set[Path] = set()

    def one(path: Path) -> None:
        """Work on one source, with a progress bar, and print its summary."""
        target = places.of(path, name)
        # Two sources may have one output (a.txt and b/a.txt into one folder): the second is
        # refused.
        place = target and target.parent.resolve() / target.name
        if place in written_to:
            raise InputError(f"{path}: {target} is the output of another source already; do them one by one with -o")
        began, read = time.perf_counter(), 0
        size = path.stat().st_size if path.is_file() else None
        with progress(path.name, size, quiet=say.quiet) as bar:

            def done(n_bytes: int) -> None:
                nonlocal read
                read += n_bytes
                bar(n_bytes)

            written = work(path, target, done)
        written_to.update([place] if place else [])
        say.summary(path, target, read if size is None else size, written, time.perf_counter() - began)

    failed = despite_errors(one, paths)
    say.total(skipped)
    if failed:
        raise click.exceptions.Exit(1)


Found: TypeAlias = Path | OSError  # a source, or why a folder could not be looked into


def despite_errors(one: Callable[[Path], None], sources: Iterable[Found]) -> bool:
    """Do every source; one that fails is told of and does not keep the others from being done. True if any did."""
    failed = False
    for source in sources:
        try:
            if isinstance(source, OSError):
                raise source
            one(source)
        except BrokenPipeError:  # the reader of our output has gone, so nobody needs the rest
            raise
        except click.ClickException:
            raise
        except Exception as error:  # also a plugin's own: the other files have nothing to do with it
            if os.environ.get("PROXYC_TRACEBACK") and not isinstance(error, (ProxycError, OSError)):
                raise
            click.echo(f"proxyc: {shown(_named(source, error))}", err=True)
            failed = True
    return failed


def _named(source: Found, error: Exception) -> str:
    """The line for an error, which begins with the source unless it names a file by itself."""
    if isinstance(error, MemoryError):
        return f"{source}: not enough memory"
    if not isinstance(error, (ProxycError, OSError)):
        return f"{source}: {type(error).__name__}: {error} (an error of a codec, not of the file: PROXYC_TRACEBACK=1 says where)"
    text = in_one_line(error)
    names_one = isinstance(error, InputError) or getattr(error, "filename", None)
    return text if names_one or text.startswith((f"{source}:", f"{source} ")) else f"{source}: {text}"


def taken(
    sources: tuple[Path, ...], recursive: bool, wanted: Callable[[Path], bool] = lambda _: True
) -> tuple[list[Found], int]:
    """The sources, or standard input if there are none, and how many files were passed by.

    With `recursive` the files below each folder, sorted, that are `wanted`. Raises `UsageError` where standard input is
    named twice, or is a terminal that nobody named.
    """
    if sources.count(files.STDIN) > 1:
        raise click.UsageError("- is standard input, which can be read once")
    if not sources and sys.stdin is not None and sys.stdin.isatty():
        raise click.UsageError("name a file, or - for what is typed here")
    found: list[Found] = []
    skipped = 0
    for path in sources or (files.STDIN,):
        below = _below(path) if recursive and path.is_dir() else [path]
        kept = [each for each in below if each == path or isinstance(each, OSError) or _is_wanted(each, wanted)]
        found, skipped = [*found, *kept], skipped + len(below) - len(kept)
    return found, skipped


def _is_wanted(path: Path, wanted: Callable[[Path], bool]) -> bool:
    try:
        return wanted(path)
    except OSError:
        return True  # so that the error is told of when it is the file's turn


def _below(folder: Path) -> list[Found]:
    """The files below a folder; links are left out, as in zstd: with --rm they would be replaced by what they
    point to.
    """
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
