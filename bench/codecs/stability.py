"""How much of a view changes when its text changes a little, and which texts a view cannot tell
apart.

    proxyc bench stability CORPUS... -o bench/results/stability.json

A view whose symbols change wholesale at the least edit teaches a model little about bytes (Zheng et
al., arXiv 2602.04289, find that the distance at 10 % deletion predicts which views transfer).
"""

from __future__ import annotations

import itertools
import random
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

import compressors
from bench import markdown
from bench.output import as_json, output, write_json
from compressors.base import Compressor, Symbols
from compressors.cli.printing import forms, put
from compressors.cli.progress import progress
from compressors.corpus import Reader, fingerprint
from compressors.errors import InvalidConfig, MissingExtra, ProxycError
from proxylm.evaluation.perturb import SHARE, Change, deleted, recased, spaced

# Characters of a document that are looked at: some views, and edit distances of bytes, take time
LONGEST = 8_192
MORE = ("neural:policy=dense", "neural:policy=word")  # beside the default of each codec


# -- changes of a text -------------------------------------------------------------------------------------------------


def one_deleted(text: str, draw: random.Random) -> str:
    """One character dropped."""
    i = draw.randrange(len(text))
    return text[:i] + text[i + 1 :]


THROUGHOUT: dict[str, Change] = {"deletion": deleted, "white_space": spaced, "case": recased}


# -- measures ----------------------------------------------------------------------------------------------------------


def edit_distance(a: Symbols, b: Symbols) -> int:
    """Levenshtein distance of two sequences of symbols. Raises `MissingExtra` without rapidfuzz."""
    try:
        from rapidfuzz.distance import Levenshtein
    except ImportError as error:
        raise MissingExtra("edit distances need rapidfuzz: pip install 'proxyc[bench]'") from error

    return int(Levenshtein.distance(a.tolist(), b.tolist()))


def distance(a: Symbols, b: Symbols) -> float:
    """Edit distance over the length of the longer sequence: 0 equal, 1 nothing in common."""
    return edit_distance(a, b) / max(len(a), len(b), 1)


def differing(a: Symbols, b: Symbols) -> int:
    """Symbols from the first that differs until the sequences agree to their ends.

    The longer of both stretches.

    a, b: (symbols,). 0 if they are equal.
    """
    n = min(len(a), len(b))
    start = int(np.argmin(np.append(a[:n] == b[:n], False)))
    end = int(np.argmin(np.append(a[::-1][: n - start] == b[::-1][: n - start], False)))
    return max(len(a), len(b)) - start - end


def collisions(codec: Compressor, documents: Sequence[bytes], views: Sequence[Symbols]) -> dict[str, float] | None:
    """The distinct chunks of text under the symbols, and the share of them whose symbol stands for
    another one, too.

    None for codecs whose symbols do not align with bytes.
    """
    chunks: dict[int, set[bytes]] = defaultdict(set)
    for document, view in zip(documents, views, strict=True):
        spans = codec.spans(document)
        if spans is None:
            return None
        ends = np.cumsum(spans)
        for symbol, begin, end in zip(view.tolist(), ends - spans, ends, strict=True):
            chunks[symbol].add(document[begin:end])
    sharing = sum(len(found) for found in chunks.values() if len(found) > 1)
    n_chunks = sum(map(len, chunks.values()))
    return {"chunks": n_chunks, "colliding": sharing / max(1, n_chunks)}


