"""Are the ids of popular tokenizers those of `tokenizers`, and of any that a grammar makes? And how fast do they come?

python -m tests.extended.fuzz_families families --number 100000 -o docs/reference/tokenizers.md
python -m tests.extended.fuzz_families grammar --number 2000

The first fills the table in the page. Exit code 1 if an id differs.
"""

from __future__ import annotations

import json
import random
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from compressors import InvalidConfig, SlowPath
from compressors.bpe import lossless
from compressors.bpe.codec import BPE
from tests import families
from tests.extended import fuzz_bpe, fuzz_texts
from tests.extended.fuzz_bpe import Pair, Row, Spec

BEGIN, END = "<!-- families: begin -->", "<!-- families: end -->"


class strings:  # noqa: N801 (as the function of fuzz_texts)
    """As `fuzz_texts.strings`, brought into the form that the tokenizer normalises text to."""

    def __init__(self, pair: Pair, seed: int, snippets: Sequence[str]) -> None:
        self._source, self._normalizer = fuzz_texts.strings(seed, snippets), pair.theirs.normalizer

    def take(self, n: int) -> list[str]:
        texts = self._source.take(n)
        return texts if self._normalizer is None else [self._normalizer.normalize_str(text) for text in texts]


def compare(name: str, model: Spec, number: int, seed: int, snippets: Sequence[str]) -> Row:
    """Compare `number` strings for a family over the vocabulary of `model`."""
    pair, row = Pair(families.spec(name, model)), Row(name)
    source = strings(pair, seed, snippets)
    while row.texts < number:
        row.add(pair, source.take(min(number - row.texts, 5000)))
    return row


def speed(name: str, model: Spec, documents: Sequence[bytes]) -> tuple[str, float]:
    """("kernel" or "library", MB of `documents` encoded in a second of CPU time, the best of three)."""
    codec, best = BPE(artifact=fuzz_bpe.artifact_of(families.spec(name, model))), 0.0
    way = "library" if codec.library_versions() else "kernel"
    for _ in range(3):
        began = time.process_time()
        codec.encode_batch(documents)
        best = max(best, sum(map(len, documents)) / 1e6 / (time.process_time() - began))
    return way, best


@click.group()
def main() -> None:
    """Compare the ids of popular and of made-up tokenizers with those of `tokenizers`."""


@main.command("families")
@click.option("--number", default=100_000, show_default=True, help="Strings for each family.")
@click.option("--seed", default=0, show_default=True)
@click.option("--text", type=click.Path(exists=True, path_type=Path), help="Corpus for the speed; default: our own.")
@click.option("-o", "--output", type=click.Path(exists=True, path_type=Path), help="Page whose table is filled.")
def all_families(number: int, seed: int, text: Path | None, output: Path | None) -> None:
    """Every family, over a vocabulary fitted here; the speed with that of our codec."""
    snippets = fuzz_bpe.ordinary_texts()
    model, own = fuzz_bpe.crossing_model(seed, snippets)["model"], BPE()._spec["model"]
    documents = [part.encode() for part in (fuzz_bpe.ordinary_texts(text) if text else snippets * 8)]
    lines = ["| family | taken | strings | ids that differ | MB/s |", "|---|---|---:|---:|---:|"]
    differ = 0
    for i, name in enumerate(families.FAMILIES):
        row = compare(name, model, number, seed * 100 + i, snippets)
        way, rate = speed(name, own, documents)
        lines.append(f"| {name} | {way} | {row.texts:,} | {row.differ} | {rate:.0f} |")
        click.echo(lines[-1] + ("" if not row.differ else repr(row.examples)))
        differ += row.differ
    if output:
        before, _, rest = output.read_text().partition(BEGIN)
        output.write_text(before + "\n".join([BEGIN, *lines, END]) + rest.partition(END)[2])
    sys.exit(bool(differ))


# -- tokenizers made by a grammar ----------------------------------------------------------------------------------------

