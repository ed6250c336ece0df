"""One compressor on some documents, in sections: its files, its symbols, the cost of a call, how
stable its symbols are.

Symbols (`encode`, `decode`) and files (`compress`, `decompress`) are two products of one codec,
each with its own speed. Every answer is compared with the document.
"""

from __future__ import annotations

import tempfile
import time
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import compressors
from bench import isolated
from bench.codecs import encoders, peers, stability
from bench.measuring import mb_s, rounds, timed
from compressors.base import Compressor, digest
from compressors.bpe.codec import BPE
from compressors.files.pxc import BLOCK_SIZE

SLOW = 30.0  # seconds of a batch; above it documents are not encoded one by one, too
SECTIONS = ("files", "symbols", "calls", "stability")
TEXTS, LONGEST = 50, 4_096  # documents, and characters of each, that stability is measured on
# Documents, their size, rounds: a call for each document
CALLS, CALL_BYTES, CALL_ROUNDS = 1000, 4000, 7
Row = dict[str, Any]


def of_codec(
    codec: Compressor, documents: Sequence[bytes], threads: int = 1, sections: Collection[str] = SECTIONS,
    *, speed_only: bool = False,
) -> Row:  # fmt: skip
    """Seconds (keys that end in `_s`), sizes, MB, stability of a registered compressor.

    speed_only: only the seconds, as in all rounds but the first. Raises `AssertionError` if the
    codec is not lossless.
    """
    row: Row = {}
    if "files" in sections and codec.lossless:
        codec.decompress(codec.compress(documents[0]))  # loads, compiles
        row |= _files(codec, documents, speed_only)
        row |= {} if speed_only else {"model_bytes": artifact_bytes(codec)}
    if "symbols" in sections:
        row |= _symbols(codec, documents, threads, speed_only)
    if speed_only:
        return row
    if "calls" in sections and codec.name in _BARE and not artifact_bytes(codec):
        row["call_ratio"] = call_ratio(codec, documents)
    if "stability" in sections:
        row |= _stability(codec, documents)
    return row | {"fingerprint": codec.fingerprint}


def of_peer(coder: peers.Coder, documents: Sequence[bytes], *, speed_only: bool = False) -> Row:
    """The files of a general compressor that is not ours. `speed_only` as in `of_codec`."""
    return _files(coder, documents, speed_only) | ({} if speed_only else {"model_bytes": 0})


def of_encoder(name: str, documents: Sequence[bytes], threads: int) -> Row:
    """Another encoder of the ids of the default `bpe`: only its speed differs.

    Raises `AssertionError` if its ids do.
    """
    bpe = compressors.get("bpe")
    assert isinstance(bpe, BPE)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tokenizer.json")
        bpe.to_tokenizer_json(path)
        encoder = encoders.load(name, path.read_text(), threads)
    inputs = [d if encoder.takes is bytes else d.decode() for d in documents]
    encoder.encode(inputs[:1])
    before = isolated.forget_peak()
    answer, seconds = timed(lambda: encoder.encode(inputs))
    peak = isolated.grown(before)
    if not np.array_equal(np.asarray(encoder.ids(answer)), bpe.encode_batch(documents).values):
        raise AssertionError(f"the ids of {name} differ from ours")
    return {"encode_s": seconds, "symbols_peak_mb": peak}


def finished(row: Row, seconds: Sequence[Row]) -> Row:
    """The row as tables show it.

    row: of the first round, with all sizes. seconds: the rows of all rounds, of which only the keys
    that end in `_s` count. Each such key becomes a speed (`_mb_s`, 10^6 raw bytes a second, by the
    median). `with_model` are the bits per byte of the documents with those of the artifact, which
    is counted once.
    """
    done = {key: value for key, value in row.items() if not key.endswith("_s")}
    for key in (key for key in row if key.endswith("_s")):
        if times := [one[key] for one in seconds if one.get(key) is not None]:
            done[f"{key[:-2]}_mb_s"] = mb_s(row["bytes"], times)
    if "document_bits_per_byte" in row:
        done["with_model"] = row["document_bits_per_byte"] + 8 * row["model_bytes"] / row["bytes"]
    return done


def stream_key(codec: Compressor) -> str:
    """The same for codecs that write the same files: the windows of `neural`, say, have no part in
    them.
    """
    return f"{codec.name} {digest([codec.stream_config()])}"


def artifact_bytes(codec: Compressor) -> int:
    """Size of what a codec was fitted to."""
    artifact = getattr(codec, "artifact", None)
    return sum(array.nbytes for array in artifact.arrays.values()) if artifact else 0


# -- sections ----------------------------------------------------------------------------------------------------------


