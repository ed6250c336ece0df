"""`neural` beside general compressors: bits per byte and speed, each document alone and all of a corpus as one file.

python -m bench.codecs.neural_ratio CORPUS... --train TRAINING_CORPUS -o bench/results/neural_ratio.json

Speeds are megabytes of text per second of processor time of one thread, medians of interleaved repeats; every answer is
compared with the document. Sizes are of the streams, headers included; what must be there to decode is counted apart.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

import compressors
from bench.codecs import peers
from bench.codecs.measure import artifact_bytes
from bench.codecs.peers import Coder
from bench.measuring import OutputFile, environment
from compressors.atomic import write_atomically
from compressors.base import Compressor
from compressors.corpus import Reader
from compressors.files.pxc import BLOCK_SIZE
from compressors.zstd import Zstd

DICTIONARIES = (112_000, 1_000_000)  # bytes: zstd's default, and one as large as a small model
SAMPLE = 12_000_000  # bytes of training documents for each of them


@dataclass(frozen=True)
class Row:
    """One coder on one corpus."""

    corpus: str
    unit: str  # document, file
    coder: str
    bits_per_byte: float
    encode_mb_s: float
    decode_mb_s: float
    model_bytes: int


def _ours(name: str, codec: Compressor, piece: int = 0) -> Coder:
    return Coder(name, codec.compress, codec.decompress, artifact_bytes(codec), piece)


def coders(sample: Sequence[bytes]) -> list[Coder]:
    """All that are installed; zstd with dictionaries if there is a sample to train them on."""
    import brotli

    found = [_ours(f"neural:preset={p}", compressors.get("neural", preset=p), BLOCK_SIZE) for p in ("best", "fast")]
    found += [_ours(f"zstd -{level}", Zstd(level=level)) for level in (3, 19)]
    if sample:
        found += [
            _ours(f"zstd -19, dictionary of {size // 1000} kB", Zstd.fit(sample, dictionary_size=size, level=19))
            for size in DICTIONARIES
        ]
    found.append(
        Coder("brotli -q 11 -w 24", lambda data: brotli.compress(data, quality=11, lgwin=24), brotli.decompress)
    )
    return [*found, peers.xz(), *peers.ppmd()]


def measure(corpus: str, documents: Sequence[bytes], coders: Sequence[Coder], repeats: int) -> list[Row]:
    """Both units, all coders."""
    whole, n_bytes = b"".join(documents), sum(map(len, documents))
    rows = []
    for unit in ("document", "file"):
        encode: dict[str, list[float]] = {coder.name: [] for coder in coders}
        decode: dict[str, list[float]] = {coder.name: [] for coder in coders}
        size: dict[str, int] = {}
        for repeat in range(repeats):
            for coder in coders:
                click.echo(f"{corpus}, each {unit}, {repeat + 1} of {repeats}: {coder.name}", err=True)
                inputs = documents if unit == "document" else _pieces(whole, coder.piece)
                seconds, streams = _timed(coder.compress, inputs)
                encode[coder.name].append(seconds)
                seconds, found = _timed(coder.decompress, streams)
                decode[coder.name].append(seconds)
                if found != list(inputs):
                    raise AssertionError(f"{coder.name} did not give back the documents of {corpus}")
                size[coder.name] = sum(map(len, streams))
        rows += [
            Row(
                corpus=corpus,
                unit=unit,
                coder=coder.name,
                bits_per_byte=8 * size[coder.name] / n_bytes,
                encode_mb_s=n_bytes / 1e6 / statistics.median(encode[coder.name]),
                decode_mb_s=n_bytes / 1e6 / statistics.median(decode[coder.name]),
                model_bytes=coder.model_bytes,
            )
            for coder in coders
        ]
    return rows


def _pieces(whole: bytes, piece: int) -> list[bytes]:
    """Blocks as in a .pxc file, whose own bytes (some 40 a megabyte) are left out."""
    return [whole[i : i + piece] for i in range(0, len(whole), piece)] if piece else [whole]


def _timed(work: Callable[[bytes], bytes], inputs: Sequence[bytes]) -> tuple[float, list[bytes]]:
    """Seconds of processor time, and the answers."""
    began = time.process_time()
    answers = [work(data) for data in inputs]
    return time.process_time() - began, answers


def _sample(paths: Sequence[Path]) -> list[bytes]:
    """Every so many documents, so that all of the corpus is seen, about `SAMPLE` bytes."""
    documents = [document.data for document in Reader(list(paths))] if paths else []
    step = max(1, sum(map(len, documents)) // SAMPLE)
    return documents[::step]


@click.command()
@click.argument("corpus", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--train", multiple=True, type=click.Path(path_type=Path), help="What dictionaries are trained on.")
@click.option("--repeats", default=3, show_default=True)
@click.option("-o", "--output", type=OutputFile(), help="JSON to write.")
def main(corpus: tuple[Path, ...], train: tuple[Path, ...], repeats: int, output: Path | None) -> None:
    """Measure every coder on every CORPUS."""
    sample = _sample(train)
    click.echo(f"dictionaries: {len(sample)} documents", err=True)
    chosen = coders(sample)
    for coder in chosen:  # loads models, compiles
        coder.decompress(coder.compress(b"def f(x):\n    return x\n" * 9))
    rows: list[Row] = []
    digests = {}
    for path in corpus:
        documents = [document.data for document in Reader([path])]
        digests[path.name] = hashlib.sha256(b"".join(documents)).hexdigest()
        rows += measure(path.name.partition(".")[0], documents, chosen, repeats)
    click.echo(table(rows))
    if output:
        facts: dict[str, Any] = {"environment": environment(), "pyppmd": _version("pyppmd"), "repeats": repeats}
        facts |= {"corpus_sha256": digests, "dictionaries_from": [path.name for path in train]}
        facts |= {"sample_bytes": sum(map(len, sample)), "rows": [asdict(row) for row in rows]}
        write_atomically(output, (json.dumps(facts, indent=1) + "\n").encode())


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| corpus | coder | bits per byte, each document | all as one file | encode MB/s | decode MB/s | model bytes |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    files = {(row.corpus, row.coder): row for row in rows if row.unit == "file"}
    lines += [
        f"| {r.corpus} | {r.coder} | {r.bits_per_byte:.3f} | {files[r.corpus, r.coder].bits_per_byte:.3f} | "
        f"{r.encode_mb_s:,.2f} | {r.decode_mb_s:,.2f} | {r.model_bytes:,} |"
        for r in rows
        if r.unit == "document"
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
