"""Which engine encodes with a given `tokenizer.json`: our kernels, or `tokenizers` where they do not know its rules.

All engines have ``encode(documents, threads) -> Ragged`` and give the ids of `tokenizers`; a byte outside UTF-8 text is
its own id.

`codec.BPE` asks `of` once, when it first encodes.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from compressors.base import Vocab
from compressors.bpe import cutting, encoder, patterns, splitting, tokenizer_json
from compressors.bpe.added_tokens import AddedTokens
from compressors.bpe.library import Library, why_needed
from compressors.errors import SlowPath


def of(spec: dict[str, Any], vocab: Vocab) -> encoder.Encoder | Library:
    """The fastest engine that gives the ids of `spec`; warns with `SlowPath` and the reason if that is `tokenizers`."""
    if reason := why_needed(spec):
        warnings.warn(f"bpe: encoding through `tokenizers`, many times slower: {reason}", SlowPath, stacklevel=4)
        return Library(spec, vocab)
    assert vocab.pieces is not None
    # gpt2, llama3 and qwen2 have a scanner made by hand, which is faster than tables.
    pattern = patterns.of_spec(spec)
    cut = cutting.Scanner(pattern) if pattern and pattern.scanned else cutting.Walker(splitting.of(spec))
    added = AddedTokens(spec["added_tokens"]) if spec.get("added_tokens") else None
    ignore_merges = bool(spec["model"].get("ignore_merges"))
    return encoder.Encoder(cut, merges_of(spec), vocab.pieces, ignore_merges=ignore_merges, added=added)


def merges_of(spec: dict[str, Any]) -> encoder.Merges:
    """The merges of a `tokenizer.json`, by rank, as ids."""
    ids = spec["model"]["vocab"]
    merges = tokenizer_json.merges(spec)
    of_byte = {byte: ids[character] for character, byte in tokenizer_json.byte_alphabet().items()}
    columns = [
        [ids[left] for left, _ in merges], [ids[right] for _, right in merges],
        [ids[left + right] for left, right in merges],
    ]  # fmt: skip
    byte_ids = np.array([of_byte[byte] for byte in range(256)], np.uint32)
    return encoder.Merges(byte_ids, *(np.array(column, np.uint32) for column in columns))
