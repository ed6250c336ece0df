"""`compress` in process against the bare library: 1,000 documents of 4 kB, interleaved, medians, one thread.

python -m bench.codecs.call_speed CORPUS... -o bench/results/call_speed.json
"""

from __future__ import annotations

import itertools
import json
import statistics
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import brotli
import click
import zstandard

import compressors
from bench.measuring import OutputFile, environment
from compressors.base import digest
from compressors.corpus import Reader

DOCUMENTS, SIZE = 1000, 4000


def bare_libraries() -> dict[str, Callable[[bytes], bytes]]:
    """What one would write without us, with the same settings (checksum on)."""
    zstd = {level: zstandard.ZstdCompressor(level=level, write_checksum=True) for level in (3, 19)}
    return {
        "zstd:level=3": zstd[3].compress,
        "zstd:level=19": zstd[19].compress,
        "gzip:level=6": lambda data: zlib.compress(data, 6, 31),
        "brotli:quality=5": lambda data: bytes(brotli.compress(data, quality=5)),
    }


@click.command()
@click.argument("corpus", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=OutputFile(), help="JSON to write.")
@click.option("--repeats", default=7, show_default=True)
def main(corpus: tuple[Path, ...], output: Path | None, repeats: int) -> None:
    """Print the ratio of our time to the bare library's for each codec."""
    long_enough = (d.data[:SIZE] for d in Reader(list(corpus)) if len(d.data) >= SIZE)
    documents = list(itertools.islice(long_enough, DOCUMENTS))
    rows = []
    for name, bare in bare_libraries().items():
        codec = compressors.parse(name)
        seconds: dict[str, list[float]] = {"ours": [], "bare": []}
        for _ in range(repeats):
            for who, work in (("ours", codec.compress), ("bare", bare)):
                began = time.perf_counter()
                for document in documents:
                    work(document)
                seconds[who].append(time.perf_counter() - began)
        ours, theirs = statistics.median(seconds["ours"]), statistics.median(seconds["bare"])
        rows.append({"codec": name, "ours_s": ours, "bare_s": theirs, "ratio": ours / theirs})
        click.echo(
            f"{name}: {ours:.4f} s against {theirs:.4f} s for {len(documents)} documents, ratio {ours / theirs:.3f}"
        )
    if output:
        sample = digest([zlib.crc32(document) for document in documents])
        facts = {"documents": len(documents), "bytes_each": SIZE, "corpus_digest": sample, "environment": environment()}
        output.write_text(json.dumps(facts | {"repeats": repeats, "threads": 1, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