def measure(codec: Compressor, texts: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """All measures of one codec: means over `texts`, each changed in the same way for every codec.

    Keys: `bytes_per_symbol`; `distance` for each change of `THROUGHOUT`; `one_edit`, after a single
    deletion; `collisions`, or None. Raises `MissingExtra` without rapidfuzz.
    """
    raw = [text.encode() for text in texts]
    views = [codec.encode(data) for data in raw]

    def after(name: str, change: Change) -> list[Symbols]:
        """The views of the changed texts.

        Each text has its generator, so that every codec sees the same change.
        """
        return [codec.encode(change(t, random.Random(f"{seed} {name} {i}")).encode()) for i, t in enumerate(texts)]

    row: dict[str, Any] = {"bytes_per_symbol": sum(map(len, raw)) / max(1, sum(map(len, views)))}
    row["distance"] = {
        name: statistics.mean(map(distance, views, after(name, change))) for name, change in THROUGHOUT.items()
    }
    changed = after("deleted", one_deleted)
    row["one_edit"] = {
        "deleted": {
            "distance": statistics.mean(map(distance, views, changed)),
            "symbols_changed": statistics.mean(map(edit_distance, views, changed)),
            "resynchronised_after": statistics.mean(map(differing, views, changed)),
        }
    }
    return row | {"collisions": collisions(codec, raw, views)}


# -- the command -------------------------------------------------------------------------------------------------------


def default_codecs() -> list[str]:
    """The names that need no more than themselves, and the other policies of `neural`."""
    found = []
    for name in (*compressors.names(), *MORE):
        try:
            compressors.parse(name)
        except InvalidConfig:
            continue  # needs settings
        except ProxycError as error:  # a broken plugin breaks nothing else
            click.echo(f"{name}: left out: {error}", err=True)
            continue
        found.append(name)
    return found


def table(rows: Sequence[dict[str, Any]]) -> markdown.Table:
    """A row for each view, from rows as they are kept."""
    heads = ["view", "bytes per symbol", "10 % deleted", "white space", "case", "symbols changed by one deletion"]
    more = ["resynchronised after", "colliding chunks"]
    best = {"bytes per symbol": max} | dict.fromkeys([*heads[2:], *more], min)
    return markdown.table(
        [*heads, *more], map(_cells, rows), drops=[more[0], "case", "white space", more[1]], best=best
    )


def _cells(row: dict[str, Any]) -> list[str | None]:
    """One row of `table`."""
    distance, one, found = row["distance"], row["one_edit"]["deleted"], row["collisions"]
    shares = (f"{distance[name]:.3f}" for name in ("deletion", "white_space", "case"))
    after = (f"{one['symbols_changed']:,.1f}", f"{one['resynchronised_after']:,.1f}")
    colliding = "no spans" if found is None else f"{found['colliding']:.0%}"
    return [row["codec"], f"{row['bytes_per_symbol']:.2f}", *shares, *after, colliding]


@click.command()
@click.argument("corpus", nargs=-1, required=True, type=click.Path(path_type=Path))
@output()
@click.option("--codec", "given", multiple=True, help="One more codec, e.g. bpe=FILE.")
@click.option("--only", is_flag=True, help="Only those given with --codec, not all that need no artifact.")
@click.option("--documents", "n_documents", default=200, show_default=True, help="At most this number of documents.")
@click.option("--seed", default=0, show_default=True)
@forms
def main(
    corpus: tuple[Path, ...],
    output: Path | None,
    given: tuple[str, ...],
    only: bool,
    n_documents: int,
    seed: int,
    form: str | None,
) -> None:
    """Measure how stable the symbols of every codec are."""
    found = (d.data.decode("utf-8", "replace")[:LONGEST] for d in Reader(list(corpus)))
    texts = list(itertools.islice((text for text in found if text), n_documents))
    rows, specs = [], [*([] if only else default_codecs()), *given]
    with progress("stability", len(specs), unit="codecs") as told:
        for spec in specs:
            told(0, spec)
            codec = compressors.parse(spec)
            name = spec.partition("=")[0] if spec.startswith("bpe=") else spec
            rows.append({"codec": name, "fingerprint": codec.fingerprint, **measure(codec, texts, seed)})
            told(1)
    put(form, table(rows), data=rows)
    if output:
        facts: dict[str, Any] = {"documents": len(texts), "longest_in_characters": LONGEST, "share_changed": SHARE}
        facts |= {"seed": seed, "bytes": sum(len(text.encode()) for text in texts)}
        facts |= {"corpus": [path.name for path in corpus], "corpus_sha256": fingerprint(t.encode() for t in texts)}
        write_json(output, as_json("stability", rows, **facts))
