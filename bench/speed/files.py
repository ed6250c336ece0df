"""`proxyc compress` and `decompress` against the native tools on one file: whole commands,
interleaved, medians.

proxyc bench files CORPUS... -o bench/results/file_speed.json
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bench import markdown
from bench.output import as_json, output, write_json
from compressors.cli.printing import forms, put
from compressors.cli.progress import progress
from compressors.corpus import Reader, fingerprint

# In a folder that is ours: `-m` imports from the current one first
PROXYC = [sys.executable, "-m", "proxylm.cli.main"]
# Wall time allowed: this much more than the native tool, and the start of an interpreter.
FACTOR, START_UP = 1.10, 0.2


@dataclass(frozen=True)
class Native:
    """A native tool: its commands without file names, and how much of the file it is given. gzip
    writes to a redirection.
    """

    pack: list[str]
    unpack: list[str]
    suffix: str
    threads: tuple[int, ...] = (1,)  # gzip and brotli have one thread, there as here
    share: float = 1.0

    def to(self, output: Path) -> list[str]:
        """The arguments that name the output."""
        return [] if self.pack[0] == "gzip" else ["-o", str(output)]


NATIVE = {
    "zstd:level=3": Native(["zstd", "-q", "-f", "-3"], ["zstd", "-q", "-f", "-d"], ".zst", threads=(1, 2)),
    "gzip:level=6": Native(["gzip", "-c", "-6"], ["gzip", "-c", "-d"], ".gz"),
    "brotli:quality=5": Native(["brotli", "-k", "-f", "-q", "5"], ["brotli", "-k", "-f", "-d"], ".br"),
    # Level 19 needs two minutes for 200 MB. Its jobs are of 32 MB: two of them are the least that
    # two threads can share.
    "zstd:level=19": Native(
        ["zstd", "-q", "-f", "-19"], ["zstd", "-q", "-f", "-d"], ".zst", threads=(1, 2), share=0.32
    ),
}


@click.command()
@click.argument("corpus", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--megabytes", default=200, show_default=True, help="Size of the file that is made of the corpus.")
@click.option("--repeats", default=5, show_default=True)
@click.option("--codec", "chosen", multiple=True, help=f"Of: {', '.join(NATIVE)}. Default: all.")
@forms
@output()
def files(
    corpus: tuple[Path, ...],
    megabytes: int,
    repeats: int,
    chosen: tuple[str, ...],
    form: str | None,
    output: Path | None,
) -> None:
    """Time files; a native tool that is not installed is left out and named."""
    rows: list[dict[str, Any]] = []
    names = list(chosen or NATIVE)
    n_rows = sum(2 * len(NATIVE[name].threads) for name in names)
    with progress("files", n_rows, unit="measurements") as told, tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "corpus.txt"
        _write(corpus, source, megabytes * 1_000_000)
        corpus_sha256 = fingerprint([source.read_bytes()])
        for codec in names:
            native = NATIVE[codec]
            if shutil.which(native.pack[0]) is None:
                told.say(f"{codec}: the native tool is not installed")
                continue
            part = _beginning(source, native.share)
            for threads in native.threads:
                for row in _measure(codec, native, part, threads, repeats):
                    rows.append(row)
                    told(1, f"{codec}, threads: {threads}")
    put(form, table(rows), data=rows)
    if output:
        facts = {"megabytes": megabytes, "repeats": repeats, "allowed": f"{FACTOR} x native + {START_UP} s"}
        facts |= {"native_tools": _versions(), "corpus": [path.name for path in corpus], "corpus_sha256": corpus_sha256}
        write_json(output, as_json("files", rows, **facts))


def table(rows: Sequence[dict[str, Any]]) -> markdown.Table:
    """Medians of wall time in seconds, peak resident memory in megabytes."""
    heads = ["codec", "", "threads", "MB", "proxyc s", "native s", "allowed s", "", "proxyc peak MB", "native peak MB"]
    return markdown.table(
        heads, map(_cells, rows), text=2, drops=["MB", "native peak MB", "proxyc peak MB", "allowed s"]
    )


def _cells(r: dict[str, Any]) -> list[str]:
    """One row of `table`."""
    seconds = (f"{r[key]:.2f}" for key in ("ours_s", "native_s", "allowed_s"))
    peaks = (f"{r[key]:.0f}" for key in ("ours_peak_mb", "native_peak_mb"))
    told = [r["codec"], r["direction"], str(r["threads"]), f"{r['megabytes']:.0f}"]
    return [*told, *seconds, "met" if r["met"] else "missed", *peaks]


def _write(corpus: tuple[Path, ...], target: Path, size: int) -> None:
    """The documents one after the other, again and again, up to `size` bytes."""
    with open(target, "wb") as file:
        while file.tell() < size:
            for document in Reader(list(corpus)):
                file.write(document.data[: size - file.tell()])
                if file.tell() >= size:
                    break


def _beginning(source: Path, share: float) -> Path:
    """A file of the first `share` of `source`."""
    if share == 1.0:
        return source
    part = source.with_name("beginning.txt")
    with open(source, "rb") as file:
        part.write_bytes(file.read(int(share * source.stat().st_size)))
    return part


def _measure(codec: str, native: Native, source: Path, threads: int, repeats: int) -> Iterator[dict[str, Any]]:
    """Both directions.

    The commands take turns, and each writes a new file: to free an old one of 200 MB takes 0.1 s.
    """
    packed, back = source.with_name("packed" + native.suffix), source.with_name("back.txt")
    several = [f"-T{threads}"] if len(native.threads) > 1 else []
    options = ["-q", "-f", f"-T{threads}", "--codec", codec]
    commands = {
        "ours compress": [*PROXYC, "compress", *options, str(source), "-o", str(packed)],
        "native compress": [*native.pack, *several, str(source), *native.to(packed)],
        "ours decompress": [*PROXYC, "decompress", *options, str(packed), "-o", str(back)],
        "native decompress": [*native.unpack, *several, str(packed), *native.to(back)],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, command in commands.items():
            output = back if name.endswith("decompress") else packed
            output.unlink(missing_ok=True)
            os.sync()  # nor does it wait for what the one before it left to be written
            began = time.perf_counter()
            with nullcontext() if "-o" in command else open(output, "wb") as redirected:
                subprocess.run(command, stdout=redirected, check=True, cwd=source.parent)
            seconds[name].append(time.perf_counter() - began)
    for direction in ("compress", "decompress"):
        names = f"ours {direction}", f"native {direction}"
        ours_s, native_s = (statistics.median(seconds[name]) for name in names)
        peaks = [_peak(commands[name], source.parent) for name in names]
        allowed = FACTOR * native_s + START_UP
        row = {"codec": codec, "direction": direction, "threads": threads, "megabytes": source.stat().st_size / 1e6}
        row |= {"ours_s": ours_s, "native_s": native_s, "ours_peak_mb": peaks[0], "native_peak_mb": peaks[1]}
        yield row | {"ratio": ours_s / native_s, "allowed_s": allowed, "met": ours_s <= allowed}


def _peak(command: list[str], folder: Path) -> float:
    """Peak resident memory of one more run, in a separate process, so that no other child counts.

    Never below the 12 MB which that process has itself: Linux counts a child from before it becomes
    the command.
    """
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *command], check=True, capture_output=True, text=True, cwd=folder
    )
    return int(done.stdout) * 1024 / 1e6  # Linux counts kilobytes of 1024


def _versions() -> dict[str, str]:
    """First line of `--version` of each native tool that is there."""
    tools = sorted({native.pack[0] for native in NATIVE.values()})
    return {
        tool: subprocess.run([tool, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
        for tool in tools
        if shutil.which(tool)
    }
