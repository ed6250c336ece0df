"""`proxyc codecs | fit | compress | decompress`: prints and parses; the work is done elsewhere."""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from compressors import files, registry
from compressors.documents import Reader
from compressors.errors import InputError, InvalidConfig, ProxycError

CODEC_HELP = "Codec as NAME, NAME=ARTIFACT or NAME:setting=value, e.g. zstd:level=19 or bpe=code.pxa."


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def codecs(as_json: bool) -> None:
    """List the registered compressors, plugins included."""
    rows = [_row(entry) for entry in registry.entries().values()]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    for row in rows:
        click.echo(f"{row['name']:<10} {row['from']:<12} {row['state']}")


def _row(entry: registry.Entry) -> dict[str, str]:
    try:
        summary = (registry.get_class(entry.name).__doc__ or "").strip().partition("\n")[0]
    except ProxycError as error:
        summary = f"BROKEN: {error}"
    return {"name": entry.name, "from": ", ".join(entry.distributions), "state": summary}


@click.command()
@click.argument("name")
@click.argument("corpus", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Artifact to write.")
@click.option("--vocab-size", type=int, help="Number of ids (bpe); short for --set vocab_size=N.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=N",
    help="Setting of the codec's fit, e.g. dictionary_size=65536 (zstd).",
)
@click.option(
    "--field", "text_field", default="text", show_default=True, help="Field of .jsonl records that holds the text."
)
@click.option("--glob", "pattern", default="*", show_default=True, help="Which files of a folder to read.")
@click.option("-f", "--force", is_flag=True, help="Replace an existing output.")
def fit(
    name: str, corpus: tuple[Path, ...], output: Path, vocab_size: int | None, settings: tuple[str, ...],
    text_field: str, pattern: str, force: bool,
) -> None:  # fmt: skip
    """Fit compressor NAME (bpe, zstd) on CORPUS: text files, folders, .jsonl[.gz|.zst]."""
    cls = registry.get_class(name)
    if not hasattr(cls, "fit"):
        raise InvalidConfig(f"{name} has nothing to fit; those that have: bpe, zstd (a dictionary)")
    if output.exists() and not force:
        raise InputError(f"{output} exists already; use --force to replace it")
    chosen = dict(_setting(text) for text in settings) | ({"vocab_size": vocab_size} if vocab_size is not None else {})
    known = inspect.signature(cls.fit).parameters
    if unknown := set(chosen) - set(known):
        raise InvalidConfig(
            f"{name}: fit has no setting {', '.join(sorted(unknown))}; it has: {', '.join(list(known)[1:])}"
        )
    reader = Reader(list(corpus), text_field=text_field, pattern=pattern)
    codec = cls.fit([document.data for document in reader], **chosen)
    codec.save(output)
    bad = f"; {reader.n_bad} bad records skipped" if reader.n_bad else ""
    click.echo(f"{output}: {codec.name}, {codec.vocab.size} symbols, {output.stat().st_size:,} bytes{bad}", err=True)


def _setting(text: str) -> tuple[str, int]:
    key, _, value = text.partition("=")
    if not value.lstrip("-").isdigit():
        raise InvalidConfig(f"--set {text}: write KEY=NUMBER")
    return key, int(value)


@click.command()
@click.argument("source", nargs=-1, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--codec", default="zstd", show_default=True, help=CODEC_HELP)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to write (one input only).")
@click.option("-c", "--stdout", is_flag=True, help="Write to standard output.")
@click.option("-f", "--force", is_flag=True, help="Replace existing outputs.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, no summary.")
def compress(source: tuple[Path, ...], codec: str, output: Path | None, stdout: bool, force: bool, quiet: bool) -> None:
    """Compress each SOURCE to a file beside it; `-` or nothing: standard input to standard output.

    zstd, gzip and brotli write the standard .zst, .gz and .br; others write .pxc. The source is kept.
    """
    chosen = registry.parse(codec)
    for path in source or (Path("-"),):
        if _to_stream(path, output, stdout, source):
            with files.opened(path) as reader:
                files.compress_stream(chosen, reader, _output())
            continue
        target = output or files.compressed_name(path, chosen)
        with _progress(path, quiet) as progress:
            files.compress_file(path, target, chosen, force=force, progress=progress)
        _summary(path, target, quiet)


@click.command()
@click.argument("source", nargs=-1, type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--codec", help="Needed only for an artifact or dictionary, and for brotli without its suffix. " + CODEC_HELP
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Where to write (one input only).")
@click.option("-c", "--stdout", is_flag=True, help="Write to standard output.")
@click.option("-f", "--force", is_flag=True, help="Replace existing outputs.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, no summary.")
@click.option("--max-output", type=click.IntRange(min=0), help="Fail beyond this many bytes of output for each input.")
def decompress(
    source: tuple[Path, ...],
    codec: str | None,
    output: Path | None,
    stdout: bool,
    force: bool,
    quiet: bool,
    max_output: int | None,
) -> None:
    """Decompress each SOURCE (.zst, .gz, .br, .pxc) to a file beside it; `-` or nothing: a stream to a stream."""
    chosen = registry.parse(codec) if codec else None
    for path in source or (Path("-"),):
        if _to_stream(path, output, stdout, source):
            with files.opened(path) as reader:
                files.decompress_stream(reader, _output(), codec=chosen, name=path.name, max_output=max_output)
            continue
        target = output or files.decompressed_name(path)
        with _progress(path, quiet) as progress:
            files.decompress_file(path, target, codec=chosen, force=force, max_output=max_output, progress=progress)
        _summary(path, target, quiet)


def _to_stream(path: Path, output: Path | None, stdout: bool, source: tuple[Path, ...]) -> bool:
    if output is not None and (stdout or len(source) > 1):
        raise click.UsageError("-o names one output: give one input, and not -c")
    return stdout or (str(path) == "-" and output is None)


def _output() -> BinaryIO:
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
    if not quiet and str(source) != "-":
        before, after = source.stat().st_size, target.stat().st_size
        click.echo(f"{source}: {before:,} -> {after:,} bytes ({after / max(before, 1):.1%}) {target}", err=True)
