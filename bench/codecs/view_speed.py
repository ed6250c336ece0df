"""How fast text becomes symbols and symbols text, one core: CPU time, medians of interleaved repeats.

python -m bench.codecs.view_speed CORPUS... -o bench/results/view_speed.json
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

import compressors
from bench.measuring import OutputFile, environment
from compressors.base import Compressor, Ragged, digest
from compressors.corpus import Reader

VIEWS = ("bpe", "neural", "neural:policy=word", "neural:policy=dense", "neural:width=12")


@click.command()
@click.argument("corpus", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=OutputFile(), help="JSON to write.")
@click.option("--codec", "given", multiple=True, help="One more codec, e.g. bpe=FILE.")
@click.option("--repeats", default=9, show_default=True)
def main(corpus: tuple[Path, ...], output: Path | None, given: tuple[str, ...], repeats: int) -> None:
    """Time views. `one by one`: a call for every document, as a reader of single documents makes them."""
    documents = [document.data for document in Reader(list(corpus))]
    n_bytes = sum(map(len, documents))
    codecs = {spec: compressors.parse(spec) for spec in (*VIEWS, *given)}
    batches = {spec: codec.encode_batch(documents) for spec, codec in codecs.items()}
    work: dict[tuple[str, str], Callable[[], object]] = {}
    for spec, codec in codecs.items():
        work[spec, "encode"] = partial(codec.encode_batch, documents)
        work[spec, "encode one by one"] = partial(_encode_all, codec, documents)
        work[spec, "decode"] = partial(codec.decode, batches[spec].values)
        work[spec, "decode one by one"] = partial(_decode_all, codec, batches[spec])
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in work}
    for _ in range(repeats + 1):
        for key, do in work.items():
            began = time.thread_time()
            do()
            seconds[key].append(time.thread_time() - began)
    rows = [
        {
            "codec": spec.partition("=")[0] if spec.startswith("bpe=") else spec,
            "bytes_per_symbol": n_bytes / len(batches[spec].values),
            "mb_s": {what: n_bytes / 1e6 / statistics.median(seconds[s, what][1:]) for s, what in work if s == spec},
        }
        for spec in codecs
    ]
    click.echo(table(rows))
    if output:
        sample = digest([digest(list(document)) for document in documents])
        facts = {"documents": len(documents), "bytes": n_bytes, "corpus_digest": sample, "environment": environment()}
        facts |= {"corpus": [path.name for path in corpus], "repeats": repeats, "threads": 1, "clock": "CPU time"}
        output.write_text(json.dumps(facts | {"rows": rows}, indent=1) + "\n")


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as they are kept, as a Markdown table; README.md has it of the results."""
    kinds = list(rows[0]["mb_s"])
    lines = [
        f"| view | bytes per symbol | {' | '.join(f'{kind} MB/s' for kind in kinds)} |",
        "|---|---:" + "|---:" * 4 + "|",
    ]
    for r in rows:
        speeds = " | ".join(format(r["mb_s"][kind], ",.0f") for kind in kinds)
        lines.append(f"| {r['codec']} | {r['bytes_per_symbol']:.2f} | {speeds} |")
    return "\n".join(lines)


def _encode_all(codec: Compressor, documents: Sequence[bytes]) -> None:
    for document in documents:
        codec.encode(document)


def _decode_all(codec: Compressor, rows: Ragged) -> None:
    for i in range(len(rows)):
        codec.decode(rows[i])


if __name__ == "__main__":
    main()
