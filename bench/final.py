"""The final comparison: finished runs of `proxyc bench downstream`, scored on text that no run was chosen by.

    proxyc bench final RUNS HELD_OUT... [--only NAME] [--codec VIEW@CODEC] -o RESULT.json

The records are those of the runs, with the bits of these documents in place of theirs; `proxyc bench tables` reads both.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import click

from bench import results, tables
from bench.downstream import digest, scored
from bench.report import OutputFile
from compressors import registry
from compressors.errors import InputError, InvalidConfig
from proxylm.evaluate import evaluate, trained_window
from proxylm.runs import load_run, view_of

PATH = click.Path(path_type=Path, exists=True)


@click.command()
@click.argument("runs", type=PATH)
@click.argument("held_out", nargs=-1, required=True, type=PATH)
@click.option("--only", multiple=True, metavar="NAME", help="Only these runs; * and ? stand for any letters.")
@click.option("--codec", "codecs", multiple=True, metavar="VIEW@CODEC", help="What made a view that a run is read in.")
@click.option(
    "--max-bytes",
    type=click.IntRange(1),
    default=400_000,
    show_default=True,
    help="Held-out bytes that are scored, in documents of at most a fortieth of that.",
)
@click.option("-o", "--output", type=OutputFile(), help="JSON to write.")
def final(
    runs: Path, held_out: tuple[Path, ...], only: tuple[str, ...], codecs: tuple[str, ...], max_bytes: int, output: Path | None
) -> None:  # fmt: skip
    """Score the finished runs below RUNS on the documents of HELD_OUT."""
    made = dict(map(registry.parse_named, codecs))
    finished = results.read(runs)
    for pattern in only:
        if not any(fnmatchcase(r["name"], pattern) for r in finished):
            raise InputError(
                f"--only {pattern} names no finished run below {runs}; there are: {', '.join(r['name'] for r in finished)}"
            )
    wanted = [r for r in finished if not only or any(fnmatchcase(r["name"], pattern) for pattern in only)]
    documents = scored(held_out, max_bytes)
    found = [_scored(runs, r, documents, made) for r in wanted]
    click.echo(tables.all_of(found))
    if output:
        results.write(output, found)


def _scored(runs: Path, record: dict[str, Any], documents: list[bytes], codecs: dict[str, Any]) -> dict[str, Any]:
    reads = record["reads"]
    if reads != "raw" and reads not in codecs:
        raise InvalidConfig(
            f"run {record['name']} is read as {reads}; say what made that view with --codec {reads}@CODEC"
        )
    model, config = load_run(runs / record["name"])
    codec = codecs.get(reads)
    if codec is not None:
        view_of(runs / record["name"], codec)  # raises if the run was not trained on what this codec makes
    view = reads if codec else None
    result = evaluate(model, documents, window=trained_window(config), codec=codec, view=view)
    return record | {
        "held_out_sha256": digest(documents),
        "evaluation": result.to_json(),
        "document_bytes": result.n_bytes.tolist(),
        "document_bits": (result.text_bits + result.end_bits).tolist(),
    }
