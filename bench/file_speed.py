"""`proxyc compress` and `decompress` against the native tools on one file: whole commands, interleaved, medians.

python -m bench.file_speed CORPUS... -o bench/results/file_speed.json
"""

from __future__ import annotations

import hashlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from bench.report import environment
from compressors.documents import Reader

PROXYC = [sys.executable, "-m", "proxylm.cli"]
# codec, arguments of the native tool to compress, to decompress
NATIVE = {
    "zstd:level=3": (["zstd", "-q", "-f", "-3", "-T1"], ["zstd", "-q", "-f", "-d"], ".zst"),
    "zstd:level=19": (["zstd", "-q", "-f", "-19", "-T1"], ["zstd", "-q", "-f", "-d"], ".zst"),
    "gzip:level=6": (["gzip", "-k", "-f", "-6"], ["gzip", "-k", "-f", "-d"], ".gz"),
    "brotli:quality=5": (["brotli", "-k", "-f", "-q", "5"], ["brotli", "-k", "-f", "-d"], ".br"),
}


@dataclass(frozen=True)
class FileRow:
    """Medians of one codec and direction, one thread; seconds of wall clock, peak memory of the process in megabytes."""

    codec: str
    direction: str
    ours_s: float
    native_s: float
    ours_mb: float

    @property
    def ratio(self) -> float:
        """Ours over native, start-up of the interpreter included."""
        return self.ours_s / self.native_s


@click.command()
@click.argument("corpus", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="JSON to write.")
@click.option("--megabytes", default=200, show_default=True, help="Size of the file that is made of the corpus.")
@click.option("--repeats", default=3, show_default=True)
@click.option("--codec", "chosen", multiple=True, help=f"Of: {', '.join(NATIVE)}. Default: all but level 19.")
def main(corpus: tuple[Path, ...], output: Path | None, megabytes: int, repeats: int, chosen: tuple[str, ...]) -> None:
    """Time files; a native tool that is not installed is left out and named."""
    rows: list[FileRow] = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "corpus.txt"
        _write(corpus, source, megabytes * 1_000_000)
        corpus_sha256 = hashlib.sha256(source.read_bytes()).hexdigest()
        for codec in chosen or [name for name in NATIVE if name != "zstd:level=19"]:
            if shutil.which(NATIVE[codec][0][0]) is None:
                click.echo(f"{codec}: the native tool is not installed", err=True)
                continue
            rows += _measure(codec, source, repeats)
            for row in rows[-2:]:
                click.echo(
                    f"{row.codec} {row.direction}: {row.ours_s:.2f} s against {row.native_s:.2f} s, "
                    f"ratio {row.ratio:.2f}, peak {row.ours_mb:.0f} MB"
                )
    if output:
        facts: dict[str, object] = {
            "megabytes": megabytes,
            "repeats": repeats,
            "threads": 1,
            "environment": environment(),
        }
        facts["corpus_sha256"] = corpus_sha256
        found = [asdict(row) | {"ratio": row.ratio} for row in rows]
        output.write_text(
            json.dumps(facts | {"corpus": [path.name for path in corpus], "rows": found}, indent=1) + "\n"
        )


def _write(corpus: tuple[Path, ...], target: Path, size: int) -> None:
    """The documents one after the other, again and again, up to `size` bytes."""
    with open(target, "wb") as file:
        while file.tell() < size:
            for document in Reader(list(corpus)):
                file.write(document.data[: size - file.tell()])
                if file.tell() >= size:
                    break


def _measure(codec: str, source: Path, repeats: int) -> list[FileRow]:
    pack, unpack, suffix = NATIVE[codec]
    packed, back = source.with_name("packed" + suffix), source.with_name("back.txt")
    to = ["-o", str(packed)] if pack[0] in ("zstd", "brotli") else []
    theirs = source.with_name(source.name + suffix) if not to else packed
    commands = {
        "ours compress": [*PROXYC, "compress", "-q", "-f", "--codec", codec, str(source), "-o", str(packed)],
        "native compress": [*pack, str(source), *to],
        "ours decompress": [*PROXYC, "decompress", "-q", "-f", "--codec", codec, str(packed), "-o", str(back)],
        "native decompress": [*unpack, str(theirs), *(["-o", str(back)] if to else [])],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run(command, check=True)
            seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return [
        FileRow(
            codec,
            direction,
            medians[f"ours {direction}"],
            medians[f"native {direction}"],
            _peak(commands[f"ours {direction}"]),
        )
        for direction in ("compress", "decompress")
    ]


def _peak(command: list[str]) -> float:
    """Peak resident memory of one more run, in a process of its own so that it is the only child that counts."""
    code = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    done = subprocess.run([sys.executable, "-c", code, *command], check=True, capture_output=True, text=True)
    return int(done.stdout) * 1024 / 1e6  # Linux counts kilobytes of 1024


if __name__ == "__main__":
    main()
