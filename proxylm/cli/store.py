"""`proxyc encode | store`: parse and print."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from compressors import registry
from compressors.cli.printing import forms, put
from compressors.cli.progress import amount, progress
from compressors.cli.table import Table
from compressors.corpus import Reader
from compressors.errors import InputError, InvalidConfig, counted
from proxylm.data.export import FORMATS
from proxylm.data.store import Store, is_store
from proxylm.view_spec import RAW

PATH = click.Path(path_type=Path)
STORE = "store"  # the format of `encode` that is ours


@click.command()
@click.argument("corpus", nargs=-1, type=click.Path())
@click.option(
    "-o",
    "--output",
    "store",
    required=True,
    type=PATH,
    help="Folder of the view store; with --format a prefix of files.",
)
@click.option(
    "--view",
    "views",
    multiple=True,
    metavar="[NAME@]CODEC",
    help="A view: bpe=FILE, zstd, zstd:level=19, small@bpe=FILE ...",
)
@click.option(
    "--field",
    "text_field",
    default="text",
    show_default=True,
    help="Field of records, column of .parquet files that holds the text.",
)
@click.option("--glob", "pattern", default="*", show_default=True, help="Which files of a folder to read.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Files to leave out, e.g. '*.zip'.")
@click.option("--strict", is_flag=True, help="A bad record is an error instead of being counted.")
@click.option("-T", "--threads", default=1, show_default=True, type=click.IntRange(min=1), help="Threads for encoding.")
@click.option("--shard-mb", default=64, show_default=True, type=click.IntRange(min=1), help="Raw bytes of a shard.")
@click.option(
    "--engine",
    default="local",
    show_default=True,
    type=click.Choice(["local", "ray"]),
    help="ray: shards are made by tasks on a cluster (RAY_ADDRESS), each with --threads threads; the same files.",
)
@click.option(
    "--format",
    "to",
    default=STORE,
    show_default=True,
    type=click.Choice([STORE, *FORMATS]),
    help="Write the one view for another trainer instead of a store, as `proxyc store export` does.",
)
@click.option("--eod", type=int, help="With --format: an id to add behind every document.")
@click.option("-f", "--force", is_flag=True, help="With --format: replace what is there.")
@click.option("-q", "--quiet", is_flag=True)
def encode(
    corpus: tuple[str, ...], store: Path, views: tuple[str, ...], text_field: str, pattern: str, exclude: tuple[str, ...], strict: bool,
    threads: int, shard_mb: int, engine: str, to: str, eod: int | None, force: bool, quiet: bool,
) -> None:  # fmt: skip
    """Encode CORPUS (text files, folders, .jsonl, .parquet) into a view store; without CORPUS, add views to one.

    Each file is a document, or each record of a .jsonl or .parquet file; folders are read in sorted order. Files may
    be compressed (gzip, zstd, xz, bzip2, brotli). URLs (s3://bucket/folder, hf://datasets/..., memory://b/*.jsonl) are
    read through fsspec. After a kill the same command resumes at the first
    missing view of a shard; with --format it starts again.
    """
    codecs = dict(map(registry.parse_named, views))
    if len(codecs) < len(views):
        raise InvalidConfig("two views have the same name; name them with NAME@CODEC")
    if stored := [path for path in corpus if is_store(path)]:
        raise InputError(
            f"{stored[0]} is a view store, not a corpus; to add views to it give it with -o, and no corpus"
        )
    reader = Reader(corpus, text_field, pattern, strict, exclude) if corpus else None
    if to != STORE:
        if reader is None or len(codecs) != 1 or engine != "local":
            raise click.UsageError(f"--format {to} takes a CORPUS and one --view, and goes with the local engine")
    elif eod is not None or force:
        raise click.UsageError("--eod and --force go with --format; a store has neither")
    _encode(
        reader,
        store,
        codecs,
        to,
        quiet,
        engine,
        {"eod": eod, "force": force},
        threads=threads,
        shard_bytes=shard_mb << 20,
    )
    if reader is not None and reader.n_bad:
        click.echo(reader.bad_records, err=True)


def _encode(
    reader: Reader | None, output: Path, codecs: dict[str, Any], to: str, quiet: bool, engine: str,
    of_export: dict[str, Any], **options: Any,
) -> None:  # fmt: skip
    """Write a store, or files of another format, and say what was written."""
    from proxylm.data import encode as encoding
    from proxylm.data.export import encode_to

    with _bar(quiet, reader, output) as told:
        if to == STORE:
            written = encoding.encode(reader, output, codecs, progress=told, engine=_engine(engine), **options)
        else:
            ((view, codec),) = codecs.items()
            files = encode_to(reader, codec, to, output, progress=told, **of_export, **options)
    if to == STORE:
        _describe(written)
    else:
        click.echo(f"{', '.join(map(str, files))}: view {view}", err=True)


def _engine(name: str) -> Any:
    """The engine of that name (`proxylm.data.encode.Engine`); Ray is imported only where it is asked for."""
    if name == "ray":
        from proxylm.data.encode_on_ray import on_ray as chosen
    else:
        from proxylm.data.encode import local as chosen
    return chosen


@contextmanager
def _bar(quiet: bool, reader: Reader | None, store: Path) -> Iterator[Callable[[int, int, int], None]]:
    """Progress by the bytes of the input that were read."""
    total = reader.size if reader is not None else Store.open(store, check=("raw",)).n_symbols("raw")
    done = [0, 0]  # documents and bytes
    with progress(f"encode {store.name}", total, quiet=quiet) as bar:

        def tell(n_documents: int, n_bytes: int, n_read: int) -> None:
            done[0], done[1] = done[0] + n_documents, done[1] + n_bytes
            bar(n_read, f"{counted(done[0], 'document')}, {amount(done[1])} of text")

        yield tell


class _StoreGroup(click.Group):
    """`proxyc store STORE` describes a store; any other first word is a command."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # A group takes options that stand before the command for its own: they are those of `show`.
        is_plain = bool(args) and args[0] not in self.commands and args[0] not in ("-h", "--help")
        return super().parse_args(ctx, ["show", *args] if is_plain else args)


@click.group(cls=_StoreGroup)
def store() -> None:
    """Look into a view store (`proxyc store STORE`), or export a view of it."""


@store.command()
@click.argument("path", metavar="STORE", type=PATH)
@click.option("--view", required=True, help="View to export; raw for the bytes.")
@click.option(
    "--to", "to", required=True, metavar="FORMAT", help="megatron (.bin and .idx), flat (.bin), npy or arrow."
)
@click.option("-o", "--output", required=True, type=PATH, help="Prefix of the files; for arrow the folder.")
@click.option("--eod", type=int, help="An id to add behind every document.")
@click.option("-f", "--force", is_flag=True, help="Replace what is there.")
def export(path: Path, view: str, to: str, output: Path, eod: int | None, force: bool) -> None:
    """Write a view of STORE for another trainer: one sequence of ids a document, in the order of the store.

    \b
    proxyc store export store --view bpe --to megatron --eod 0 -o corpus     corpus.bin, corpus.idx
    proxyc store export store --view bpe --to arrow -o corpus                datasets.load_from_disk("corpus")
    """
    from proxylm.data.export import export as written

    files = written(Store.open(path, check=(view,)), view, to, output, eod=eod, force=force)
    click.echo(f"{', '.join(map(str, files))}: view {view} of {path}", err=True)


@store.command()
@click.argument("path", metavar="STORE", type=PATH)
@click.option("--verify", is_flag=True, help="Read everything and compare with the recorded SHA-256.")
@click.option(
    "--document", type=click.IntRange(min=0), metavar="N", help="Only document N: where it came from, its sizes."
)
@forms
def show(path: Path, verify: bool, document: int | None, form: str | None) -> None:
    """What is in the view store STORE: documents, bytes, and of each view its size, codec and fingerprint.

    Exit code 1 if a file is missing, has another size, or with --verify other bytes than were written.
    """
    opened = Store.open(path)
    if verify:
        opened.verify()
    if document is not None:
        _describe_document(opened, document, as_json=form == "json")
        return
    _describe(opened, form, verified=verify)


def _describe(opened: Store, form: str | None = None, *, verified: bool = False) -> None:
    """Print what a store holds, and a table of its views."""
    summary = opened.summary()
    text = (
        f"{opened.path}: {counted(summary['documents'], 'document')}, {summary['bytes']:,} bytes, {counted(summary['shards'], 'shard')}, "
        f"fingerprint {summary['fingerprint'][:16]}"
    )
    heads = ["view", "codec", "fingerprint", "symbols", "bytes/symbol", "vocabulary", "on disk"]
    rows = [_cells(name, view) for name, view in summary["views"].items()]
    table = Table(heads, rows, text=3, drops=["fingerprint", "vocabulary", "on disk", "symbols", "codec"])
    checked = ["all files have the SHA-256 that was recorded"] if verified else []
    put(
        form,
        text,
        table,
        *checked,
        data=summary | {"verified": verified},
        piped=lambda table: table.fitted(None),
        gap="\n",
    )


def _cells(name: str, view: dict[str, Any]) -> list[str | None]:
    """The row of a view."""
    numbers = (f"{view['symbols']:,}", f"{view['bytes_per_symbol']:.3f}", f"{view['vocab_size']:,}")
    on_disk = f"{view['size_on_disk'] / 1e6:,.1f} MB"
    return [name, _spec(view["codec"], view["config"]), view["fingerprint"][:16], *numbers, on_disk]


def _describe_document(opened: Store, number: int, *, as_json: bool) -> None:
    """Print where a document came from and its length in every view. Raises `InputError` if it is not there."""
    if number >= len(opened):
        raise InputError(f"{opened.path} has no document {number}; it has 0 to {len(opened) - 1}")
    name = opened.id_of(number)
    symbols = {view: int(opened.column(view).lengths[number]) for view in opened.manifest["views"]}
    if as_json:
        click.echo(json.dumps({"document": number, "id": name, "symbols": symbols}, indent=1))
        return
    shown = "its id was not recorded" if name is None else name.encode("utf-8", "backslashreplace").decode()
    n_bytes = symbols.pop(RAW)
    click.echo(f"document {number}: {shown}, {n_bytes:,} bytes")
    for view, n_symbols in symbols.items():
        click.echo(f"  {view}: {counted(n_symbols, 'symbol')}")


def _spec(codec: str, config: dict[str, Any]) -> str:
    """A codec as it is given on the command line, its artifacts as the first digits of their fingerprints."""
    settings = [f"{key}={str(value)[:12]}" for key, value in config.items() if value is not None]
    return f"{codec}:{','.join(settings)}" if settings else codec
