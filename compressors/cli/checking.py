"""`proxyc test | inspect`: the commands on files that write none."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import click

from compressors import files
from compressors.cli.files import CODEC, LONG, MAX_OUTPUT, QUIET, RECURSIVE, SOURCES, THREADS, n_threads, reader
from compressors.cli.many_files import Say, despite_errors, side_by_side, taken
from compressors.cli.progress import progress
from compressors.cli.shown import shown


@click.command()
@SOURCES
@CODEC
@LONG
@MAX_OUTPUT
@RECURSIVE
@THREADS
@QUIET
def test(
    source: tuple[Path, ...], codec: str | None, window: int | None, max_output: int | None, recursive: bool,
    threads: int, quiet: bool,
) -> None:  # fmt: skip
    """Decompress each SOURCE to nowhere and check every checksum.

    Exit codes: 0 all sound, 1 one is not (the others are still tested), 2 wrong usage.
    """
    chosen = reader(codec, window)

    def one(path: Path, bar: files.Progress | None, of_file: int) -> None:
        size = path.stat().st_size if path.is_file() else None
        with nullcontext(bar) if bar else progress(path.name, size, quiet=quiet) as told:
            size = files.check_file(path, codec=chosen, threads=of_file, max_output=max_output, progress=told)
        if not quiet:
            click.echo(shown(f"{path}: sound, {size:,} bytes"))

    paths, skipped = taken(source, recursive, files.is_compressed)
    failed = side_by_side(one, paths, n_threads(threads), quiet=quiet)
    Say(quiet, False, packs=False).total(skipped)
    if failed:
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("source", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(source: tuple[Path, ...], as_json: bool) -> None:
    """What each SOURCE says of itself: format; of .pxc also codec, configuration, blocks. Decodes nothing."""

    def one(path: Path) -> None:
        facts = {"file": str(path)} | files.inspect(path) if len(source) > 1 else files.inspect(path)
        if as_json:
            click.echo(json.dumps(facts, indent=1))
            return
        for key, value in facts.items():
            click.echo(f"{key:<16} {value:,}" if isinstance(value, int) else f"{key:<16} {shown(value)}")

    if despite_errors(one, source):
        raise click.exceptions.Exit(1)
