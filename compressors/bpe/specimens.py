"""Tokenizers that use every kernel between them, to compile them all before they are needed.

`proxyc doctor --warm` encodes with each of them (`codec.BPE.specimens`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compressors.bpe import lossless, tiktoken_ranks
from compressors.bpe.patterns import PATTERNS

_BYTES = {bytes([byte]): byte for byte in range(256)}


def specs() -> Iterator[tuple[dict[str, Any], dict[str, str]]]:
    """Pairs of a `tokenizer.json` and settings: scanners, tables, ids of both widths, added tokens, NFC."""
    # 65,537 ids: symbols then have 32 bits, and the kernels compile for that type, too.
    fillers = {f"\u00ff\u00ff{symbol}": symbol for symbol in range(257, 1 << 16 | 1)}
    for pattern, more in [*((pattern, {}) for pattern in PATTERNS), ("gpt2", fillers)]:
        spec = tiktoken_ranks.spec(_BYTES | {b"re": 256}, pattern, {})
        spec["model"]["vocab"] |= more
        yield spec, {}
    spec = tiktoken_ranks.spec(_BYTES, "gpt2", {"return": 256})
    digits = {"type": "Digits", "individual_digits": True}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    spec["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [digits, level, digits]}
    yield spec | {"normalizer": {"type": "NFC"}}, {"not_nfc": lossless.REFUSE}
