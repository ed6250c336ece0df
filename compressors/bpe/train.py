"""Fitting a byte-level BPE with Hugging Face `tokenizers`, ids put into rank order.

`codec.BPE.fit` calls `fit`. Rank order (bytes 0-255, then merge i as id 256 + i) makes the
vocabulary
refinable: see `Vocab.splits`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from compressors.bpe.patterns import by_name
from compressors.bpe.tokenizer_json import byte_alphabet
from compressors.errors import InvalidConfig

# Characters handed to the trainer at once. It takes some 60 bytes for each while it cuts them into words, on every
# core, and reads 256 texts ahead: longer documents are cut at a line end.
TEXT = 1 << 16
# Bytes of the longest piece: longer ones (holes in files, rules of dashes) help no model, and stores take 65,535 at most.
LONGEST = 256
# Characters of a run that are one word to the trainer at most: it walks through a whole word at each merge, so that
# Chinese in words of 65,536 takes twenty times as long as in words of 1,024. Only merges across the cuts are lost.
WORD = 1 << 10
_RUN = re.compile(rf"\S{{{WORD}}}|\s{{{WORD}}}")


def fit(documents: Iterable[bytes], *, vocab_size: int, pattern: str = "llama3") -> dict[str, Any]:
    """A `tokenizer.json` (as a dict) with at most `vocab_size` ids: 0-255 the bytes in order, then merges by
    rank.

    `documents` are read once and not kept; memory is that of the different words in them. Their order does
    not matter. Bytes that are not UTF-8 are skipped while fitting; they are encoded byte by byte. No piece
    is longer than `LONGEST`.
    `pattern`: a name in `compressors.bpe.patterns`.
    Raises `InvalidConfig` for `vocab_size` below 257, an unknown pattern and a corpus without text.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    if not 257 <= vocab_size <= 1 << 24:
        raise InvalidConfig(f"bpe: vocab_size is {vocab_size}; expected 257 (the 256 bytes and one merge) to {1 << 24}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(by_name(pattern).regex), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=list(byte_alphabet()), max_token_length=LONGEST, show_progress=False
    )
    tokenizer.train_from_iterator(_texts(documents), trainer)
    spec: dict[str, Any] = json.loads(tokenizer.to_str())
    if not spec["model"]["merges"]:
        raise InvalidConfig("bpe: no pair of bytes occurs in the corpus to be merged; give more text")
    return in_rank_order(spec)


def _texts(documents: Iterable[bytes]) -> Iterator[str]:
    """The documents as texts of at most `TEXT` characters, cut behind a line end where there is one."""
    for document in documents:
        text, start = document.decode("utf-8", "ignore"), 0
        while len(text) - start > TEXT:
            stop = text.rfind("\n", start, start + TEXT) + 1 or start + TEXT
            yield from _short_words(text[start:stop])
            start = stop
        yield from _short_words(text[start:])


def _short_words(text: str) -> Iterator[str]:
    """`text`, cut after each `WORD` characters of a run of white space, or of anything else."""
    start = 0
    for run in _RUN.finditer(text):
        yield text[start : run.end()]
        start = run.end()
    yield text[start:]


def in_rank_order(spec: dict[str, Any]) -> dict[str, Any]:
    """`spec` with new ids: the bytes are 0-255, then one id for each new piece in the order of the merges."""
    vocab = byte_alphabet()
    for left, right in spec["model"]["merges"]:
        vocab.setdefault(left + right, len(vocab))
    spec["model"]["vocab"] = dict(sorted(vocab.items(), key=lambda item: item[1]))
    return spec
