"""Are the ids of `bpe` those of `tokenizers`, string by string? On fuzzed strings, and on whole corpora.

python -m tests.extended.fuzz_bpe strings --number 1000000 [TOKENIZER.json] -o bench/results/fuzz_bpe.json
python -m tests.extended.fuzz_bpe documents TOKENIZER.json CORPUS... -o bench/results/fuzz_documents.json

Each text is also decoded again, encoded by itself and in a batch, and by two threads. Exit code 1 if anything differs.
"""

from __future__ import annotations

import itertools
import json
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench.output import as_json, output, write_json
from compressors.artifact import Artifact
from compressors.bpe import patterns, train
from compressors.bpe.codec import BPE
from compressors.corpus import Reader
from tests.extended import fuzz_texts

Spec = dict[str, Any]
KINDS = ("plain", "added tokens", "added tokens, ignore_merges")


class Pair:
    """Our codec and the tokenizer of Hugging Face for one `tokenizer.json`."""

    def __init__(self, spec: Spec) -> None:
        from tokenizers import Tokenizer

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "tokenizer.json")
            path.write_text(json.dumps(spec))
            self.ours, self.theirs = BPE.from_tokenizer_json(path), Tokenizer.from_file(str(path))

    def differing(self, texts: Sequence[str]) -> list[str]:
        """The texts that are not encoded as by `tokenizers`, or not the same in every way of calling."""
        data = [text.encode() for text in texts]
        wanted = [found.ids for found in self.theirs.encode_batch_fast(list(texts))]
        batch, threaded = (self.ours.encode_batch(data, threads=threads) for threads in (1, 2))
        found = []
        for i, text in enumerate(texts):
            same = batch[i].tolist() == threaded[i].tolist() == self.ours.encode(data[i]).tolist() == wanted[i]
            if not same or self.ours.decode(batch[i]) != data[i]:
                found.append(text)
        return found


def artifact_of(spec: Spec) -> Artifact:
    """What `proxyc convert` makes of a `tokenizer.json`."""
    return Artifact(
        codec="bpe", settings={}, arrays={"tokenizer": np.frombuffer(json.dumps(spec).encode(), np.uint8)}, card={}
    )


@dataclass
class Row:
    """What came out of one comparison."""

    what: str
    texts: int = 0
    n_bytes: int = 0
    differ: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, pair: Pair, texts: Sequence[str]) -> None:
        bad = pair.differing(texts)
        self.texts += len(texts)
        self.n_bytes += sum(len(text.encode()) for text in texts)
        self.differ += len(bad)
        self.examples = sorted([*self.examples, *bad], key=len)[:5]  # the shortest say most


def ordinary_texts(corpus: Path | None = None) -> list[str]:
    """Text to mix in: of `corpus`, or of a package of the standard library, which is always there."""
    reader = Reader([corpus]) if corpus else Reader([Path(sysconfig.get_path("stdlib"), "email")], pattern="*.py")
    return [document.data.decode("utf-8", "ignore") for document in itertools.islice(reader, 2000)]


def crossing_model(seed: int, snippets: Sequence[str]) -> Spec:
    """A BPE fitted on such strings uncut: its tokens go over every place where a pattern cuts, so a wrong cut shows."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=6000, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(fuzz_texts.strings(seed, snippets).take(8000), trainer)
    return train.in_rank_order(json.loads(tokenizer.to_str()))


def variant(spec: Spec, pattern: str, kind: str) -> Spec:
    """`spec` cut by `pattern`, with or without added tokens."""
    stages = patterns.pre_tokenizers(patterns.by_name(pattern))
    model = spec["model"] | {"ignore_merges": "ignore_merges" in kind}
    spec = spec | {"model": model, "pre_tokenizer": {"type": "Sequence", "pretokenizers": stages}, "added_tokens": []}
    if kind == "plain":
        return spec
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "special": False}
    added, fresh = [], itertools.count(len(model["vocab"]))
    for content in fuzz_texts.ADDED:
        symbol = model["vocab"].get(content)
        symbol = next(fresh) if symbol is None else symbol
        added.append({"id": symbol, "content": content, "normalized": "x" in content} | flags)
    return spec | {"added_tokens": added}


def fuzz(models: dict[str, Spec], n_strings: int, seed: int, snippets: Sequence[str]) -> Iterator[Row]:
    """Compare `n_strings` strings, shared out over models, patterns and kinds; one row for each."""
    cases = [(name, pattern, kind) for name in models for pattern in patterns.PATTERNS for kind in KINDS]
    for number, (name, pattern, kind) in enumerate(cases):
        pair, row = Pair(variant(models[name], pattern, kind)), Row(f"{name}, {pattern}, {kind}")
        source = fuzz_texts.strings(seed * len(cases) + number, snippets)
        share = (n_strings + number) // len(cases)
        while row.texts < share:
            row.add(pair, source.take(min(share - row.texts, 5000)))
        yield row


def compare(pair: Pair, paths: Sequence[Path]) -> Iterator[Row]:
    """Compare all documents of some corpora; one row for each."""
    for path in paths:
        row, documents = Row(path.name), iter(Reader([path]))
        while batch := list(itertools.islice(documents, 64)):
            row.add(pair, [document.data.decode() for document in batch])
        yield row


def _report(rows: Iterator[Row], output: Path | None, **facts: Any) -> None:
    began, kept = time.perf_counter(), []
    for row in rows:
        kept.append(row)
        seen = [text[:80] for text in row.examples]
        click.echo(f"{row.what:55} {row.texts:9,} texts {row.n_bytes:12,} bytes {row.differ} differ {seen or ''}")
        sys.stdout.flush()
    texts, n_bytes, differ = (sum(getattr(row, name) for row in kept) for name in ("texts", "n_bytes", "differ"))
    click.echo(f"{texts:,} texts, {n_bytes:,} bytes, {differ} differ, {time.perf_counter() - began:.0f} s")
    if output:
        facts |= {"texts": texts, "n_bytes": n_bytes, "differ": differ}
        write_json(output, as_json("fuzz", [vars(row) for row in kept], **facts))
    sys.exit(bool(differ))


@click.group()
def main() -> None:
    """Compare the ids of `bpe` with those of `tokenizers`."""


@main.command()
@click.argument("tokenizer", required=False, type=click.Path(exists=True, path_type=Path))
@click.option("--number", default=1_000_000, show_default=True, help="Strings in all.")
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--snippets", type=click.Path(exists=True, path_type=Path), help="Corpus for mixing in; default: our own."
)
@output()
def strings(tokenizer: Path | None, number: int, seed: int, snippets: Path | None, output: Path | None) -> None:
    """Fuzzed strings, every pattern, a model fitted here and that of TOKENIZER, with and without added tokens."""
    ordinary = ordinary_texts(snippets)
    models = {"crossing": crossing_model(seed, ordinary)}
    if tokenizer:
        models[tokenizer.name] = json.loads(tokenizer.read_bytes())
    _report(fuzz(models, number, seed, ordinary), output, seed=seed)


@main.command()
@click.argument("tokenizer", type=click.Path(exists=True, path_type=Path))
@click.argument("corpus", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@output()
def documents(tokenizer: Path, corpus: tuple[Path, ...], output: Path | None) -> None:
    """Every document of every CORPUS."""
    _report(compare(Pair(json.loads(tokenizer.read_bytes())), corpus), output, tokenizer=tokenizer.name)


if __name__ == "__main__":
    main()
