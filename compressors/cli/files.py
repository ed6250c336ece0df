"""`proxyc compress | decompress`: the commands that write files.

A command parses its options and names one function, `one`, for one file; `many_files.each` calls it
for
every source, and `files` does the work.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import click

from compressors import files, registry
from compressors.atomic import atomic_file, sync_folder
from compressors.base import Compressor, check_lossless
from compressors.cli.many_files import Places, Say, each, output
from compressors.cli.options import n_bytes
from compressors.errors import CorruptStream, InputError, InvalidConfig, counted
from compressors.files.pxc_salvage import salvage_stream

CODEC_HELP = "Codec as NAME, NAME=ARTIFACT or NAME:setting=value, e.g. zstd:level=19 or bpe=code.pxa."

SOURCES = click.argument("source", nargs=-1, type=click.Path(path_type=Path, allow_dash=True, readable=False))
CODEC = click.option(
    "--codec", help="Needed only for an artifact or dictionary, and for brotli without its suffix. " + CODEC_HELP
)
LONG = click.option(
    "--long",
    "window",
    type=click.IntRange(10, 31),
    help="zstd: a window of 2^N bytes, with --long=N; --long is --long=27. Reading needs it above 27.",
)
THREADS = click.option(
    "-T",
    "--threads",
    default=1,
    show_default=True,
    type=click.IntRange(min=0),
    help="Threads: over several files, else for .pxc and for making .zst; 0: all cores. The bytes are the same.",
)
QUIET = click.option("-q", "--quiet", is_flag=True, help="No progress, no summary.")
RECURSIVE = click.option("-r", "--recursive", is_flag=True, help="Take the files below folders, but no links.")
MAX_OUTPUT = click.option(
    "--max-output", metavar="SIZE", callback=n_bytes, help="Fail beyond so much output for each input, e.g. 100MB."
)


def _writes(command: Any) -> Any:
    """The options of commands that write files, as in zstd."""
    for option in (
        click.option(
            "-o",
            "--output",
            type=click.Path(path_type=Path, readable=False),
            help="Where to write (one input only); - is -c.",
        ),
        click.option(
            "--output-dir-flat",
            "flat",
            metavar="FOLDER",
            type=click.Path(path_type=Path, exists=True, file_okay=False),
            help="Put all outputs into FOLDER.",
        ),
        click.option("-c", "--stdout", is_flag=True, help="Write to standard output."),
        click.option("-f", "--force", is_flag=True, help="Replace existing outputs."),
        click.option(
            "--rm/--keep",
            " /-k",
            "remove",
            help="Remove the source once its output is complete and checked, or keep it (the default).",
        ),
        click.option("-v", "--verbose", is_flag=True, help="Time and speed in the summary; one for streams too."),
        RECURSIVE,
    ):
        command = option(command)
    return command


@click.command()
@SOURCES
@click.option("--codec", default="zstd", show_default=True, help=CODEC_HELP)
@click.option("-l", "--level", type=int, help="Level (zstd, gzip) or quality (brotli); -1 to -22 are short for it.")
@LONG
@click.option("--exclude-compressed", is_flag=True, help="Below folders, pass by what is compressed already.")
@click.option(
    "--verify", is_flag=True, help="Decode what is compressed before it is kept (always on for learned codecs)."
)
@click.option(
    "--block-size",
    "mebibytes",
    type=click.IntRange(1, 64),
    help="MiB of input in each block of a .pxc (1): larger ones make smaller files, and take more memory.",
)
@_writes
@THREADS
@QUIET
def compress(
    source: tuple[Path, ...], codec: str, level: int | None, window: int | None, exclude_compressed: bool, verify: bool,
    mebibytes: int | None, threads: int, quiet: bool, verbose: bool, force: bool, **where: Any,
) -> None:  # fmt: skip
    """Compress each SOURCE to a file beside it; `-` or nothing: standard input to standard output.

    zstd, gzip and brotli write the standard .zst, .gz and .br; others write .pxc. Mode and times are kept, and so is the
    source. An output gets its name only when it is complete and on disk.

    \b
    proxyc compress -l19 -T0 a.txt                       a.txt.zst, on all cores
    proxyc compress --codec bpe=code.pxa -r --rm folder  every file below it to .pxc, read back, then removed
    tar c folder | proxyc compress --codec gzip > x.tgz

    Exit codes: 0 fine, 1 an error in one line (other sources are still done), 2 wrong usage.
    """
    chosen = registry.parse(codec)
    check_lossless(chosen)
    if level is not None:
        chosen = _with_level(chosen, level)
    if window is not None:
        chosen = _with_window(chosen, window)
    if mebibytes and chosen.suffix != ".pxc":
        raise InvalidConfig(f"{chosen.name} writes {chosen.suffix} files, which have no --block-size; leave it out")

    def wanted(path: Path) -> bool:
        return path.suffix.lower() != chosen.suffix and not (exclude_compressed and files.is_compressed(path))

    how: Any = {"verify": verify, "block_size": (mebibytes or 0) << 20}
    places = Places(**where, wanted=wanted, joins=getattr(chosen, "frames", None) is None)

    def one(path: Path, target: Path | None, progress: files.Progress, of_file: int) -> int:
        if target is None:
            with files.opened(path) as reader:
                sink = output(binary=not force)
                return files.compress_stream(chosen, reader, sink, progress=progress, threads=of_file, **how)
        written = files.compress_file(path, target, chosen, progress=progress, threads=of_file, force=force, **how)
        if places.remove:
            _remove(path, target, chosen)
        return written

    each(
        source,
        one,
        lambda path: files.compressed_name(path, chosen),
        Say(quiet, verbose, packs=True),
        places,
        n_threads(threads),
    )


def _with_level(codec: Compressor, level: int) -> Compressor:
    """`codec` with another level, whatever its field is called. Raises `InvalidConfig` if it has none."""
    names = {"level", "quality"} & {field.name for field in dataclasses.fields(codec)}
    if not names:
        raise InvalidConfig(f"{codec.name} has no levels; leave -l out")
    return dataclasses.replace(codec, **{names.pop(): level})


def _with_window(codec: Compressor, window: int) -> Compressor:
    """`codec`, which must be zstd, with a larger `window`. Raises `InvalidConfig` for others."""
    if codec.name != "zstd":
        raise InvalidConfig(f"{codec.name} has no window; --long is for zstd")
    return dataclasses.replace(codec, window=window)  # type: ignore[call-arg]  # of zstd, as the name says


def reader(codec: str | None, window: int | None) -> Compressor | None:
    """The codec to read with: the one named, or zstd with a larger `window`; None where the content says it all."""
    chosen = registry.parse(codec) if codec else None
    return chosen if window is None else _with_window(chosen or registry.get("zstd"), window)


@click.command()
@SOURCES
@CODEC
@LONG
@click.option("--salvage", is_flag=True, help="From a damaged .pxc take all sound blocks; say which bytes are missing.")
@MAX_OUTPUT
@_writes
@THREADS
@QUIET
def decompress(
    source: tuple[Path, ...],
    codec: str | None,
    window: int | None,
    salvage: bool,
    max_output: int | None,
    threads: int,
    quiet: bool,
    verbose: bool,
    force: bool,
    **where: Any,
) -> None:
    """Decompress each SOURCE (.zst, .gz, .br, .pxc) to a file beside it; `-` or nothing: a stream to a stream.

    The format is taken from the content, that of .br from the suffix. Every checksum is verified; brotli has none.

    \b
    proxyc decompress a.txt.zst                          a.txt
    proxyc decompress -c --max-output 1000000 a.gz       to standard output, at most 1 MB
    proxyc decompress --salvage -o rest x.pxc            what is sound of a damaged file

    Exit codes: 0 fine, 1 an error in one line (other sources are still done), 2 wrong usage.
    """
    chosen = reader(codec, window)
    places = Places(**where, wanted=files.is_compressed)

    def one(path: Path, target: Path | None, progress: files.Progress, of_file: int) -> int:
        if salvage:
            return _salvage(path, target, chosen, force)
        if target is None:
            with files.opened(path) as reader:
                return files.decompress_stream(
                    reader, output(binary=False), codec=chosen, name=str(path), progress=progress, threads=of_file,
                    max_output=max_output,
                )  # fmt: skip
        written = files.decompress_file(
            path, target, codec=chosen, progress=progress, threads=of_file, max_output=max_output, force=force
        )
        if places.remove:
            _remove(path, target)
        return written

    each(source, one, files.decompressed_name, Say(quiet, verbose, packs=False), places, n_threads(threads))


def _salvage(path: Path, target: Path | None, codec: Compressor | None, force: bool) -> int:
    """Rescue a damaged file; the bytes written. Raises `CorruptStream` that names every gap, after
    writing.
    """
    if path == files.STDIN:
        raise InputError("--salvage goes back and forth in its source: name a file")
    if target is None:
        gaps, n_bytes = salvage_stream(path, output(binary=False), codec)
    else:
        with atomic_file(target, source=path, force=force) as writer:
            gaps, n_bytes = salvage_stream(path, writer, codec)
    if gaps:
        raise CorruptStream(f"{path}: {counted(len(gaps), 'gap')}, {'; '.join(gaps)}; all else is in the output")
    return n_bytes


def n_threads(given: int) -> int:
    """The number of threads; 0 stands for all cores."""
    return given or os.cpu_count() or 1


def _remove(source: Path, target: Path, codec: Compressor | None = None) -> None:
    """Remove the file `source` now that `target` is on disk; what `codec` compressed is read back and compared before.

    Decompressed output is not read again: all its checksums have just been verified. Streams are never
    removed.
    """
    if source == files.STDIN or not source.is_file():
        return
    if codec is not None and not files.same_content(source, target, codec):
        raise CorruptStream(f"{target} does not decompress to {source}; the source is kept")
    sync_folder(target.parent)
    source.unlink()
