"""BPE encoders side by side: ours and its peers, all made from one `tokenizer.json`, each fed the type it likes best."""

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
    """An encoder with an empty cache: `encode` takes all documents in `takes`, `ids` makes one array of its answer."""

    takes: type
    encode: Callable[[Sequence[Any]], Any]
    ids: Callable[[Any], Any]


def _proxyc(spec: str, threads: int) -> Loaded:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "tokenizer.json")
        path.write_text(spec)
        codec = BPE.from_tokenizer_json(path)
    codec.encode_batch([b"a"], threads=threads)  # makes its tables, as the constructors of the others do
    return Loaded(bytes, lambda documents: codec.encode_batch(documents, threads=threads), lambda found: found.values)


def _gigatoken(spec: str, threads: int) -> Loaded:
    import gigatoken

    tokenizer = gigatoken.Tokenizer.from_json(spec)
    return Loaded(
        bytes,
        lambda documents: tokenizer.encode_batch(documents, parallel=threads > 1),
        lambda found: np.asarray(found.layout.content.data),
    )


def _fastokens(spec: str, threads: int) -> Loaded:
    import fastokens

    tokenizer = fastokens._native.Tokenizer.from_json_str(spec)
    return Loaded(str, tokenizer.encode_batch_flat, lambda found: np.frombuffer(found[0], np.uint32))


def _huggingface(spec: str, threads: int) -> Loaded:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(spec)
    return Loaded(
        str,
        lambda documents: tokenizer.encode_batch_fast(documents, add_special_tokens=False),
        lambda found: np.concatenate([np.array(one.ids) for one in found]),
    )


def _tiktoken(spec: str, threads: int) -> Loaded:
    import tiktoken

    parsed = json.loads(spec)
    pattern = patterns.of_spec(parsed)
    assert pattern is not None
    ranks = {piece: symbol for symbol, piece in enumerate(tokenizer_json.pieces(parsed)) if piece}
    encoding = tiktoken.Encoding("bench", pat_str=pattern.regex, mergeable_ranks=ranks, special_tokens={})
    return Loaded(
        str,
        lambda documents: encoding.encode_ordinary_batch(list(documents), num_threads=threads),
        lambda found: _flat(found),
    )


def _flat(found: Any) -> Any:
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
    """A new encoder with nothing in its cache. `spec`: the text of a `tokenizer.json`."""
    return _MAKERS[name](spec, threads)


def versions() -> dict[str, str]:
    """The encoders that are installed, with their versions; install the others with the extra `peers`."""
    return measuring.versions(_MAKERS)
