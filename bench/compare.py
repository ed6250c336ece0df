"""`proxyc bench codecs`: every registered compressor and its peers on any corpus, side by side.

Each is measured in a process of its own, in turns: sizes, stability and memory once, speeds in every round (medians).
"""

from __future__ import annotations

import hashlib
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import numpy as np

import compressors
from bench import encoders, peers, stability, tables
from bench.codecs import artifact_bytes
from bench.report import environment
from compressors.atomic import write_atomically
from compressors.base import Compressor
from compressors.bpe.codec import BPE
from compressors.container import BLOCK_SIZE
from compressors.documents import Reader
from compressors.errors import InputError

PATH = click.Path(path_type=Path, exists=True)
_TEXTS, _LONGEST = 50, 4_096  # documents, and characters of each, that stability is measured on
_IDS = tuple(name for name in encoders.versions() if name != "proxyc")  # other encoders of the ids of `bpe`


@click.command()
@click.argument("corpus", nargs=-1, required=True, type=PATH)
@click.option("--codec", "given", multiple=True, help="One more codec, e.g. bpe=FILE or zstd:level=19.")
@click.option("--only", is_flag=True, help="Only those given with --codec.")
@click.option(
    "--max-bytes", default=5_000_000, show_default=True, help="Stop after the first documents that hold so many."
)
@click.option("-T", "--threads", default=1, show_default=True, help="Threads for encoding.")
@click.option("--rounds", default=3, show_default=True, help="Times that speeds are measured.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write OUTPUT.json and OUTPUT.md.")
def codecs(
    corpus: tuple[Path, ...], given: tuple[str, ...], only: bool, max_bytes: int, threads: int, rounds: int, output: Path | None,
) -> None:  # fmt: skip
    """Ratio, speed, memory and stability of all compressors, plugins included, and of what is installed of their peers."""
    if not any(document.data for document in Reader(list(corpus))):
        raise InputError(f"no document of {', '.join(map(str, corpus))} has a byte to measure; give others")
    names = list(given) if only else [*stability.default_codecs(), *given, *(p.name for p in peers.general()), *_IDS]
    arguments = ["--max-bytes", str(max_bytes), "--threads", str(threads), *map(str, corpus)]
    rows: dict[str, dict[str, Any]] = {}
    for turn in range(rounds):
        for name in names:
            click.echo(f"round {turn + 1} of {rounds}: {name}", err=True)
            found = _in_child([name, *arguments, *(["--speed-only"] if turn else [])])
            if isinstance(found, str):
                click.echo(f"{name}: left out: {found}", err=True)
                continue
            row = rows.setdefault(name, found)
            for key in ("encode_s", "decode_s"):
                row.setdefault(f"all_{key}", []).append(found[key])
    done = [_finished(row) for row in rows.values()]
    click.echo(tables.codecs(done))
    if output:
        facts = {
            "environment": environment(),
            "threads": threads,
            "rounds": rounds,
            "rows": done,
            "peers": encoders.versions(),
        }
        facts |= {
            "corpus": [path.name for path in corpus],
            "stability": f"{_TEXTS} documents of up to {_LONGEST} characters",
        }
        write_atomically(output.with_suffix(".json"), (json.dumps(facts, indent=1) + "\n").encode())
        write_atomically(output.with_suffix(".md"), (tables.codecs(done) + "\n").encode())


def _finished(row: dict[str, Any]) -> dict[str, Any]:
    """Speeds from the medians of all rounds."""
    n_bytes = row["bytes"]
    speeds = {}
    for key in ("encode", "decode"):
        times = [s for s in row.pop(f"all_{key}_s") if s is not None]
        speeds[f"{key}_mb_s"] = n_bytes / 1e6 / statistics.median(times) if times else None
    return {key: value for key, value in row.items() if not key.endswith("_s")} | speeds


