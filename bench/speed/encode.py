"""BPE encoding: ours beside its peers on the same text, in one run, with the ids compared.

    proxyc bench encode speed TOKENIZER.json CORPUS... -o bench/results/encode_speed.json
    proxyc bench encode worst TOKENIZER.json CORPUS -o bench/results/encode_worst.json

Every measurement runs in a process of its own, bound to as many cores as it has threads. "unseen": the first time an
encoder reads the text, its tables made and its cache as its constructor leaves it; "repeated": the second time.
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
from bench.measuring import documents, fingerprint, mb_s, timed
from bench.output import as_json, output, write_json

PATH = click.Path(exists=True, path_type=Path)
LINE = 50 * 10**6  # bytes of the long line


@click.group()
def encode() -> None:
    """Speed, worst cases and memory of BPE encoding."""


# -- speed and memory --------------------------------------------------------------------------------------------------


@encode.command()
@click.argument("tokenizer", type=PATH)
@click.argument("corpus", nargs=-1, required=True, type=PATH)
@click.option("--repeats", default=5, show_default=True)
@click.option("--skip", multiple=True, help="An encoder to leave out, where it would take hours.")
@output()
def speed(tokenizer: Path, corpus: tuple[Path, ...], repeats: int, skip: tuple[str, ...], output: Path | None) -> None:
    """MB/s of the encoders on each corpus: one thread and two, unseen and repeated, and peak memory."""
    rows: list[dict[str, Any]] = []
    for path, threads in itertools.product(corpus, (1, 2)):
        asked: dict[str, Any] = {"tokenizer": str(tokenizer), "corpus": str(path), "repeats": repeats, "skip": skip}
        found = isolated.answer("bench.speed.encode:child_speed", threads=threads, n_threads=threads, **asked)
        if isinstance(found, str):
            raise click.ClickException(f"{path.name}, {threads} threads: {found}")
        rows += found["rows"]
        click.echo(speed_table(found["rows"]).splitlines()[-1], err=True)
    for name in sorted(set(encoders.versions()) - set(skip)):
        asked = {"tokenizer": str(tokenizer), "corpus": str(corpus[0]), "name": name}
        peak = isolated.answer("bench.speed.encode:child_memory", threads=1, **asked)
        rows.append({"encoder": name, "corpus": corpus[0].name, "peak": peak})
        click.echo(f"{corpus[0].name} {name}: peak memory above the documents: {peak}", err=True)
    click.echo(speed_table(rows))
    if output:
        write_json(output, as_json("encode speed", rows, encoders=encoders.versions(), repeats=repeats))


def child_speed(tokenizer: str, corpus: str, n_threads: int, repeats: int, skip: list[str]) -> dict[str, Any]:
    """One corpus and number of threads; encoders take turns."""
    spec, texts = Path(tokenizer).read_text(), documents([Path(corpus)])
    inputs: dict[type, list[Any]] = {bytes: texts, str: [text.decode() for text in texts]}
    names, ids = [name for name in encoders.versions() if name not in skip], dict[str, Any]()
    seconds: dict[str, list[tuple[float, float, float]]] = {name: [] for name in names}
    for _, name in itertools.product(range(repeats), names):
        encoder, load = timed(partial(encoders.load, name, spec, n_threads))
        answer, unseen = timed(partial(encoder.encode, inputs[encoder.takes]))
        _, repeated = timed(partial(encoder.encode, inputs[encoder.takes]))
        seconds[name].append((load, unseen, repeated))
        if name not in ids:
            ids[name] = encoder.ids(answer)
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
        )  # fmt: skip
    return {"rows": rows}


def child_memory(tokenizer: str, corpus: str, name: str) -> dict[str, float]:
    """Peak resident memory of one encoder, above what the process has with the documents in it."""
    texts: list[Any] = documents([Path(corpus)])
    if name not in ("proxyc", "gigatoken"):
        texts = [text.decode() for text in texts]
    before = isolated.forget_peak() or 0.0
    encoder = encoders.load(name, Path(tokenizer).read_text(), 1)
    loaded = isolated.peak_mb() or 0.0
    encoder.encode(texts)
    return {"load_mb": loaded - before, "encode_mb": (isolated.peak_mb() or 0.0) - loaded}


def speed_table(rows: Sequence[dict[str, Any]]) -> str:
    """MB/s on text that is read for the first time, and for the second; a dash where an encoder was left out."""
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


# -- worst cases -------------------------------------------------------------------------------------------------------


def _worst_cases(corpus: Path) -> dict[str, str]:
    """Texts that encoders have been known to fail on. All are valid UTF-8, since some peers take nothing else."""
    rng = np.random.default_rng(0)
    line = b" ".join(documents([corpus], LINE)).replace(b"\n", b" ").replace(b"\r", b" ")[:LINE]
    return {
        "one letter": "a" * 10**6,
        "one sign": "^" * 10**6,
        "spaces": " " * 10**6,
        "digits": "".join(map(str, rng.integers(0, 10, 10**6))),
        "random letters, no space": "".join(map(chr, rng.integers(97, 123, 10**6))),
        "random bytes as Latin-1": rng.bytes(10**6).decode("latin-1"),
        "one long line": line.decode(errors="ignore"),
    }


@encode.command()
@click.argument("tokenizer", type=PATH)
@click.argument("corpus", type=PATH)
@click.option("--timeout", default=60.0, show_default=True, help="Seconds after which an encoder is given up.")
@output()
def worst(tokenizer: Path, corpus: Path, timeout: float, output: Path | None) -> None:
    """Seconds for texts that hurt, all of a text and half of it: a ratio near 2 is linear time."""
    rows = []
    for case, name in itertools.product(_worst_cases(corpus), encoders.versions()):
        asked = {"tokenizer": str(tokenizer), "corpus": str(corpus), "case": case, "name": name}
        found = isolated.answer("bench.speed.encode:child_worst", threads=1, timeout=timeout, **asked)
        rows.append({"case": case, "encoder": name, "outcome": found})
        text = found if isinstance(found, str) else f"{found['s']:.3f} s, {found['ratio']:.2f} times half of it"
        click.echo(f"{case:26} {name:12} {text}", err=True)
    click.echo(worst_table(rows))
    if output:
        write_json(output, as_json("encode worst", rows, encoders=encoders.versions()))


def child_worst(tokenizer: str, corpus: str, case: str, name: str) -> dict[str, float]:
    """One text, one encoder: half of the text first, then all of it with a new encoder."""
    text, seconds = _worst_cases(Path(corpus))[case], []
    for part in (text[: len(text) // 2], text):
        encoder = encoders.load(name, Path(tokenizer).read_text(), 1)
        document = part.encode() if encoder.takes is bytes else part
        seconds.append(timed(partial(encoder.encode, [document]))[1])
    return {"s": seconds[1], "ratio": seconds[1] / seconds[0]}


def worst_table(rows: Sequence[dict[str, Any]]) -> str:
    """Seconds; what happened where an encoder did not finish."""
    names = list(dict.fromkeys(row["encoder"] for row in rows))
    found = {(row["case"], row["encoder"]): row["outcome"] for row in rows}

    def cell(outcome: Any) -> str:
        return outcome.partition(" (")[0] if isinstance(outcome, str) else f"{outcome['s']:.3f}"

    cases = dict.fromkeys(row["case"] for row in rows)
    return markdown.table(["text", *names], ([case, *(cell(found[case, name]) for name in names)] for case in cases))
