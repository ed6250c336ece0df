"""Reading a Hugging Face `tokenizer.json`: its stages, its merges, and which bytes each id stands for.

The functions take the parsed file (`spec`), and `codec`, `engine`, `lossless` and `tiktoken_ranks`
call them. Tokens in the file are strings of GPT-2's stand-ins, one printable character for each
byte.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from compressors.errors import InvalidConfig

DECODER = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}  # its usual spelling
# tokenizer_config.json. The clean-up would drop spaces of the decoded text; transformers 4 adds token_type_ids by default.
CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "clean_up_tokenization_spaces": False,
    "model_input_names": ["input_ids", "attention_mask"],
}
# Ids without a token get fillers up to this number, and beyond it only where half of the ids are tokens:
# a file with one huge id must not take gigabytes.
_MOST_IDS = 1 << 20


def byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins: one character per byte, character -> byte."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


def text(spec: dict[str, Any]) -> bytes:
    """`spec` as the content of a file; the same dict gives the same bytes."""
    return json.dumps(spec, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def is_json(head: bytes) -> bool:
    """Does a file that begins with `head` hold a JSON object? White space and a byte order mark may come before it."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")[:1] in (b"{", b"")


def read(path: str | os.PathLike[str]) -> Any:
    """The JSON value in a file. Raises `InvalidConfig` if there is none."""
    try:
        return json.loads(Path(path).read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise InvalidConfig(f"{path}: neither a proxyc artifact nor a tokenizer.json ({error})") from error


def pieces(spec: dict[str, Any]) -> tuple[bytes, ...]:
    """The bytes of every id. An id without a token stands for bytes outside UTF-8, so no text has it.

    Raises `InvalidConfig` if a byte has no id, and where most ids have no token.
    """
    alphabet = byte_alphabet()
    added = {token["id"]: token["content"].encode() for token in spec.get("added_tokens") or []}
    found: dict[int, bytes] = {}
    for text, symbol in spec["model"]["vocab"].items():
        try:
            piece = bytes(alphabet[character] for character in text)
        except KeyError as error:
            if symbol in added:  # as in the file of a tokenizer that was given tokens and saved again
                continue
            raise InvalidConfig(
                f"token {text!r} is not in the byte-level alphabet; expected a vocabulary of ByteLevel"
            ) from error
        if added.get(symbol, piece) == piece:
            found[symbol] = piece
    if missing := 256 - sum(len(piece) == 1 for piece in set(found.values())):
        raise InvalidConfig(
            f"{missing} of the 256 bytes have no id, so it cannot be lossless; train it with the whole byte alphabet"
        )
    found |= added
    size = max(found) + 1
    if min(found) < 0 or size > max(2 * len(found), _MOST_IDS):
        raise InvalidConfig(f"{len(found)} ids up to {size - 1}; expected few gaps between ids: number them again")
    known = set(found.values())
    return tuple(found[symbol] if symbol in found else filler(symbol, known) for symbol in range(size))


def filler(symbol: int, known: Any) -> bytes:
    """What an id without a token stands for: bytes that are no UTF-8, so that no text has them, and not in `known`."""
    piece = b"\xff\xff%d" % symbol
    while piece in known:
        piece = b"\xff" + piece
    return piece


def merges(spec: dict[str, Any]) -> list[tuple[str, str]]:
    """The merges by rank, whichever of its two ways the file writes them in."""
    pairs = (
        merge.split(" ") if isinstance(merge, str) else merge
        for merge in spec["model"]["merges"]
        if not (isinstance(merge, str) and merge.startswith("#version"))  # the head of a merges.txt
    )
    return [(left, right) for left, right in pairs]


def splits(spec: dict[str, Any], pieces: tuple[bytes, ...]) -> Any:
    """(size-256, 2) earlier symbols of each merge, or None if ids are not in rank order after the bytes."""
    if pieces[:256] != tuple(bytes([byte]) for byte in range(256)) or spec.get("added_tokens"):
        return None
    vocab = spec["model"]["vocab"]
    found: dict[int, tuple[int, int]] = {}
    for left, right in merges(spec):
        found.setdefault(vocab[left + right], (vocab[left], vocab[right]))
    # A missing id stands as a pair of itself, which fails the test below: no splits then.
    ordered = [found.get(symbol, (symbol, symbol)) for symbol in range(256, len(pieces))]
    if any(max(pair) >= 256 + i for i, pair in enumerate(ordered)):
        return None
    return np.array(ordered, np.uint32).reshape(-1, 2)


def stages(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The pre-tokenizers that text goes through, one after the other."""
    return _flat(spec.get("pre_tokenizer"), "pretokenizers")


def normalizers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The normalizers that text goes through; a Sequence of nothing is none."""
    return _flat(spec.get("normalizer"), "normalizers")


def _flat(node: Any, key: str) -> list[dict[str, Any]]:
    """The members of a Sequence, of Sequences in it, too; any other node is the only member."""
    if not node:
        return []
    if node.get("type") != "Sequence":
        return [node]
    return [member for part in node[key] for member in _flat(part, key)]