def _files(codec: Compressor | peers.Coder, documents: Sequence[bytes], speed_only: bool) -> Row:
    """Each document separately, and all of them as one file."""
    before = isolated.forget_peak()
    streams, compress_s = timed(lambda: [codec.compress(document) for document in documents])
    found, decompress_s = timed(lambda: [codec.decompress(stream) for stream in streams])
    peak = isolated.grown(before)
    if found != list(documents):
        raise AssertionError(f"{codec.name} did not give back the documents")
    seconds: Row = {"compress_s": compress_s, "decompress_s": decompress_s}
    if speed_only:
        return seconds
    whole = b"".join(documents)
    # Ours in a .pxc file are blocks; standard formats, and those of peers, are one stream.
    size = BLOCK_SIZE if getattr(codec, "suffix", "") == ".pxc" else len(whole)
    blocks = (whole[i : i + size] for i in range(0, len(whole), size))
    if not getattr(codec, "outside", False):
        seconds["peak_mb"] = peak
    return seconds | {
        "document_bits_per_byte": 8 * sum(map(len, streams)) / len(whole),
        "whole_bits_per_byte": 8 * sum(len(codec.compress(block)) for block in blocks) / len(whole),
    }


def _symbols(codec: Compressor, documents: Sequence[bytes], threads: int, speed_only: bool) -> Row:
    """All documents in a batch.

    And encoded one by one, as a reader of single documents does it, where that is quick.
    """
    first = codec.encode_batch(documents[:1], threads=threads)  # loads, compiles
    if codec.lossless:
        codec.decode_batch(first)
    before = isolated.forget_peak()
    rows, encode_s = timed(lambda: codec.encode_batch(documents, threads=threads))
    row: Row = {"encode_s": encode_s}
    if encode_s < SLOW:
        row["encode_one_s"] = timed(lambda: [codec.encode(document) for document in documents])[1]
    if codec.lossless:
        found, row["decode_s"] = timed(lambda: codec.decode_batch(rows))
        if found != list(documents):
            raise AssertionError(f"{codec.name} did not give back the documents")
    if speed_only:
        return row
    counts = np.bincount(rows.values.astype(np.int64), minlength=1)
    shares = counts[counts > 0] / max(len(rows.values), 1)
    return row | {
        "symbols_peak_mb": isolated.grown(before),
        "vocabulary": codec.vocab.size,
        "bytes_per_symbol": sum(map(len, documents)) / max(len(rows.values), 1),
        "unigram_bits_per_symbol": float(-(shares * np.log2(shares)).sum()),
    }


_BARE: Mapping[str, Callable[[Any], Callable[[bytes], bytes]]] = {
    "zstd": lambda codec: _zstd(codec.level),
    "gzip": lambda codec: partial(zlib.compress, level=codec.level, wbits=31),
    "brotli": lambda codec: _brotli(codec.quality),
}


def _zstd(level: int) -> Callable[[bytes], bytes]:
    """The bare library with our settings: the checksum is part of our files, so it is part of
    theirs.
    """
    import zstandard

    return zstandard.ZstdCompressor(level=level, write_checksum=True).compress


def _brotli(quality: int) -> Callable[[bytes], bytes]:
    """The same for brotli."""
    import brotli

    return partial(brotli.compress, quality=quality)


def call_ratio(codec: Compressor, documents: Sequence[bytes]) -> float | None:
    """Our time over that of the bare library with the same settings, one call for each short
    document.

    None where the documents are too few to tell.
    """
    whole = b"".join(documents)
    pieces = [whole[i : i + CALL_BYTES] for i in range(0, min(len(whole), CALLS * CALL_BYTES), CALL_BYTES)]
    bare = _BARE[codec.name](codec)
    both = {"ours": codec.compress, "bare": bare}
    work = {who: partial(lambda one: [one(piece) for piece in pieces], one) for who, one in both.items()}
    seconds = rounds(work, CALL_ROUNDS, warm=1, clock=time.process_time)
    ours, theirs = (float(np.median(seconds[who])) for who in ("ours", "bare"))
    return ours / theirs if theirs else None


def _stability(codec: Compressor, documents: Sequence[bytes]) -> Row:
    """The three figures of `bench.codecs.stability` that the table shows, on the beginnings of a
    few documents.
    """
    texts = [d.decode("utf-8", "replace")[:LONGEST] for d in documents[:TEXTS] if d]
    found = stability.measure(codec, texts)
    return {
        "distance": found["distance"]["deletion"],
        "resynchronised_after": found["one_edit"]["deleted"]["resynchronised_after"],
        "colliding": None if found["collisions"] is None else found["collisions"]["colliding"],
    }
