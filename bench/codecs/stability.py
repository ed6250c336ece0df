"""How much of a view changes when its text changes a little, and which texts a view cannot tell apart.

python -m bench.codecs.stability CORPUS... -o bench/results/stability.json

A view whose symbols change wholesale at the least edit teaches a model little about bytes (Zheng et al., arXiv
2602.04289, find that the distance at 10 % deletion predicts which views transfer).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

import compressors
from bench.measuring import OutputFile, environment
from compressors.base import Compressor, Symbols
from compressors.corpus import Reader
from compressors.errors import InvalidConfig, ProxycError
from proxylm.evaluation.perturb import SHARE, Change, deleted, recased, spaced

LONGEST = 8_192  # characters of a document that are looked at: some views, and edit distances of bytes, take time
MORE = (
    "neural:policy=dense",
    "neural:policy=word",
)  # beside the default of each codec


# -- changes of a text -------------------------------------------------------------------------------------------------


def one_deleted(text: str, draw: random.Random) -> str:
    """One character dropped."""
    i = draw.randrange(len(text))
    return text[:i] + text[i + 1 :]


def one_inserted(text: str, draw: random.Random) -> str:
    """A character of the text put in at one place."""
    i = draw.randrange(len(text) + 1)
    return text[:i] + draw.choice(text) + text[i:]


def one_substituted(text: str, draw: random.Random) -> str:
    """A character replaced by another one of the text."""
    i = draw.randrange(len(text))
    others = [c for c in sorted(set(text)) if c != text[i]] or ["x"]
    return text[:i] + draw.choice(others) + text[i + 1 :]


THROUGHOUT: dict[str, Change] = {"deletion": deleted, "white_space": spaced, "case": recased}
AT_ONE_PLACE: dict[str, Change] = {"deleted": one_deleted, "inserted": one_inserted, "substituted": one_substituted}


# -- measures ----------------------------------------------------------------------------------------------------------


def edit_distance(a: Symbols, b: Symbols) -> int:
    """Levenshtein distance of two sequences of symbols."""
    from rapidfuzz.distance import Levenshtein

    return int(Levenshtein.distance(a.tolist(), b.tolist()))


def distance(a: Symbols, b: Symbols) -> float:
    """Edit distance over the length of the longer sequence: 0 equal, 1 nothing in common."""
    return edit_distance(a, b) / max(len(a), len(b), 1)


def differing(a: Symbols, b: Symbols) -> int:
    """Symbols from the first one that differs until the sequences agree to their ends; the longer of both stretches."""
    n = min(len(a), len(b))
    start = int(np.argmin(np.append(a[:n] == b[:n], False)))
    end = int(np.argmin(np.append(a[::-1][: n - start] == b[::-1][: n - start], False)))
    return max(len(a), len(b)) - start - end


def collisions(codec: Compressor, documents: Sequence[bytes], views: Sequence[Symbols]) -> dict[str, float] | None:
    """Of the distinct chunks of text under the symbols: how many share their symbol with another one, and how alike they are.

    None for codecs whose symbols do not align with bytes. The common prefix of two chunks is over the longer's length.
    """
    chunks: dict[int, set[bytes]] = defaultdict(set)
    for document, view in zip(documents, views, strict=True):
        spans = codec.spans(document)
        if spans is None:
            return None
        ends = np.cumsum(spans)
        for symbol, begin, end in zip(view.tolist(), ends - spans, ends, strict=True):
            chunks[symbol].add(document[begin:end])
    shared = [sorted(found) for found in chunks.values() if len(found) > 1]
    pairs = [pair for found in shared for pair in itertools.pairwise(found)]  # neighbours in sorted order: the likest
    prefixes = [common_prefix(a, b) / max(len(a), len(b)) for a, b in pairs]
    return {
        "chunks": sum(map(len, chunks.values())),
        "colliding": sum(map(len, shared)) / max(1, sum(map(len, chunks.values()))),
        "common_prefix": statistics.mean(prefixes) if prefixes else 1.0,
        "common_prefix_over_0.8": sum(p >= 0.8 for p in prefixes) / len(prefixes) if prefixes else 1.0,
    }


def common_prefix(a: bytes, b: bytes) -> int:
    """Bytes in which both begin alike."""
    return next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def measure(codec: Compressor, texts: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """All measures of one codec: means over `texts`, each changed in the same way for every codec."""
    raw = [text.encode() for text in texts]
    views = [codec.encode(data) for data in raw]

    def after(name: str, change: Change) -> list[Symbols]:
        return [codec.encode(change(t, random.Random(f"{seed} {name} {i}")).encode()) for i, t in enumerate(texts)]

    row: dict[str, Any] = {"bytes_per_symbol": sum(map(len, raw)) / max(1, sum(map(len, views)))}
    row["distance"] = {
        name: statistics.mean(map(distance, views, after(name, change))) for name, change in THROUGHOUT.items()
    }
    row["one_edit"] = {}
    for name, change in AT_ONE_PLACE.items():
        changed = after(name, change)
        stretches = sorted(map(differing, views, changed))
        row["one_edit"][name] = {
            "distance": statistics.mean(map(distance, views, changed)),
            "symbols_changed": statistics.mean(map(edit_distance, views, changed)),
            "resynchronised_after": statistics.mean(stretches),
            "resynchronised_after_median": statistics.median(stretches),
            "resynchronised_after_p90": stretches[9 * len(stretches) // 10],
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


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as they are kept, as a Markdown table; README.md has it of the results."""
    lines = [
        "| view | bytes per symbol | 10 % deleted | white space | case | symbols changed by one deletion | resynchronised after "
        "| colliding chunks |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for r in rows:
        d, one, c = r["distance"], r["one_edit"]["deleted"], r["collisions"]
        lines.append(
            f"| {r['codec']} | {r['bytes_per_symbol']:.2f} | {d['deletion']:.3f} | {d['white_space']:.3f} | {d['case']:.3f} | "
            f"{one['symbols_changed']:,.1f} | {one['resynchronised_after']:,.1f} | "
            f"{'no spans' if c is None else format(c['colliding'], '.0%')} |"
        )
    return "\n".join(lines)


@click.command()
@click.argument("corpus", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=OutputFile(), help="JSON to write.")
@click.option("--codec", "given", multiple=True, help="One more codec, e.g. bpe=FILE.")
@click.option("--only", is_flag=True, help="Only those given with --codec, not all that need no artifact.")
@click.option("--documents", "n_documents", default=200, show_default=True, help="At most so many, the first ones.")
@click.option("--seed", default=0, show_default=True)
def main(
    corpus: tuple[Path, ...], output: Path | None, given: tuple[str, ...], only: bool, n_documents: int, seed: int
) -> None:
    """Measure how stable the symbols of every codec are."""
    found = (d.data.decode("utf-8", "replace")[:LONGEST] for d in Reader(list(corpus)))
    texts = list(itertools.islice((text for text in found if text), n_documents))
    rows = []
    for spec in (*([] if only else default_codecs()), *given):
        codec = compressors.parse(spec)
        name = spec.partition("=")[0] if spec.startswith("bpe=") else spec
        rows.append({"codec": name, "fingerprint": codec.fingerprint, **measure(codec, texts, seed)})
        click.echo(table(rows[-1:]).splitlines()[-1], err=True)
    click.echo(table(rows))
    if output:
        facts: dict[str, Any] = {"documents": len(texts), "longest_in_characters": LONGEST, "share_changed": SHARE}
        facts |= {"seed": seed, "bytes": sum(len(text.encode()) for text in texts)}
        facts |= {"corpus": [path.name for path in corpus], "environment": environment()}
        facts |= {"corpus_sha256": hashlib.sha256("\0".join(texts).encode()).hexdigest(), "rows": rows}
        output.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
