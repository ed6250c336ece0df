"""Does the stability of a view tell how much of what it teaches reaches the bytes?

    proxyc bench transfer RESULTS.json CORPUS... --codec words@neural --codec small@bpe=small.pxa -o bench/results/transfer.json

For every run of the published recipe (or of --recipe) in the results of `proxyc bench downstream`: how much of its view
changes when a tenth of the characters go (`bench.codecs.stability`), beside the bits per byte of the model read as bytes. Zheng et
al. (arXiv 2602.04289) find that the one predicts the other.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import statistics
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench.codecs.stability import LONGEST, measure
from bench.downstream import results
from bench.downstream.results import Result
from bench.measuring import OutputFile
from compressors import registry
from compressors.atomic import write_atomically
from compressors.base import Compressor
from compressors.corpus import Reader
from compressors.errors import FingerprintMismatch, InputError

PATH = click.Path(path_type=Path, exists=True)
_EXACT = 8  # views; of more, not every order is looked at


def rank_correlation(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Spearman's: the correlation of ranks, equal values sharing the mean of theirs. 0 if one side is all equal."""
    a, b = (_ranks(values) - (len(values) - 1) / 2 for values in (np.array(xs), np.array(ys)))
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale else 0.0


def _ranks(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    below = (values[:, None] > values).sum(1)
    return np.asarray(below + ((values[:, None] == values).sum(1) - 1) / 2)


def by_chance(xs: Sequence[float], ys: Sequence[float]) -> float:
    """The share of all orders (of 10,000 drawn ones, of more than 8 values) that correlate at least as much as that of `ys`, either way."""
    found = abs(rank_correlation(xs, ys))
    draw = np.random.RandomState(0)
    orders = (
        itertools.permutations(ys) if len(ys) <= _EXACT else (draw.permutation(np.array(ys)) for _ in range(10_000))
    )
    return statistics.mean(abs(rank_correlation(xs, list(order))) >= found - 1e-9 for order in orders)


def table(facts: dict[str, Any]) -> str:
    """Markdown: the views from the most stable on, and the correlation."""
    lines = [
        "| view | bytes per symbol | vocabulary | distance at 10 % deletion | seeds | bits per byte, read as bytes |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for r in sorted(facts["rows"], key=lambda r: r["distance"]):
        lines.append(
            f"| {r['view']} | {r['bytes_per_symbol']:.2f} | {r['vocabulary']:,} | {r['distance']:.3f} | {len(r['runs'])} | "
            f"{r['bits_per_byte']:.3f} |"
        )
    return "\n".join(lines) + (
        f"\n\nRank correlation of distance and bits per byte over {len(facts['rows'])} views: "
        f"{facts['rank_correlation']:+.2f}; {facts['by_chance']:.1%} of all orders reach that, one way or the other."
    )


def compared(
    found: Sequence[Result], recipe: str, codecs: dict[str, Compressor], texts: Sequence[str]
) -> dict[str, Any]:
    """Rows of the views in `codecs` that runs of `recipe` were trained on, means over their seeds; variants of it are left out.

    Raises `InputError` if they are fewer than three, or of several sizes or budgets; `FingerprintMismatch` if a codec did not
    make its view.
    """
    runs: dict[str, list[Result]] = {}
    unchecked: set[str] = set()
    for r in found:
        mix = r["config"]["mix"]
        if mix["recipe"] == recipe and mix["view"] in codecs and not _varied(mix):
            runs.setdefault(mix["view"], []).append(r)
            made, given = r.get("views", {}).get(mix["view"]), codecs[mix["view"]].fingerprint
            unchecked |= {r["name"]} if made is None else set()
            if made not in (None, given):
                raise FingerprintMismatch(
                    f"view {mix['view']} of {r['name']} was made by {made[:12]}, not by {given[:12]}"
                )
    kinds = {(r["size"], r["config"]["train"]["flops"]) for its in runs.values() for r in its}
    if len(kinds) > 1:
        raise InputError(f"runs of several sizes or budgets: {kinds}; give results of one")
    if len(runs) < 3:
        raise InputError(
            f"{len(runs)} views of {', '.join(codecs) or 'none'} have runs of recipe {recipe!r}; a correlation needs three or more"
        )
    if unchecked:
        warnings.warn(f"{', '.join(sorted(unchecked))} do not say what made their views: not checked", stacklevel=2)
    rows: list[dict[str, Any]] = []
    for view, its in runs.items():
        codec = codecs[view]
        measured = measure(codec, texts)
        rows.append(
            {"view": view, "runs": [r["name"] for r in its], "fingerprint": codec.fingerprint}
            | {"vocabulary": codec.vocab.size, "bytes_per_symbol": measured["bytes_per_symbol"]}
            | {"distance": measured["distance"]["deletion"]}
            | {"bits_per_byte": statistics.mean(r["evaluation"]["bits_per_byte"] for r in its)}
        )
    distances, bits = ([row[key] for row in rows] for key in ("distance", "bits_per_byte"))
    return {
        "rank_correlation": rank_correlation(distances, bits),
        "by_chance": by_chance(distances, bits),
        "rows": rows,
    }


def _varied(mix: dict[str, Any]) -> bool:
    """Whether something but the view is not as the recipe has it: that would be taken for another seed."""
    return bool(mix["phases"] or mix.get("shared_bytes") or mix.get("composed") or not mix.get("sentinels", True))


@click.command()
@click.argument("file", metavar="RESULTS", type=PATH)
@click.argument("corpus", nargs=-1, required=True, type=PATH)
@click.option("--codec", "codecs", multiple=True, metavar="VIEW@CODEC", help="What made a view of the runs.")
@click.option("--recipe", default="proxy", show_default=True, help="Of the runs that are compared.")
@click.option("--documents", "n_documents", default=200, show_default=True, help="At most so many, the first ones.")
@click.option("-o", "--output", type=OutputFile(), help="JSON to write.")
def transfer(
    file: Path, corpus: tuple[Path, ...], codecs: tuple[str, ...], recipe: str, n_documents: int, output: Path | None
) -> None:
    """Set the stability of views beside what models that were trained on them make of bytes."""
    read = (document.data.decode("utf-8", "replace")[:LONGEST] for document in Reader(list(corpus)))
    texts = list(itertools.islice((text for text in read if text), n_documents))
    facts = compared(results.read(file), recipe, dict(map(registry.parse_named, codecs)), texts)
    click.echo(table(facts))
    if output:
        facts |= {"results": file.name, "corpus": [path.name for path in corpus], "documents": len(texts)}
        facts |= {"corpus_sha256": hashlib.sha256("\0".join(texts).encode()).hexdigest()}
        write_atomically(output, (json.dumps(facts, indent=1) + "\n").encode())
