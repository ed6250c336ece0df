"""The final comparison: finished runs of `proxyc bench downstream`, scored on text that no run was chosen by.

    proxyc bench final RUNS HELD_OUT... [--only NAME] [--codec VIEW@CODEC] -o RESULT.json

The records are those of the runs, with the bits of these documents in place of theirs; `proxyc bench tables` reads both.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from bench.downstream import results
from bench.downstream.arms import MAX_BYTES, asked_codec, digest, scored
from bench.measuring import OutputFile
from bench.report import tables
from compressors import registry
from compressors.errors import InvalidConfig
from proxylm.evaluation.bits_per_byte import evaluate, trained_level, trained_window
from proxylm.training.run_folder import load_run, view_of

PATH = click.Path(path_type=Path, exists=True)


@click.command()
@click.argument("runs", type=PATH)
@click.argument("held_out", nargs=-1, required=True, type=PATH)
@click.option("--only", multiple=True, metavar="NAME", help="Only these runs; * and ? stand for any letters.")
@click.option("--codec", "codecs", multiple=True, metavar="VIEW@CODEC", help="What made a view that a run is read in.")
@MAX_BYTES
@click.option("-o", "--output", type=OutputFile(), help="JSON to write.")
def final(
    runs: Path, held_out: tuple[Path, ...], only: tuple[str, ...], codecs: tuple[str, ...], max_bytes: int, output: Path | None
) -> None:  # fmt: skip
    """Score the finished runs below RUNS on the documents of HELD_OUT."""
    made = dict(map(registry.parse_named, codecs))
    finished = results.read(runs)
    names = results.matching([r["name"] for r in finished], only)
    documents = scored(held_out, max_bytes, partial(click.echo, err=True))
    found = [_scored(runs, r, documents, made) for r in finished if r["name"] in names]
    click.echo(tables.all_of(found))
    if output:
        results.write(output, found)


def _scored(runs: Path, record: dict[str, Any], documents: list[bytes], codecs: dict[str, Any]) -> dict[str, Any]:
    reads = record["reads"]
    if reads != "raw" and reads not in codecs:
        raise InvalidConfig(f"run {record['name']} is read as {reads}; {asked_codec(reads)}")
    model, config = load_run(runs / record["name"])
    codec = codecs.get(reads)
    if codec is not None:
        view_of(runs / record["name"], codec)  # raises if the run was not trained on what this codec makes
    view = reads if codec else None
    result = evaluate(
        model, documents, window=trained_window(config), codec=codec, view=view, level=trained_level(config, view)
    )
    return record | {
        "held_out_sha256": digest(documents),
        "evaluation": result.to_json(),
        "document_bytes": result.n_bytes.tolist(),
        "document_bits": (result.text_bits + result.end_bits).tolist(),
    }
