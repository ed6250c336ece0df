"""BPE encoding: ours beside its peers on the same text, in one run, with the ids compared.

    proxyc bench encode TOKENIZER.json CORPUS... -o bench/results/encode_speed.json

Every measurement runs in a separate process, bound to as many cores as it has threads. "unseen":
the first time an encoder reads the text, its tables made and its cache as its constructor leaves
it; "repeated": the second time. "decode": from ids to text, with one thread, since most have no
decoder with several.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench import isolated, markdown
from bench.codecs import encoders
from bench.measuring import documents, mb_s, timed
from bench.output import as_json, output, write_json
from compressors.cli.printing import forms, put
from compressors.cli.progress import progress
from compressors.corpus import fingerprint

PATH = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("tokenizer", type=PATH)
@click.argument("corpus", nargs=-1, required=True, type=PATH)
@click.option("--repeats", default=5, show_default=True)
@click.option("--skip", multiple=True, help="An encoder to leave out, where it would take hours.")
@forms
@output()
def encode(
    tokenizer: Path,
    corpus: tuple[Path, ...],
    repeats: int,
    skip: tuple[str, ...],
    form: str | None,
    output: Path | None,
) -> None:
    """MB/s of the encoders on each corpus: one thread and two, unseen and repeated; decoding; ids and text compared."""
    rows: list[dict[str, Any]] = []
    work = list(itertools.product(corpus, (1, 2)))
    with progress("encode", len(work), unit="measurements") as told:
        for path, threads in work:
            told(0, f"{path.name}, threads: {threads}")
            asked: dict[str, Any] = {"tokenizer": str(tokenizer), "corpus": str(path), "repeats": repeats, "skip": skip}
            found = isolated.answer("bench.speed.encode:child_speed", threads=threads, n_threads=threads, **asked)
            if isinstance(found, str):
                raise click.ClickException(f"{path.name}, {threads} threads: {found}")
            rows += found["rows"]
            told(1)
    put(form, table(rows), "Decoding, one thread:", decode_table(rows), data=rows)
    if output:
        write_json(output, as_json("encode", rows, encoders=encoders.versions(), repeats=repeats))


def child_speed(tokenizer: str, corpus: str, n_threads: int, repeats: int, skip: list[str]) -> dict[str, Any]:
    """One corpus and number of threads; encoders take turns."""
    spec, texts = Path(tokenizer).read_text(), documents([Path(corpus)])
    inputs: dict[type, list[Any]] = {bytes: texts, str: [text.decode() for text in texts]}
    names, ids = [name for name in encoders.versions() if name not in skip], dict[str, Any]()
    rows_of_ids = list(encoders.load("proxyc", spec, 1).encode(texts)) if n_threads == 1 else []
    seconds: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
    decoding: dict[str, list[float]] = {name: [] for name in names}
    same: dict[str, bool] = {}
    for _, name in itertools.product(range(repeats), names):
        encoder, load = timed(partial(encoders.load, name, spec, n_threads))
        answer, unseen = timed(partial(encoder.encode, inputs[encoder.takes]))
        _, repeated = timed(partial(encoder.encode, inputs[encoder.takes]))
        seconds[name].append((load, unseen, repeated))
        if name not in ids:
            ids[name] = encoder.ids(answer)
        if rows_of_ids:
            prepared = [encoder.prepare(row) for row in rows_of_ids]
            decoded, taken = timed(partial(encoder.decode, prepared))
            decoding[name].append(taken)
            same[name] = same.get(name, True) and _as_bytes(decoded) == texts
    n_bytes, same_text = sum(map(len, texts)), fingerprint(texts)
    rows = []
    for name in names:
        loads, unseen_s, repeated_s = zip(*seconds[name], strict=True)
        rows.append(
            {
                "corpus": Path(corpus).name, "threads": n_threads, "encoder": name, "bytes": n_bytes,
                "load_s": statistics.median(loads), "unseen_mb_s": mb_s(n_bytes, unseen_s), "repeated_mb_s": mb_s(n_bytes, repeated_s),
                "ids_equal": bool(np.array_equal(ids[name], ids[names[-1]])), "ids": len(ids[name]),
                "corpus_sha256": same_text,
            }
            | ({"decode_mb_s": mb_s(n_bytes, decoding[name]), "text_equal": same[name]} if rows_of_ids else {})
        )  # fmt: skip
    return {"rows": rows}


def _as_bytes(documents: Sequence[bytes | str]) -> list[bytes]:
    return [document.encode() if isinstance(document, str) else bytes(document) for document in documents]


def table(rows: Sequence[dict[str, Any]]) -> markdown.Table:
    """MB/s on text that is read for the first time, and for the second.

    A dash where an encoder was left out.
    """
    rows = [row for row in rows if "peak" not in row]
    names = list(dict.fromkeys(row["encoder"] for row in rows))
    found = {(row["corpus"], row["threads"], row["encoder"]): row for row in rows}
    lines = []
    for corpus, threads in dict.fromkeys((row["corpus"], row["threads"]) for row in rows):
        here = [found.get((corpus, threads, name)) for name in names]
        cells = [None if r is None else f"{r['unseen_mb_s']:.0f} / {r['repeated_mb_s']:.0f}" for r in here]
        megabytes = next(r["bytes"] for r in here if r is not None) / 1e6
        lines.append([corpus.partition(".")[0], f"{megabytes:.0f}", str(threads), *cells])
    return markdown.table(["corpus", "MB", "threads", *names], lines)


def decode_table(rows: Sequence[dict[str, Any]]) -> markdown.Table:
    """MB/s of text from its ids, one thread; of the results that have it."""
    rows = [row for row in rows if "decode_mb_s" in row]
    names = list(dict.fromkeys(row["encoder"] for row in rows))
    found = {(row["corpus"], row["encoder"]): f"{row['decode_mb_s']:.0f}" for row in rows}
    sizes = {row["corpus"]: f"{row['bytes'] / 1e6:.0f}" for row in rows}
    lines = [[name.partition(".")[0], size, *(found.get((name, n)) for n in names)] for name, size in sizes.items()]
    return markdown.table(["corpus", "MB", *names], lines)