_SETS = [r"\p{L}", r"\p{N}", r"\p{P}", r"\p{Lu}", r"\p{M}", r"\s", r"\S", r"[\r\n]", r"[^\s\p{L}]", r"[a-z&&[^e]]", "a", "'", " ",
         r"[\p{L}\p{M}]", r"\p{Han}", "[0-9]", r"[^\r\n]", r"\d", "."]  # fmt: skip
_COUNTS = ["", "", "+", "*", "?", "{1,3}", "{2}", "{1,}", "++", "?+", "*+", "+?", "??", "{0,2}"]
_TAILS = ["", "", "", r"(?!\S)", r"(?=\p{L})", "$", r"(?!\p{N})"]


def expression(rng: random.Random) -> str:
    """An expression of the kinds that pre-tokenizers are made of, and some that no table can express."""

    def atom(depth: int) -> str:
        kind = rng.random()
        if kind < 0.1:
            return "(?i:'s|'t|'re)" + rng.choice(["", "?"])
        if kind < 0.2 and depth:
            return f"(?:{alternatives(depth - 1)})" + rng.choice(["", "?", "+", "{1,2}"])
        return rng.choice(_SETS) + rng.choice(_COUNTS)

    def alternatives(depth: int) -> str:
        return "|".join("".join(atom(depth) for _ in range(rng.randrange(1, 4))) for _ in range(rng.randrange(1, 3)))

    count = rng.randrange(1, 5)
    return "|".join(alternatives(1) + rng.choice(_TAILS) for _ in range(count))


def stages(rng: random.Random) -> list[Spec]:
    """A sequence of pre-tokenizers with one ByteLevel."""

    def one() -> Spec:
        kind = rng.random()
        if kind < 0.15:
            return {"type": "Digits", "individual_digits": rng.random() < 0.5}
        behavior = rng.choice(["Isolated", "Isolated", "Contiguous", "MergedWithPrevious", "Removed"])
        if kind < 0.3:
            return {"type": "Punctuation", "behavior": behavior}
        pattern = {"Regex": expression(rng)} if rng.random() < 0.9 else {"String": rng.choice([" ", "e.", "\n"])}
        return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": rng.random() < 0.5}

    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": rng.random() < 0.3}
    return [*(one() for _ in range(rng.randrange(0, 3))), level, *(one() for _ in range(rng.choice([0, 0, 0, 1])))]


def grammar(model: Spec, number: int, seed: int, snippets: Sequence[str], n_strings: int = 50) -> dict[str, int]:
    """Make `number` tokenizers and compare strings; how many were refused, and encoded by whom. Raises on a difference."""
    rng, counts = random.Random(seed), {"refused": 0, "kernel": 0, "library": 0, "panics": 0}
    for i in range(number):
        spec = families.spec("GLM-4, DBRX", model) | {
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": stages(rng)}
        }
        try:
            lossless.check(spec)
        except InvalidConfig:
            counts["refused"] += 1
            continue
        pair, source = Pair(spec), fuzz_texts.strings(seed + i, snippets)
        counts["library" if pair.ours.library_versions() else "kernel"] += 1
        try:
            bad = pair.differing(source.take(n_strings))
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # of `tokenizers`, on what it cannot match in time
                raise
            counts["panics"] += 1
            continue
        assert not bad, (json.dumps(spec["pre_tokenizer"], ensure_ascii=False), min(bad, key=len))
    return counts


@main.command("grammar")
@click.option("--number", default=2000, show_default=True, help="Tokenizers.")
@click.option("--seed", default=0, show_default=True)
def by_grammar(**options: Any) -> None:
    """Tokenizers whose pre-tokenizers are made by a grammar."""
    warnings.simplefilter("ignore", SlowPath)
    snippets = fuzz_bpe.ordinary_texts()
    click.echo(grammar(fuzz_bpe.crossing_model(0, snippets)["model"], snippets=snippets, **options))


if __name__ == "__main__":
    main()
