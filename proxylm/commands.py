"""`proxyc encode | eval | generate`: parse and print; torch is imported by the commands that need it."""

from __future__ import annotations

import json
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


@click.command("eval")
@click.argument("run", type=PATH)
@click.argument("corpus", nargs=-1, required=True, type=PATH)
@click.option("--codec", help="Score the compressed view of this codec instead of raw bytes, e.g. bpe=FILE.")
@click.option("--window", type=click.IntRange(min=2), help="Context in bytes; default: what the run was trained with.")
@click.option("--max-bytes", type=click.IntRange(min=1), help="Stop after the first documents that hold so many bytes.")
@click.option(
    "--field", "text_field", default="text", show_default=True, help="Field of .jsonl records that holds the text."
)
@click.option("--glob", "pattern", default="*", show_default=True, help="Which files of a folder to read.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    run: Path, corpus: tuple[Path, ...], codec: str | None, window: int | None, max_bytes: int | None, text_field: str,
    pattern: str, as_json: bool,
) -> None:  # fmt: skip
    """Bits per byte of the model in RUN on the documents of CORPUS, with a 95 % bootstrap interval."""
    from proxylm import evaluate as evaluation
    from proxylm import runs

    model, config = runs.load_run(run)
    chosen = registry.parse(codec) if codec else None
    view = runs.view_of(run, chosen) if chosen is not None else None
    reader = Reader(list(corpus), text_field=text_field, pattern=pattern)
    documents: list[bytes] = []
    size = 0
    for document in reader:
        if max_bytes is not None and size >= max_bytes:
            break
        documents.append(document.data)
        size += len(document.data)
    _say_bad(reader)
    window = window or evaluation.trained_window(config)
    result = evaluation.evaluate(model, documents, window=window, codec=chosen, view=view)
    found = result.to_json()
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    low, high = found["interval_95"]
    click.echo(
        f"{found['bits_per_byte']:.4f} bits per byte [{low:.4f}, {high:.4f}] on {found['documents']} documents, {found['bytes']:,} bytes"
    )
    click.echo(f"of which the ends of the documents: {found['end_bits_per_document']:.2f} bits each")


@click.command()
@click.argument("run", type=PATH)
@click.argument("prompt")
@click.option("--max-bytes", default=200, show_default=True, type=click.IntRange(min=1))
@click.option("--temperature", default=0.8, show_default=True, type=float, help="0 is greedy.")
@click.option("--top-p", default=0.95, show_default=True, type=float)
@click.option("--seed", default=0, show_default=True, type=int)
def generate(run: Path, prompt: str, max_bytes: int, temperature: float, top_p: float, seed: int) -> None:
    """Continue PROMPT with the model in RUN; writes the prompt and what follows, as bytes."""
    from proxylm import evaluate as evaluation
    from proxylm import generate as generation
    from proxylm import runs

    model, config = runs.load_run(run)
    start = prompt.encode("utf-8", "surrogateescape")
    continuation = generation.generate(
        model, start, max_bytes=max_bytes, context=evaluation.trained_window(config),
        temperature=temperature, top_p=top_p, seed=seed,
    )  # fmt: skip
    sys.stdout.buffer.write(start)
    for byte in continuation:
        sys.stdout.buffer.write(bytes([byte]))
        sys.stdout.buffer.flush()
    sys.stdout.buffer.write(b"\n")
