"""Finished runs of `proxyc bench downstream`, scored on text that no run was chosen by.

    proxyc bench rescore RUNS HELD_OUT... [--only NAME] [--codec VIEW@CODEC] -o RESULT.json

The records are those of the runs, with the bits of these documents in place of theirs; `proxyc
bench tables` reads both.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from bench.downstream import results
from bench.downstream.arms import MAX_BYTES, asked_codec, read_run, scored, scores
from bench.output import output
from bench.report import tables
from compressors import registry
from compressors.cli.printing import forms, put
from compressors.cli.progress import progress
from compressors.corpus import Document
from compressors.errors import InvalidConfig
from proxylm.cli.device_options import scored_on_a_device
from proxylm.evaluation.result import Result
from proxylm.training.run_folder import view_of
from proxylm.view_spec import RAW

PATH = click.Path(path_type=Path, exists=True)


@click.command()
@click.argument("runs", type=PATH)
@click.argument("held_out", nargs=-1, required=True, type=PATH)
@click.option("--only", multiple=True, metavar="NAME", help="Only these runs; * and ? stand for any letters.")
@click.option("--codec", "codecs", multiple=True, metavar="VIEW@CODEC", help="What made a view that a run is read in.")
@MAX_BYTES
@scored_on_a_device
@forms
@output()
def rescore(
    runs: Path, held_out: tuple[Path, ...], only: tuple[str, ...], codecs: tuple[str, ...], max_bytes: int, device: str, dtype: str,
    form: str | None, output: Path | None,
) -> None:  # fmt: skip
    """Score the finished runs below RUNS on the documents of HELD_OUT."""
    made = dict(map(registry.parse_named, codecs))
    finished = results.read(runs)
    names = results.matching([r["name"] for r in finished], only)
    documents = scored(held_out, max_bytes, partial(click.echo, err=True))
    found = []
    with progress("rescore", len(names), unit="runs") as told:
        for record in (r for r in finished if r["name"] in names):
            told(0, record["name"])
            result = _read(runs, record, made, documents, device=device, dtype=dtype)
            # The scores of these documents in place of those it had.
            found.append(record | scores(result, documents, held_out))
            told(1)
    put(form, *tables.all_of(found))
    if output:
        results.write(output, found)


def _read(
    runs: Path, record: dict[str, Any], codecs: dict[str, Any], documents: list[Document], *, device: str, dtype: str
) -> Result:
    """Score the run of `record` on other documents, in the view that it was read in."""
    reads = record["reads"]
    folder, codec = runs / record["name"], codecs.get(reads)
    if reads != RAW and codec is None:
        raise InvalidConfig(f"run {record['name']} is read as {reads}; {asked_codec(reads)}")
    if codec is not None:
        view_of(folder, codec)  # raises if the run was not trained on what this codec makes
    return read_run(folder, reads, codec, [document.data for document in documents], device=device, dtype=dtype)
