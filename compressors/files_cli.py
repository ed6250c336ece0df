"""`proxyc compress | decompress | test | inspect`: prints and parses; the work is done in `files`."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import click

from compressors import files, registry
from compressors.atomic import AtomicFile
from compressors.base import Compressor
from compressors.errors import CorruptStream, InputError, InvalidConfig, ProxycError

CODEC_HELP = "Codec as NAME, NAME=ARTIFACT or NAME:setting=value, e.g. zstd:level=19 or bpe=code.pxa."

SOURCES = click.argument("source", nargs=-1, type=click.Path(path_type=Path, allow_dash=True))
CODEC = click.option(
    "--codec", help="Needed only for an artifact or dictionary, and for brotli without its suffix. " + CODEC_HELP
)
THREADS = click.option(
    "-T", "--threads", default=1, show_default=True, type=click.IntRange(min=0), help="Threads; 0: all cores."
)
QUIET = click.option("-q", "--quiet", is_flag=True, help="No progress, no summary.")
MAX_OUTPUT = click.option(
    "--max-output", type=click.IntRange(min=0), help="Fail beyond this many bytes of output for each input."
)


def _writes(command: Any) -> Any:
    """The options of commands that write files, as in zstd."""
    for option in (
        click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to write (one input only)."),
        click.option("-c", "--stdout", is_flag=True, help="Write to standard output."),
        click.option("-f", "--force", is_flag=True, help="Replace existing outputs."),
        click.option("-k", "--keep", is_flag=True, help="Keep the source (the default)."),
        click.option(
            "--rm", "remove", is_flag=True, help="Remove the source once its output is read back and compared."
        ),
        click.option("-r", "--recursive", is_flag=True, help="Take the files below folders."),
    ):
        command = option(command)
    return command


@click.command()
@SOURCES
@click.option("--codec", default="zstd", show_default=True, help=CODEC_HELP)
@click.option("-l", "--level", type=int, help="Level (zstd, gzip) or quality (brotli).")
@click.option(
    "--verify", is_flag=True, help="Decode every .pxc block before it is written (always on for learned codecs)."
)
@_writes
@THREADS
@QUIET
def compress(
    source: tuple[Path, ...], codec: str, level: int | None, verify: bool, threads: int, quiet: bool, **how: Any
) -> None:
    """Compress each SOURCE to a file beside it; `-` or nothing: standard input to standard output.

    zstd, gzip and brotli write the standard .zst, .gz and .br; others write .pxc. Mode and times are kept, and so is the
    source.
    """
    chosen = registry.parse(codec)
    if level is not None:
        chosen = _with_level(chosen, level)
    options = {"threads": _threads(threads), "verify": verify, "force": how["force"]}

    def to_stream(path: Path) -> None:
        with files.opened(path) as reader:
            files.compress_stream(chosen, reader, _output(), **options)

    def to_file(path: Path, target: Path, progress: files.Progress) -> None:
        files.compress_file(path, target, chosen, progress=progress, **options)
        if how["remove"]:
            _remove(path, target, chosen)

    _each(source, to_stream, to_file, lambda path: files.compressed_name(path, chosen), quiet, how)


def _with_level(codec: Compressor, level: int) -> Compressor:
    names = {"level", "quality"} & {field.name for field in dataclasses.fields(codec)}
    if not names:
        raise InvalidConfig(f"{codec.name} has no levels; leave -l out")
    return dataclasses.replace(codec, **{names.pop(): level})


@click.command()
@SOURCES
@CODEC
@click.option("--salvage", is_flag=True, help="From a damaged .pxc take all sound blocks; say which bytes are missing.")
@MAX_OUTPUT
@_writes
@THREADS
@QUIET
def decompress(
    source: tuple[Path, ...],
    codec: str | None,
    salvage: bool,
    max_output: int | None,
    threads: int,
    quiet: bool,
    **how: Any,
) -> None:
    """Decompress each SOURCE (.zst, .gz, .br, .pxc) to a file beside it; `-` or nothing: a stream to a stream."""
    chosen = registry.parse(codec) if codec else None
    options = {"threads": _threads(threads), "max_output": max_output, "force": how["force"]}

    def to_stream(path: Path) -> None:
        if salvage:
            _report_gaps(path, files.salvage_stream(path, _output(), chosen))
            return
        with files.opened(path) as reader:
            files.decompress_stream(reader, _output(), codec=chosen, name=path.name, **options)

    def to_file(path: Path, target: Path, progress: files.Progress) -> None:
        if salvage:
            with AtomicFile(target, source=path, force=how["force"]) as writer:
                gaps = files.salvage_stream(path, writer, chosen)
            _report_gaps(path, gaps)
            return
        files.decompress_file(path, target, codec=chosen, progress=progress, **options)
        if how["remove"]:
            path.unlink()  # every checksum of it has just been read

    _each(source, to_stream, to_file, files.decompressed_name, quiet, how)


def _report_gaps(path: Path, gaps: list[str]) -> None:
    if gaps:
        raise CorruptStream(f"{path}: {len(gaps)} gaps, {'; '.join(gaps)}; all else is in the output")


@click.command()
@SOURCES
@CODEC
@MAX_OUTPUT
@THREADS
@QUIET
def test(source: tuple[Path, ...], codec: str | None, max_output: int | None, threads: int, quiet: bool) -> None:
    """Decompress each SOURCE to nowhere and check every checksum."""
    chosen = registry.parse(codec) if codec else None
    for path in source or (Path("-"),):
        size = files.check_file(path, codec=chosen, threads=_threads(threads), max_output=max_output)
        if not quiet:
            click.echo(f"{path}: sound, {size:,} bytes")


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(source: Path, as_json: bool) -> None:
    """What a .pxc file says of itself: codec, configuration, blocks. Decodes nothing."""
    facts = files.inspect(source)
    if as_json:
        click.echo(json.dumps(facts, indent=1))
        return
    for key, value in facts.items():
        click.echo(f"{key:<16} {value:,}" if isinstance(value, int) else f"{key:<16} {value}")


def _each(
    source: tuple[Path, ...],
    to_stream: Callable[[Path], None],
    to_file: Callable[[Path, Path, files.Progress], None],
    name: Callable[[Path], Path],
    quiet: bool,
    how: dict[str, Any],
) -> None:
    """Do every source; one that fails does not keep the others from being done."""
    if how["output"] is not None and (how["stdout"] or len(source) > 1):
        raise click.UsageError("-o names one output: give one input, and not -c")
    failed: list[ProxycError] = []
    for path in _expanded(source or (Path("-"),), how["recursive"]):
        try:
            if how["stdout"] or (str(path) == "-" and how["output"] is None):
                to_stream(path)
                continue
            target = how["output"] or name(path)
            with _progress(path, quiet) as progress:
                to_file(path, target, progress)
            _summary(path, target, quiet)
        except ProxycError as error:
            failed.append(error)
    for earlier in failed[:-1]:
        click.echo(f"proxyc: {earlier}", err=True)
    if failed:
        raise failed[-1]


def _threads(given: int) -> int:
    return given or os.cpu_count() or 1


def _expanded(sources: tuple[Path, ...], recursive: bool) -> Iterator[Path]:
    for path in sources:
        if recursive and path.is_dir():
            yield from sorted(found for found in path.rglob("*") if found.is_file())
        else:
            yield path


def _remove(source: Path, target: Path, codec: Compressor) -> None:
    """Remove `source` after its compressed form has been read back from the disk and compared."""
    if not files.same_content(source, target, codec):
        raise CorruptStream(f"{target} does not decompress to {source}; the source is kept")
    source.unlink()


def _output() -> BinaryIO:
    if sys.stdout is None:
        raise InputError("standard output is closed; use -o FILE")
    if sys.stdout.isatty():
        raise InputError("standard output is a terminal; use -o FILE or a pipe")
    return sys.stdout.buffer


@contextmanager
def _progress(path: Path, quiet: bool) -> Iterator[files.Progress]:
    """A progress bar with ETA on standard error, where that is a terminal."""
    if quiet or not sys.stderr.isatty() or not path.is_file():
        yield lambda n: None
        return
    with click.progressbar(length=os.path.getsize(path), label=path.name, file=sys.stderr) as bar:
        yield bar.update


def _summary(source: Path, target: Path, quiet: bool) -> None:
    if not quiet and source.is_file():
        before, after = source.stat().st_size, target.stat().st_size
        click.echo(f"{source}: {before:,} -> {after:,} bytes ({after / max(before, 1):.1%}) {target}", err=True)
