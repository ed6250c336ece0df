"""BPE encoding: ours beside its peers on the same text, in one run, with the ids compared.

python -m bench.speed.encode speed TOKENIZER.json CORPUS... -o bench/results/encode_speed.json
python -m bench.speed.encode worst TOKENIZER.json CORPUS -o bench/results/encode_worst.json
python -m bench.speed.encode constants TOKENIZER.json TRAINING_CORPUS
python -m bench.speed.encode corpus CODEC CORPUS -o bench/results/encode_corpus.json

Every measurement runs in a process of its own, bound to as many cores as it has threads. "unseen": the first time an
encoder reads the text, its tables made and its cache as its constructor leaves it; "repeated": the second time.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np

import compressors
from bench import isolated
from bench.codecs import encoders
from bench.measuring import OutputFile, environment
from compressors.atomic import write_atomically
from compressors.base import digest
from compressors.corpus import Reader, take

_in_child = partial(isolated.answer, "bench.speed.encode")


def _documents(paths: tuple[Path, ...], megabytes: float | None = None) -> list[bytes]:
    """All documents, or the first `megabytes` of them."""
    n_bytes = None if megabytes is None else int(megabytes * 1e6)
    return [document.data for document in take(Reader(paths), n_bytes)]


@click.group()
def main() -> None:
    """Speed, worst cases, memory and constants of BPE encoding."""


@main.command()
@click.argument("tokenizer", type=click.Path(exists=True, path_type=Path))
@click.argument("corpus", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", type=OutputFile(), help="JSON to write.")
@click.option("--repeats", default=5, show_default=True)
@click.option("--skip", multiple=True, help="An encoder to leave out, where it would take hours.")
def speed(tokenizer: Path, corpus: tuple[Path, ...], output: Path | None, repeats: int, skip: tuple[str, ...]) -> None:
    """MB/s of the encoders on each corpus: one thread and two, unseen and repeated, and peak memory."""
    rows: list[dict[str, Any]] = []
    for path, threads in itertools.product(corpus, (1, 2)):
        found = _in_child("child-speed", str(tokenizer), str(path), str(threads), str(repeats), *skip, threads=threads)
        if isinstance(found, str):
            raise click.ClickException(f"{path.name}, {threads} threads: {found}")
        rows += found["rows"]
        for row in found["rows"]:
            click.echo(
                f"{row['corpus']:24} {threads} {row['encoder']:12} unseen {row['unseen_mb_s']:7.1f} repeated "
                f"{row['repeated_mb_s']:7.1f} MB/s, made in {row['load_s']:.2f} s, ids equal: {row['ids_equal']}"
            )
    for path, name in itertools.product(corpus[:1], sorted(set(encoders.versions()) - set(skip))):
        found = _in_child("child-memory", str(tokenizer), str(path), name, threads=1)
        rows.append({"encoder": name, "corpus": path.name, "peak": found})
        click.echo(f"{path.name:24}   {name:12} peak memory above the documents: {found}")
    if output:
        facts = {"encoders": encoders.versions(), "environment": environment(), "repeats": repeats}
        output.write_text(json.dumps(facts | {"rows": rows}, indent=1) + "\n")


@main.command("child-speed", hidden=True)
@click.argument("tokenizer", type=click.Path(path_type=Path))
@click.argument("corpus", type=click.Path(path_type=Path))
@click.argument("threads", type=int)
@click.argument("repeats", type=int)
@click.argument("skip", nargs=-1)
def child_speed(tokenizer: Path, corpus: Path, threads: int, repeats: int, skip: tuple[str, ...]) -> None:
    """One corpus and number of threads; encoders take turns."""
    spec, documents = tokenizer.read_text(), _documents((corpus,))
    n_bytes = sum(map(len, documents))
    inputs: dict[type, list[Any]] = {bytes: documents, str: [document.decode() for document in documents]}
    names, ids = [name for name in encoders.versions() if name not in skip], dict[str, Any]()
    seconds: dict[str, list[list[float]]] = {}
    for _, name in itertools.product(range(repeats), names):
        times = [time.perf_counter()]
        encoder = encoders.load(name, spec, threads)
        for _ in range(2):
            began = time.perf_counter()
            answer = encoder.encode(inputs[encoder.takes])
            times.append(time.perf_counter() - began)
            times[0] = began - times[0] if len(times) == 2 else times[0]
        seconds.setdefault(name, []).append(times)
        if name not in ids:
            ids[name] = encoder.ids(answer)
    rows = []
    for name in names:
        load, unseen, repeated = (statistics.median(column) for column in zip(*seconds[name], strict=True))
        rows.append(
            {
                "corpus": corpus.name, "threads": threads, "encoder": name, "bytes": n_bytes, "load_s": load,
                "unseen_mb_s": n_bytes / unseen / 1e6, "repeated_mb_s": n_bytes / repeated / 1e6,
                "ids_equal": bool(np.array_equal(ids[name], ids[names[-1]])), "ids": len(ids[name]),
                "corpus_digest": digest([document.hex() for document in documents[:100]]),
            }
        )  # fmt: skip
    click.echo(json.dumps({"rows": rows}))


@main.command("child-memory", hidden=True)
@click.argument("tokenizer", type=click.Path(path_type=Path))
@click.argument("corpus", type=click.Path(path_type=Path))
@click.argument("name")
def child_memory(tokenizer: Path, corpus: Path, name: str) -> None:
    """Peak resident memory of one encoder, above what the process has with the documents in it."""
    documents: list[Any] = _documents((corpus,))
    if name not in ("proxyc", "gigatoken"):
        documents = [document.decode() for document in documents]
    before = isolated.forget_peak() or 0.0
    encoder = encoders.load(name, tokenizer.read_text(), 1)
    loaded = isolated.peak_mb() or 0.0
    encoder.encode(documents)
    click.echo(json.dumps({"load_mb": loaded - before, "encode_mb": (isolated.peak_mb() or 0.0) - loaded}))


def _worst_cases(corpus: Path) -> dict[str, str]:
    """Texts that encoders have been known to fail on. All are valid UTF-8, since some peers take nothing else."""
    rng = np.random.default_rng(0)
    line = b" ".join(_documents((corpus,), 50)).replace(b"\n", b" ").replace(b"\r", b" ")[: 50 * 10**6]
    return {
        "one letter": "a" * 10**6,
        "one sign": "^" * 10**6,
        "spaces": " " * 10**6,
        "digits": "".join(map(str, rng.integers(0, 10, 10**6))),
        "random letters, no space": "".join(map(chr, rng.integers(97, 123, 10**6))),
        "random bytes as Latin-1": rng.bytes(10**6).decode("latin-1"),
        "one long line": line.decode(errors="ignore"),
    }


@main.command()
@click.argument("tokenizer", type=click.Path(exists=True, path_type=Path))
@click.argument("corpus", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", type=OutputFile(), help="JSON to write.")
@click.option("--timeout", default=60.0, show_default=True, help="Seconds after which an encoder is given up.")
def worst(tokenizer: Path, corpus: Path, output: Path | None, timeout: float) -> None:
    """Seconds for texts that hurt, all of a text and half of it: a ratio near 2 is linear time."""
    rows = []
    for case, name in itertools.product(_worst_cases(corpus), encoders.versions()):
        found = _in_child("child-worst", str(tokenizer), str(corpus), case, name, threads=1, timeout=timeout)
        rows.append({"case": case, "encoder": name, "outcome": found})
        text = found if isinstance(found, str) else f"{found['s']:.3f} s, {found['ratio']:.2f} times half of it"
        click.echo(f"{case:26} {name:12} {text}")
    if output:
        facts = {"encoders": encoders.versions(), "environment": environment()}
        output.write_text(json.dumps(facts | {"rows": rows}, indent=1) + "\n")


@main.command("child-worst", hidden=True)
@click.argument("tokenizer", type=click.Path(path_type=Path))
@click.argument("corpus", type=click.Path(path_type=Path))
@click.argument("case")
@click.argument("name")
def child_worst(tokenizer: Path, corpus: Path, case: str, name: str) -> None:
    """One text, one encoder: half of the text first, then all of it with a new encoder."""
    text, seconds = _worst_cases(corpus)[case], []
    for part in (text[: len(text) // 2], text):
        encoder = encoders.load(name, tokenizer.read_text(), 1)
        document = part.encode() if encoder.takes is bytes else part
        began = time.perf_counter()
        encoder.encode([document])
        seconds.append(time.perf_counter() - began)
    click.echo(json.dumps({"s": seconds[1], "ratio": seconds[1] / seconds[0]}))


@main.command()
@click.argument("tokenizer", type=click.Path(exists=True, path_type=Path))
@click.argument("corpus", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--megabytes", default=40.0, show_default=True, help="How much of the corpus is used.")
@click.option("--repeats", default=5, show_default=True)
def constants(tokenizer: Path, corpus: tuple[Path, ...], megabytes: float, repeats: int) -> None:
    """What the sizes in `compressors.bpe.encoder` do to the speed. Give training text, never what `speed` is run on."""
    from compressors.bpe import encoder

    spec, documents = tokenizer.read_text(), _documents(corpus, megabytes)
    n_bytes = sum(map(len, documents))
    seconds: dict[tuple[int, int, int], list[float]] = {}
    chosen = (encoder.BUCKETS, encoder.CHUNK)
    for _, buckets, chunk, threads in itertools.product(range(repeats), range(14, 20), (16, 18, 20), (1, 2)):
        encoder.BUCKETS, encoder.CHUNK = 1 << buckets, 1 << chunk
        loaded = encoders.load("proxyc", spec, threads)
        began = time.perf_counter()
        loaded.encode(documents)
        seconds.setdefault((buckets, chunk, threads), []).append(time.perf_counter() - began)
    for (buckets, chunk, threads), times in seconds.items():
        speed, mark = n_bytes / statistics.median(times) / 1e6, "  <-" if (1 << buckets, 1 << chunk) == chosen else ""
        click.echo(f"BUCKETS 2^{buckets} CHUNK 2^{chunk} threads {threads}: {speed:6.1f} MB/s unseen{mark}")


@main.command()
@click.argument("codec")
@click.argument("corpus", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--output", type=OutputFile(), help="JSON to write.")
def corpus(codec: str, corpus: Path, output: Path | None) -> None:
    """`proxyc encode` of a whole corpus with one thread and two, and how long its parts take alone."""
    rows: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for threads in (1, 2):
            command = [sys.executable, "-m", "proxylm.cli.main", "encode", str(corpus), "-o", f"{folder}/{threads}"]
            began = time.perf_counter()
            subprocess.run([*command, "--view", f"view@{codec}", "-T", str(threads), "-q"], check=True)
            rows[f"proxyc encode -T {threads}"] = time.perf_counter() - began
        began = time.perf_counter()
        documents = _documents((corpus,))
        rows["reading alone"] = time.perf_counter() - began
        view = compressors.parse(codec)
        view.encode_batch([b"a"])
        began = time.perf_counter()
        view.encode_batch(documents)
        rows["encoding alone"] = time.perf_counter() - began
        files = [file.read_bytes() for file in sorted(Path(folder, "1").rglob("*.*")) if file.suffix != ".json"]
        began = time.perf_counter()
        for number, data in enumerate(files):
            write_atomically(Path(folder, f"{number}.bin"), data)
            hashlib.sha256(data)
        rows["writing and hashing alone"] = time.perf_counter() - began
    megabytes = sum(map(len, documents)) / 1e6
    for what, seconds in rows.items():
        click.echo(f"{what:28} {seconds:6.2f} s {megabytes / seconds:7.1f} MB/s")
    if output:
        facts = {"corpus": corpus.name, "megabytes": megabytes, "codec": view.name, "environment": environment()}
        output.write_text(json.dumps(facts | {"seconds": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
