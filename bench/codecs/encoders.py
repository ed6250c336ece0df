"""BPE encoders side by side: ours and its peers, all made from one `tokenizer.json`, each fed the
type it likes best.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench import measuring
from compressors.bpe import patterns, tokenizer_json
from compressors.bpe.codec import BPE


@dataclass(frozen=True)
class Loaded:
    """An encoder with an empty cache: `encode` takes all documents in `takes`, `ids` makes one
    array of its answer.

    `decode` gives the documents, bytes or text, for a list with the ids of each; `prepare` makes
    them what it likes best of an array.
    """

    takes: type
    encode: Callable[[Sequence[Any]], Any]
    ids: Callable[[Any], Any]
    decode: Callable[[Sequence[Any]], Sequence[bytes | str]]
    prepare: Callable[[Any], Any] = lambda ids: ids.tolist()


def _proxyc(spec: str, threads: int) -> Loaded:
    """Ours, read from the same file as the others."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tokenizer.json")
        path.write_text(spec)
        codec = BPE.from_tokenizer_json(path)
    # Makes its tables, as the constructors of the others do
    codec.encode_batch([b"a"], threads=threads)
    return Loaded(
        bytes,
        lambda documents: codec.encode_batch(documents, threads=threads),
        lambda found: found.values,
        lambda rows: [codec.decode(ids) for ids in rows],
        lambda ids: ids,
    )


def _gigatoken(spec: str, threads: int) -> Loaded:
    """Takes bytes. It has all threads or one."""
    import gigatoken

    tokenizer = gigatoken.Tokenizer.from_json(spec)
    return Loaded(
        bytes,
        lambda documents: tokenizer.encode_batch(documents, parallel=threads > 1),
        lambda found: np.asarray(found.layout.content.data),
        lambda rows: [tokenizer.decode(ids) for ids in rows],
        lambda ids: ids.astype(np.uint32),
    )


def _fastokens(spec: str, threads: int) -> Loaded:
    """Takes text. Threads are those of rayon (`RAYON_NUM_THREADS`, which `isolated.answer` sets)."""
    import fastokens

    tokenizer = fastokens._native.Tokenizer.from_json_str(spec)
    return Loaded(
        str, tokenizer.encode_batch_flat, lambda found: np.frombuffer(found[0], np.uint32), tokenizer.decode_batch
    )


def _huggingface(spec: str, threads: int) -> Loaded:
    """Takes text. Threads are those of rayon, or none (`TOKENIZERS_PARALLELISM`)."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(spec)
    return Loaded(
        str,
        lambda documents: tokenizer.encode_batch_fast(documents, add_special_tokens=False),
        lambda found: _flat([one.ids for one in found]),
        lambda rows: tokenizer.decode_batch(rows, skip_special_tokens=False),
    )


def _tiktoken(spec: str, threads: int) -> Loaded:
    """Takes text. It has no tokenizer.json: its ranks are the pieces in the order of their ids."""
    import tiktoken

    parsed = json.loads(spec)
    pattern = patterns.of_spec(parsed)
    assert pattern is not None
    ranks = {piece: symbol for symbol, piece in enumerate(tokenizer_json.pieces(parsed)) if piece}
    encoding = tiktoken.Encoding("bench", pat_str=pattern.regex, mergeable_ranks=ranks, special_tokens={})
    return Loaded(
        str,
        lambda documents: encoding.encode_ordinary_batch(list(documents), num_threads=threads),
        _flat,
        lambda rows: encoding.decode_bytes_batch(rows, num_threads=threads),
    )


def _flat(found: Any) -> Any:
    """(ids of all documents,) from one sequence for each document."""
    return np.concatenate([np.asarray(one) for one in found])


_MAKERS: dict[str, Callable[[str, int], Loaded]] = {
    "proxyc": _proxyc,
    "gigatoken": _gigatoken,
    "fastokens": _fastokens,
    "tiktoken": _tiktoken,
    "tokenizers": _huggingface,
}
FAST_PEERS = ("gigatoken", "fastokens")


def load(name: str, spec: str, threads: int) -> Loaded:
    """A new encoder with nothing in its cache.

    name: a key of `versions()`. spec: the text of a `tokenizer.json`. threads: those it may use;
    some peers take the number from the environment. Raises `ImportError` if the encoder is not
    installed.
    """
    return _MAKERS[name](spec, threads)


def versions() -> dict[str, str]:
    """The encoders that are installed, with their versions.

    Install the others with the extra `peers`.
    """
    return measuring.versions(_MAKERS)
