"""Encoding through Hugging Face `tokenizers` itself, where the kernels do not know the rules of a tokenizer.

`engine` asks `why_needed`, and takes `Library` where it gives a reason. It has the same method
`encode` as `encoder.Encoder`, and the same ids.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from compressors.base import Ragged, Symbols, Vocab
from compressors.bpe import patterns, splitting
from compressors.bpe.regex_sets import Unsupported
from compressors.errors import InputError

MOST_IDS, MOST_MERGES = (1 << 20) - 1, (1 << 23) - 1  # that the kernels take: ids have 20 bits, one value is none
# Python decodes a byte outside UTF-8 text to one of these; well-formed text never holds one.
_INVALID_BYTE = re.compile("([\udc80-\udcff])")
_BATCH = 1 << 20  # bytes handed to `tokenizers` at once: its result objects take 100 bytes and more for a byte of text
_LARGEST = 1 << 26  # bytes of one document: 7 GB of such objects, and more where tokens are short


def why_needed(spec: dict[str, Any]) -> str:
    """Why the kernels cannot encode with `spec`; empty if they can."""
    size = 1 + max([*spec["model"]["vocab"].values(), *(token["id"] for token in spec.get("added_tokens") or [])])
    if size > MOST_IDS or len(spec["model"]["merges"]) > MOST_MERGES:
        return f"it has {size} ids; the kernels take up to {MOST_IDS}"
    if any(token.get("single_word") for token in spec.get("added_tokens") or []):
        return "it has added tokens that match whole words only"
    try:
        if patterns.of_spec(spec) is None:
            splitting.of(spec)
    except Unsupported as error:
        return f"its pre-tokenizer has {error}, which has no tables"
    return ""


class Library:
    """`tokenizers`: right for every file it accepts, and slow. Text is not normalised."""

    def __init__(self, spec: dict[str, Any], vocab: Vocab) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_str(json.dumps(spec | {"normalizer": None}))
        self._dtype = vocab.dtype
        symbol_of = {piece: symbol for symbol, piece in reversed(list(enumerate(vocab.pieces or ())))}
        self._byte_symbols = [symbol_of[bytes([byte])] for byte in range(256)]

    def encode(self, documents: Iterable[bytes], threads: int = 1) -> Ragged:
        """`tokenizers` has threads itself (TOKENIZERS_PARALLELISM); `threads` is not used.

        Raises `InputError` for a document that takes too much memory, and for one that `tokenizers` gives up on.
        """
        rows: list[Symbols] = []
        for batch in _batches(documents):
            try:
                rows += self._batch(batch)
            except BaseException as error:
                if not _is_panic(error):
                    raise
                rows += self._one_by_one(batch, len(rows))
        return Ragged.from_rows(rows, self._dtype)

    def _one_by_one(self, documents: list[bytes], first: int) -> list[Symbols]:
        """The ids of documents of which one makes `tokenizers` panic: says which; `first`: the number of the first."""
        rows = []
        for i, document in enumerate(documents):
            try:
                rows += self._batch([document])
            except BaseException as error:
                if not _is_panic(error):
                    raise
                raise InputError(
                    f"bpe: `tokenizers` gives up on document {first + i} of {len(document)} bytes ({error}); "
                    "cut its long runs of one kind of character into several documents"
                ) from None
        return rows

    def _batch(self, documents: list[bytes]) -> list[Symbols]:
        """Ids of each document; bytes outside UTF-8 become the symbols of those bytes."""
        # Splitting by a group keeps what it matched: text at even places, invalid bytes at odd
        # ones.
        runs = [_INVALID_BYTE.split(bytes(document).decode("utf-8", "surrogateescape")) for document in documents]
        texts = [text for row in runs for text in row[::2]]  # text, byte, text, byte, ..., text
        encoded = iter(self._tokenizer.encode_batch_fast(texts, add_special_tokens=False))
        rows = []
        for row in runs:
            symbols: list[int] = []
            for i, part in enumerate(row):
                symbols += next(encoded).ids if i % 2 == 0 else [self._byte_symbols[ord(part) - 0xDC00]]
            rows.append(np.array(symbols, self._dtype))
        return rows


def _is_panic(error: BaseException) -> bool:
    """A panic of Rust is no `Exception`, and its class cannot be imported."""
    return type(error).__name__ == "PanicException"


def _batches(documents: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Consecutive documents of about `_BATCH` bytes together."""
    batch: list[bytes] = []
    size = 0
    for i, document in enumerate(documents):
        if len(document) > _LARGEST:
            raise InputError(
                f"bpe: document {i} has {len(document)} bytes; `tokenizers`, which this tokenizer needs, takes "
                f"100 bytes of memory and more for each: cut it into documents of at most {_LARGEST}"
            )
        if batch and size + len(document) > _BATCH:
            yield batch
            batch, size = [], 0
        batch.append(document)
        size += len(document)
    if batch:
        yield batch


def version() -> str:
    """The version of `tokenizers`: it decides what the classes of characters are, and so the ids."""
    import tokenizers

    return str(tokenizers.__version__)
