"""`proxyc encode`: parse and print."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import click

from compressors import registry
from compressors.documents import Reader
from compressors.errors import InvalidConfig

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("corpus", nargs=-1, type=PATH)
@click.option("-o", "--output", "store", required=True, type=PATH, help="Folder of the view store.")
@click.option(
    "--view",
    "views",
    multiple=True,
    metavar="[NAME@]CODEC",
    help="A view: bpe=FILE, zstd, zstd:level=19, small@bpe=FILE ...",
)
@click.option(
    "--field", "text_field", default="text", show_default=True, help="Field of .jsonl records that holds the text."
)
@click.option("--glob", "pattern", default="*", show_default=True, help="Which files of a folder to read.")
@click.option("--strict", is_flag=True, help="A bad record is an error instead of being counted.")
@click.option("-T", "--threads", default=1, show_default=True, type=click.IntRange(min=1), help="Threads for encoding.")
@click.option("--shard-mb", default=64, show_default=True, type=click.IntRange(min=1), help="Raw bytes of a shard.")
@click.option("-q", "--quiet", is_flag=True)
def encode(
    corpus: tuple[Path, ...], store: Path, views: tuple[str, ...], text_field: str, pattern: str, strict: bool,
    threads: int, shard_mb: int, quiet: bool,
) -> None:  # fmt: skip
    """Encode CORPUS (text files, folders, .jsonl[.gz|.zst]) into a view store; without CORPUS, add views to one.

    Each file is a document, or each record of a .jsonl file; folders are read in sorted order. The same command after a
    kill goes on at the first missing view of a shard.
    """
    from proxylm import encode as encoding

    codecs = dict(_view(spec) for spec in views)
    if len(codecs) < len(views):
        raise InvalidConfig("two views have the same name; name them with NAME@CODEC")
    reader = Reader(list(corpus), text_field=text_field, pattern=pattern, strict=strict) if corpus else None
    done = [0, 0]

    def progress(documents: int, size: int) -> None:
        done[0], done[1] = done[0] + documents, done[1] + size
        if not quiet and sys.stderr.isatty():
            click.echo(f"\r{done[0]:,} documents, {done[1] / 1e6:,.1f} MB", nl=False, err=True)

    made = encoding.encode(reader, store, codecs, threads=threads, shard_bytes=shard_mb << 20, progress=progress)
    if not quiet and sys.stderr.isatty():
        click.echo(err=True)
    if reader is not None:
        _say_bad(reader)
    n_bytes = int(made.column("raw").lengths.sum())
    click.echo(f"{store}: {len(made):,} documents, {n_bytes:,} bytes, fingerprint {made.fingerprint[:16]}")
    for name in made.views:
        symbols = int(made.column(name).lengths.sum())
        click.echo(
            f"  {name}: {symbols:,} symbols, {n_bytes / max(symbols, 1):.3f} bytes per symbol, {made.view(name)['vocab_size']:,} ids"
        )


def _say_bad(reader: Reader) -> None:
    if reader.n_bad:
        click.echo(f"{reader.n_bad} bad records skipped; the first: {reader.first_bad}", err=True)


def _view(spec: str) -> tuple[str, Any]:
    named = re.fullmatch(r"([^@=:]+)@(.+)", spec)  # an @ after = or : belongs to a path
    made = registry.parse(named[2] if named else spec)
    return (named[1] if named else made.name), made