def _in_child(arguments: list[str]) -> dict[str, Any] | str:
    done = subprocess.run([sys.executable, "-m", "bench.compare", *arguments], capture_output=True, check=False)
    if done.returncode:
        return (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@click.command()
@click.argument("name")
@click.argument("corpus", nargs=-1, type=PATH)
@click.option("--max-bytes", type=int)
@click.option("--threads", type=int)
@click.option("--speed-only", is_flag=True)
def child(name: str, corpus: tuple[Path, ...], max_bytes: int, threads: int, speed_only: bool) -> None:
    """One compressor; prints JSON."""
    documents: list[bytes] = []
    for document in Reader(list(corpus)):
        if sum(map(len, documents)) >= max_bytes:
            break
        documents.append(document.data)
    before = _peak()
    general = {coder.name: coder for coder in peers.general()}
    if name in general:
        row = _general(general[name], documents, speed_only)
    elif name in _IDS:
        row = _ids_of_bpe(name, documents, threads)
    else:
        row = _ours(compressors.parse(name), documents, threads, speed_only)
    digest = hashlib.sha256(b"\0".join(documents)).hexdigest()
    row |= {"bytes": sum(map(len, documents)), "documents": len(documents), "corpus_sha256": digest}
    label = name.partition("=")[0] if name.startswith("bpe=") else name
    click.echo(json.dumps({"name": label, "peak_mb": (_peak() - before) / 1e3} | row))


def _peak() -> int:
    """Largest resident size so far, kB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _ours(codec: Compressor, documents: Sequence[bytes], threads: int, speed_only: bool) -> dict[str, Any]:
    first = codec.encode_batch(documents[:1], threads=threads)  # loads, compiles
    with suppress(compressors.ProxycError):
        codec.decode(first[0])
    began = time.perf_counter()
    rows = codec.encode_batch(documents, threads=threads)
    encode_s = time.perf_counter() - began
    began, decode_s = time.perf_counter(), None
    with suppress(compressors.ProxycError):  # a view that goes one way only
        if [codec.decode(rows[i]) for i in range(len(rows))] != list(documents):
            raise AssertionError(f"{codec.name} did not give back the documents")
        decode_s = time.perf_counter() - began
    found: dict[str, Any] = {"encode_s": encode_s, "decode_s": decode_s}
    if speed_only:
        return found
    n_bytes, n_symbols = sum(map(len, documents)), len(rows.values)
    counts = np.bincount(rows.values.astype(np.int64), minlength=1)
    shares = counts[counts > 0] / max(n_symbols, 1)
    whole = b"".join(documents)
    texts = [d.decode("utf-8", "replace")[:_LONGEST] for d in documents[:_TEXTS] if d]
    unigram = float(-(shares * np.log2(shares)).sum())
    measured = stability.measure(codec, texts)
    return found | {
        "document_bits_per_byte": 8 * sum(len(codec.compress(d)) for d in documents) / n_bytes,
        "whole_bits_per_byte": 8 * sum(len(codec.compress(p)) for p in _blocks(whole)) / n_bytes,
        "model_bytes": artifact_bytes(codec), "vocabulary": codec.vocab.size, "bytes_per_symbol": n_bytes / max(n_symbols, 1),
        "unigram_bits_per_symbol": unigram, "distance": measured["distance"]["deletion"],
        "resynchronised_after": measured["one_edit"]["deleted"]["resynchronised_after"],
        "colliding": None if measured["collisions"] is None else measured["collisions"]["colliding"],
    }  # fmt: skip


def _blocks(whole: bytes) -> list[bytes]:
    """As a `.pxc` file has them."""
    return [whole[i : i + BLOCK_SIZE] for i in range(0, len(whole), BLOCK_SIZE)]


def _general(coder: peers.Coder, documents: Sequence[bytes], speed_only: bool) -> dict[str, Any]:
    began = time.perf_counter()
    streams = [coder.compress(document) for document in documents]
    middle = time.perf_counter()
    if [coder.decompress(stream) for stream in streams] != list(documents):
        raise AssertionError(f"{coder.name} did not give back the documents")
    found: dict[str, Any] = {"encode_s": middle - began, "decode_s": time.perf_counter() - middle}
    if speed_only:
        return found
    whole = b"".join(documents)
    return found | {
        "document_bits_per_byte": 8 * sum(map(len, streams)) / len(whole),
        "whole_bits_per_byte": 8 * len(coder.compress(whole)) / len(whole),
        "model_bytes": 0,
    }


def _ids_of_bpe(name: str, documents: Sequence[bytes], threads: int) -> dict[str, Any]:
    """Another encoder of the ids of the default `bpe`: only its speed differs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tokenizer.json")
        bpe = compressors.get("bpe")
        assert isinstance(bpe, BPE)
        bpe.to_tokenizer_json(path)
        encoder = encoders.load(name, path.read_text(), threads)
    inputs = [d if encoder.takes is bytes else d.decode() for d in documents]
    encoder.encode(inputs[:1])
    began = time.perf_counter()
    answer = encoder.encode(inputs)
    seconds = time.perf_counter() - began
    ours = bpe.encode_batch(documents).values
    if not np.array_equal(np.asarray(encoder.ids(answer)), ours):
        raise AssertionError(f"the ids of {name} differ from ours")
    return {"encode_s": seconds, "decode_s": None}


if __name__ == "__main__":
    child()
