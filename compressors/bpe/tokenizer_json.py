"""Reading a Hugging Face `tokenizer.json`: is it a lossless byte-level BPE, and which bytes does each id stand for?"""

from __future__ import annotations

import json
from typing import Any

from compressors.errors import InvalidConfig

DECODER = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}  # its usual spelling


def byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins: one character per byte, character -> byte."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


def text(spec: dict[str, Any]) -> bytes:
    """`spec` as the content of a file; the same dict gives the same bytes."""
    return json.dumps(spec, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def check(spec: Any) -> None:
    """Raise `InvalidConfig` with the reason unless `spec` is a lossless byte-level BPE that `tokenizers` accepts."""
    from tokenizers import Tokenizer

    try:
        pieces(spec)
        tokenizer = Tokenizer.from_str(json.dumps(spec))
    except InvalidConfig:
        raise
    except Exception as error:  # a malformed file fails here in any way, and `tokenizers` raises bare exceptions
        raise InvalidConfig(f"tokenizer.json: malformed, or not accepted by `tokenizers`: {error!r}") from error
    for token in spec.get("added_tokens") or []:  # `tokenizers` numbers added tokens itself, in the order of the file
        if tokenizer.token_to_id(token["content"]) != token["id"]:
            raise InvalidConfig(
                f"tokenizer.json: `tokenizers` gives added token {token['content']!r} another id than the file"
            )


def pieces(spec: dict[str, Any]) -> tuple[bytes, ...]:
    """The bytes of every id. Raises `InvalidConfig` if encoding with `spec` could lose bytes, or ids have gaps."""
    _refuse_unless_lossless(spec)
    alphabet = byte_alphabet()
    found: dict[int, bytes] = {}
    added = {token["id"]: token["content"] for token in spec.get("added_tokens") or []}
    for text, symbol in spec["model"]["vocab"].items():
        if symbol in added:
            continue
        try:
            found[symbol] = bytes(alphabet[character] for character in text)
        except KeyError as error:
            raise InvalidConfig(f"tokenizer.json: token {text!r} is not in the byte-level alphabet") from error
    missing = {bytes([byte]) for byte in range(256)} - set(found.values())
    if missing:
        raise InvalidConfig(f"tokenizer.json: {len(missing)} of the 256 bytes have no id, so it cannot be lossless")
    found |= {symbol: text.encode() for symbol, text in added.items()}
    if sorted(found) != list(range(len(found))):
        raise InvalidConfig(f"tokenizer.json: {len(found)} ids up to {max(found)}; expected ids without gaps")
    return tuple(found[symbol] for symbol in range(len(found)))


def merges(spec: dict[str, Any]) -> list[tuple[str, str]]:
    """The merges by rank, whichever of its two ways the file writes them in."""
    pairs = (merge.split(" ") if isinstance(merge, str) else merge for merge in spec["model"]["merges"])
    return [(left, right) for left, right in pairs]


def stages(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The pre-tokenizers that text goes through, one after the other."""
    first = spec.get("pre_tokenizer") or {}
    found: list[dict[str, Any]] = first.get("pretokenizers", [first])
    return found


def _refuse_unless_lossless(spec: dict[str, Any]) -> None:
    model = spec.get("model") or {}
    if model.get("type", "BPE") != "BPE" or "merges" not in model or "vocab" not in model:
        raise InvalidConfig(
            f"tokenizer.json: its model is {model.get('type')!r}; expected a byte-level BPE, as `tokenizers` saves it"
        )
    if spec.get("normalizer"):
        raise InvalidConfig(
            f"tokenizer.json: normalizer {spec['normalizer'].get('type')!r} changes the text; a lossless codec has none"
        )
    if model.get("dropout"):
        raise InvalidConfig(f"tokenizer.json: dropout {model['dropout']} makes the ids random; set it to null")
    if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        raise InvalidConfig("tokenizer.json: subword prefixes and suffixes are not byte-level BPE")
    if [stage.get("type") for stage in stages(spec)].count("ByteLevel") != 1:
        raise InvalidConfig(
            "tokenizer.json: no ByteLevel stage, or several; expected a byte-level BPE with exactly one"
        )
    for stage in stages(spec):
        if stage.get("type") not in ("ByteLevel", "Split", "Digits", "Punctuation"):
            raise InvalidConfig(f"tokenizer.json: pre-tokenizer {stage.get('type')!r} may drop or change text")
        if stage.get("add_prefix_space"):
            raise InvalidConfig("tokenizer.json: add_prefix_space adds a byte that was not there; set it to false")
        if stage.get("behavior", "Isolated") == "Removed":
            raise InvalidConfig("tokenizer.json: a pre-tokenizer removes text; expected behaviour 'Isolated'")
    for token in spec.get("added_tokens") or []:
        if token.get("lstrip") or token.get("rstrip"):
            raise InvalidConfig(
                f"tokenizer.json: added token {token['content']!r} strips white space; set lstrip and rstrip to false"
            )
