"""Documents without what an earlier one has too: a licence at the head of twenty files would be
scored twenty times.

    proxyc bench dedup CORPUS... > once.jsonl

Lines that follow each other, are found in earlier documents and hold 100 bytes or more together are
left out. What repeats within a document stays: to copy it is a model's work.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from compressors.corpus import Reader

_LEAST = 100  # bytes; fewer are the idiom of a language (imports, a lone `return None`)


def once(documents: Iterable[bytes]) -> Iterator[bytes]:
    """Each document, in order, without its runs of lines from earlier ones."""
    earlier: set[bytes] = set()
    for document in documents:
        lines, kept, run = document.splitlines(keepends=True), [], b""
        for line in lines:
            if line in earlier:
                run += line
                continue
            kept += [run, line] if len(run) < _LEAST else [line]
            run = b""
        kept += [run] if len(run) < _LEAST else []
        earlier.update(lines)
        yield b"".join(kept)


@click.command()
@click.argument("corpus", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def dedup(corpus: tuple[Path, ...]) -> None:
    """Write the documents of CORPUS as JSONL, in order, each passage once."""
    reader = Reader(list(corpus))
    read = [document.data for document in reader]
    if reader.n_bad:
        click.echo(reader.bad_records, err=True)
    left = list(once(read))
    for text in filter(None, left):
        click.echo(json.dumps({"text": text.decode("utf-8", "replace")}))
    click.echo(f"{sum(map(len, read)):,} bytes, {sum(map(len, left)):,} of them once", err=True)
