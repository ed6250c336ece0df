"""One compressor on some documents: ratio, speed, memory, what its symbols are like. Rows as `bench.report.tables.CODECS` shows them.

Symbols (`encode`, `decode`) and files (`compress`, `decompress`) are two products of one codec, each with a speed of its own.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

import compressors
from bench import isolated
from bench.codecs import encoders, peers, stability
from compressors.base import Compressor
from compressors.bpe.codec import BPE
from compressors.files.pxc import BLOCK_SIZE

TEXTS, LONGEST = 50, 4_096  # documents, and characters of each, that stability is measured on
Row = dict[str, Any]
T = TypeVar("T")


def artifact_bytes(codec: Compressor) -> int:
    """Size of what a codec was fitted to."""
    artifact = getattr(codec, "artifact", None)
    return sum(array.nbytes for array in artifact.arrays.values()) if artifact else 0


def of_codec(codec: Compressor, documents: Sequence[bytes], threads: int = 1, *, speed_only: bool = False) -> Row:
    """Seconds, sizes, memory, stability of a registered compressor; of a one-way view, which has no files, only the first.

    Raises `AssertionError` if a codec does not give back the documents.
    """
    first = codec.encode_batch(documents[:1], threads=threads)  # loads, compiles
    if codec.lossless:
        codec.decode_batch(first)
        codec.decompress(codec.compress(documents[0]))
    before = isolated.forget_peak()
    rows, encode_s = _timed(lambda: codec.encode_batch(documents, threads=threads))
    if not codec.lossless:
        seen = {} if speed_only else {"peak_mb": _peak(before)} | _symbols(codec, documents, rows.values)
        return {"encode_s": encode_s} | seen | ({} if speed_only else _stability(codec, documents))
    symbols, decode_s = _timed(lambda: codec.decode_batch(rows))
    streams, compress_s = _timed(lambda: [codec.compress(document) for document in documents])
    files, decompress_s = _timed(lambda: [codec.decompress(stream) for stream in streams])
    peak = _peak(before)
    if files != list(documents) or symbols != list(documents):
        raise AssertionError(f"{codec.name} did not give back the documents")
    found: Row = {"encode_s": encode_s, "decode_s": decode_s, "compress_s": compress_s, "decompress_s": decompress_s}
    if speed_only:
        return found
    return found | {"peak_mb": peak} | _sizes(codec, documents, streams, rows.values) | _stability(codec, documents)


def of_peer(coder: peers.Coder, documents: Sequence[bytes], *, speed_only: bool = False) -> Row:
    """The same of a general compressor that is not ours."""
    before = isolated.forget_peak()
    streams, compress_s = _timed(lambda: [coder.compress(document) for document in documents])
    files, decompress_s = _timed(lambda: [coder.decompress(stream) for stream in streams])
    peak = _peak(before)
    if files != list(documents):
        raise AssertionError(f"{coder.name} did not give back the documents")
    found: Row = {"compress_s": compress_s, "decompress_s": decompress_s}
    if speed_only:
        return found
    whole = b"".join(documents)
    return found | {
        "peak_mb": peak,
        "model_bytes": 0,
        "document_bits_per_byte": 8 * sum(map(len, streams)) / len(whole),
        "whole_bits_per_byte": 8 * len(coder.compress(whole)) / len(whole),
    }


def of_encoder(name: str, documents: Sequence[bytes], threads: int) -> Row:
    """Another encoder of the ids of the default `bpe`: only its speed differs. Raises `AssertionError` if its ids do."""
    bpe = compressors.get("bpe")
    assert isinstance(bpe, BPE)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tokenizer.json")
        bpe.to_tokenizer_json(path)
        encoder = encoders.load(name, path.read_text(), threads)
    inputs = [d if encoder.takes is bytes else d.decode() for d in documents]
    encoder.encode(inputs[:1])
    before = isolated.forget_peak()
    answer, seconds = _timed(lambda: encoder.encode(inputs))
    peak = _peak(before)
    if not np.array_equal(np.asarray(encoder.ids(answer)), bpe.encode_batch(documents).values):
        raise AssertionError(f"the ids of {name} differ from ours")
    return {"encode_s": seconds, "peak_mb": peak}


def finished(row: Row, seconds: Sequence[Row]) -> Row:
    """The row with speeds from the medians of the seconds of all rounds, and its bits with the model's."""
    done = {key: value for key, value in row.items() if not key.endswith("_s")}
    for key in ("encode_s", "decode_s", "compress_s", "decompress_s"):
        times = [one[key] for one in seconds if one.get(key) is not None]
        if times:
            done[key.replace("_s", "_mb_s")] = row["bytes"] / 1e6 / float(np.median(times))
    if "document_bits_per_byte" in row:
        done["with_model"] = row["document_bits_per_byte"] + 8 * row["model_bytes"] / row["bytes"]
    return done


def _sizes(codec: Compressor, documents: Sequence[bytes], streams: Sequence[bytes], values: Any) -> Row:
    n_bytes, whole = sum(map(len, documents)), b"".join(documents)
    size = BLOCK_SIZE if codec.suffix == ".pxc" else len(whole)  # standard formats are one stream
    blocks = (whole[i : i + size] for i in range(0, len(whole), size))
    return _symbols(codec, documents, values) | {
        "document_bits_per_byte": 8 * sum(map(len, streams)) / n_bytes,
        "whole_bits_per_byte": 8 * sum(len(codec.compress(block)) for block in blocks) / n_bytes,
    }


def _symbols(codec: Compressor, documents: Sequence[bytes], values: Any) -> Row:
    n_bytes, n_symbols = sum(map(len, documents)), len(values)
    counts = np.bincount(values.astype(np.int64), minlength=1)
    shares = counts[counts > 0] / max(n_symbols, 1)
    return {
        "fingerprint": codec.fingerprint,
        "model_bytes": artifact_bytes(codec),
        "vocabulary": codec.vocab.size,
        "bytes_per_symbol": n_bytes / max(n_symbols, 1),
        "unigram_bits_per_symbol": float(-(shares * np.log2(shares)).sum()),
    }


def _stability(codec: Compressor, documents: Sequence[bytes]) -> Row:
    texts = [d.decode("utf-8", "replace")[:LONGEST] for d in documents[:TEXTS] if d]
    found = stability.measure(codec, texts)
    return {
        "distance": found["distance"]["deletion"],
        "resynchronised_after": found["one_edit"]["deleted"]["resynchronised_after"],
        "colliding": None if found["collisions"] is None else found["collisions"]["colliding"],
    }


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    made = work()
    return made, time.perf_counter() - began


def _peak(before: float | None) -> float | None:
    now = isolated.peak_mb()
    return None if before is None or now is None else now - before
