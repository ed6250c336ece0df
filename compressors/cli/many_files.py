"""Many sources, one after the other: where each output goes, what is printed, how errors are met.

An error of one source is one line on standard error, and the next source is done all the same; the
exit
code is then 1. `cli.files` uses `each` for commands that write, and `despite_errors` for the
others.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TypeAlias

import click

from compressors import files
from compressors.atomic import is_temporary
from compressors.cli.progress import progress
from compressors.cli.shown import shown
from compressors.errors import InputError, ProxycError, counted, in_one_line


@dataclass
class Say:
    """What is said on standard error while a file is worked on, and after it; it adds up what it says."""

    quiet: bool
    verbose: bool
    packs: bool  # compressing: the source is the raw side
    files: int = 0  # done so far
    read: int = 0  # bytes of their inputs
    written: int = 0  # bytes of their outputs
    _lock: threading.Lock = field(default_factory=threading.Lock)  # files may be done in several threads

    def summary(self, source: Path, target: Path | None, read: int, written: int, seconds: float) -> None:
        """One line for each file; with -v also for streams, with time and speed."""
        with self._lock:
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
            what = "compressed already" if self.packs else "in no compressed format"
            self._line(f"{counted(skipped, 'file')} passed by: {what}")

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
    work: Callable[[Path, Path | None, files.Progress, int], int],
    name: Callable[[Path], Path],
    say: Say,
    places: Places,
    threads: int = 1,
) -> None:
    """`work` on every source, its target (None: standard output) and a number of threads; it returns the bytes written.

    Several files are done side by side, as many as there are `threads`; what goes to standard output keeps its order.
    """
    paths, skipped = taken(source, places.recursive, places.wanted)
    places.check(len(paths))
    written_to: set[Path] = set()

    def one(path: Path, bar: files.Progress | None, of_file: int) -> None:
        """Work on one source with `of_file` threads, and print its summary."""
        target = places.of(path, name)
        # Two sources may have one output (a.txt and b/a.txt into one folder): the second is refused. The place is taken
        # before the work, as another thread may come to it meanwhile.
        place = target and target.parent.resolve() / target.name
        if place and place in written_to:
            raise InputError(f"{path}: {target} is the output of another source already; do them one by one with -o")
        written_to.update([place] if place else [])
        began, read = time.perf_counter(), 0
        size = path.stat().st_size if path.is_file() else None
        with nullcontext(bar) if bar else progress(path.name, size, quiet=say.quiet) as told:

            def done(n_bytes: int) -> None:
                nonlocal read
                read += n_bytes
                told(n_bytes)

            try:
                written = work(path, target, done, of_file)
            except BaseException:
                written_to.discard(place or Path())
                raise
        say.summary(path, target, read if size is None else size, written, time.perf_counter() - began)

    failed = side_by_side(one, paths, threads, quiet=say.quiet, in_order=places.to_stdout)
    say.total(skipped)
    if failed:
        raise click.exceptions.Exit(1)


Found: TypeAlias = Path | OSError  # a source, or why a folder could not be looked into


def side_by_side(
    one: Callable[[Path, files.Progress | None, int], None],
    paths: Sequence[Found],
    threads: int,
    *,
    quiet: bool,
    in_order: bool = False,
) -> bool:
    """`one` for each path; true if any failed. Several files share the `threads`, unless they are wanted `in_order`.

    `one` is given the path, the progress bar of all files (None: it shows its own), and the threads of this file.
    """
    at_once = 1 if in_order else max(1, min(threads, len(paths)))
    if at_once == 1:
        return despite_errors(lambda path: one(path, None, threads), paths)
    total = sum(path.stat().st_size for path in paths if isinstance(path, Path) and path.is_file())
    with progress(f"{len(paths)} files", total, quiet=quiet) as bar:
        return despite_errors(lambda path: one(path, bar, threads // at_once), paths, at_once)


def despite_errors(one: Callable[[Path], None], sources: Sequence[Found], at_once: int = 1) -> bool:
    """Do every source, several `at_once`; one that fails is told of, and the others are done. True if any did."""

    def attempt(source: Found) -> Exception | None:
        """What went wrong with one source."""
        try:
            if isinstance(source, OSError):
                raise source
            one(source)
        except Exception as error:
            return error
        return None

    failed = False
    with ThreadPoolExecutor(at_once) if at_once > 1 else nullcontext() as pool:
        for source, error in zip(sources, (pool.map if pool else map)(attempt, sources), strict=True):
            if error is None:
                continue
            # The reader of our output has gone, so nobody needs the rest; or the usage is wrong.
            if isinstance(error, (BrokenPipeError, click.ClickException)):
                raise error
            # Also a plugin's own errors: the other files have nothing to do with them.
            if os.environ.get("PROXYC_TRACEBACK") and not isinstance(error, (ProxycError, OSError)):
                raise error
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
    """The files below a folder, but for what a killed process left unfinished. Links are left out, as in zstd: with
    --rm they would be replaced by what they point to.
    """
    errors: list[OSError] = []
    found = [Path(root, name) for root, _, names in os.walk(folder, onerror=errors.append) for name in names]
    return [
        *errors,
        *sorted(path for path in found if path.is_file() and not (path.is_symlink() or is_temporary(path))),
    ]


def output(*, binary: bool) -> BinaryIO:
    """Standard output. Raises `InputError` if it is closed, or `binary` would upset a terminal."""
    if sys.stdout is None:
        raise InputError("standard output is closed; use -o FILE")
    if binary and sys.stdout.isatty():
        raise InputError("standard output is a terminal; use -o FILE, a pipe, or -f")
    return sys.stdout.buffer
