"""`compress` and `decompress` of documents, each alone: bits per byte and speed, beside zstd, interleaved, one thread.

python -m bench.codecs.document_ratio CORPUS... --codec bpe=FILE -o bench/results/document_ratio.json
"""

from __future__ import annotations

import json
import re
import statistics
import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import click

import compressors
from bench.measuring import OutputFile, environment
from compressors import Compressor
from compressors.base import digest
from compressors.corpus import Reader

PEERS = ("zstd:level=3", "zstd:level=19")


@dataclass(frozen=True)
class Row:
    """One codec on all documents; megabytes of text in a second of processor time, medians of the repeats."""

    codec: str
    bits_per_byte: float  # headers included, the codec's artifact not
    compress_mb_s: float
    decompress_mb_s: float
    artifact: str | None


def measure(codecs: dict[str, Compressor], documents: list[bytes], repeats: int) -> list[Row]:
    """A round that warms up and checks, then interleaved repeats. Raises `AssertionError` unless all comes back."""
    n_bytes = sum(map(len, documents))
    seconds: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in codecs}
    bits: dict[str, float] = {}
    for name, codec in codecs.items():
        packed = [codec.compress(document) for document in documents]
        assert [codec.decompress(data) for data in packed] == documents
        bits[name] = 8 * sum(map(len, packed)) / n_bytes
    for _ in range(repeats):
        for name, codec in codecs.items():
            began = time.process_time()
            packed = [codec.compress(document) for document in documents]
            middle = time.process_time()
            for data in packed:
                codec.decompress(data)
            seconds[name][0].append(middle - began)
            seconds[name][1].append(time.process_time() - middle)
    packing, unpacking = (
        {name: n_bytes / 1e6 / statistics.median(both[i]) for name, both in seconds.items()} for i in (0, 1)
    )
    fingerprints = {
        name: getattr(getattr(codec, "artifact", None), "fingerprint", None) for name, codec in codecs.items()
    }
    return [Row(name, bits[name], packing[name], unpacking[name], fingerprints[name]) for name in codecs]


@click.command()
@click.argument("corpus", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--codec", "names", multiple=True, help="As in `proxyc compress`; zstd -3 and -19 are always measured.")
@click.option("--repeats", default=5, show_default=True)
@click.option("-o", "--output", type=OutputFile(), help="JSON to write.")
def main(corpus: tuple[Path, ...], names: tuple[str, ...], repeats: int, output: Path | None) -> None:
    """Print bits per byte and speed of each codec on CORPUS."""
    codecs = {
        re.sub(r"[^=,]*/", "", name): compressors.parse(name) for name in (*names, *PEERS)
    }  # files without folders
    documents = [document.data for document in Reader(list(corpus))]
    rows = measure(codecs, documents, repeats)
    click.echo(
        f"{len(documents):,} documents, {sum(map(len, documents)):,} bytes; processor time, medians of {repeats}"
    )
    for row in rows:
        click.echo(
            f"{row.codec:30} {row.bits_per_byte:.3f} bits per byte  compress {row.compress_mb_s:7.1f} MB/s  "
            f"decompress {row.decompress_mb_s:7.1f} MB/s"
        )
    if output:
        facts = {"environment": environment(), "corpus_digest": digest([zlib.crc32(text) for text in documents])}
        counted = {"documents": len(documents), "bytes": sum(map(len, documents)), "repeats": repeats, "threads": 1}
        output.write_text(json.dumps(facts | counted | {"rows": [asdict(row) for row in rows]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
