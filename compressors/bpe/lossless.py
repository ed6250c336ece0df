"""Is a `tokenizer.json` a byte-level BPE that loses nothing? Each refusal says what was found and what to do.

`codec.BPE` calls `check` when it is made, so a tokenizer that could lose bytes never encodes any. A
refusal is an `InvalidConfig` that names the part of the file and the change that would help.
"""

from __future__ import annotations

import json
from typing import Any

from compressors.bpe import splitting, tokenizer_json
from compressors.errors import InvalidConfig

KEEP, REFUSE = "keep", "refuse"  # what to do with text that is not in NFC, where a tokenizer has that normalizer
_STAGES = ("ByteLevel", "Split", "Digits", "Punctuation")


def check(spec: Any, name: str = "tokenizer.json") -> None:
    """Raise `InvalidConfig` with the reason unless `spec` is a lossless byte-level BPE that `tokenizers` accepts.

    `name`: of the file, for the message. All that encoding needs later is tried here.
    """
    try:
        _check(spec)
    except InvalidConfig as error:
        raise InvalidConfig(f"{name}: {error}") from error
    # A malformed file fails in any way, `tokenizers` raises bare exceptions, and its panics are no `Exception`.
    except (Exception, BaseException) as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise InvalidConfig(f"{name}: malformed, or not accepted by `tokenizers`: {error!r}") from error


def _check(spec: Any) -> None:
    """`check` without the name of the file: model, normalizers, stages, merges, added tokens, in this
    order.
    """
    from tokenizers import Tokenizer

    _check_model(spec.get("model") or {}, spec)
    _check_normalizers(spec)
    _check_stages(tokenizer_json.stages(spec))
    tokenizer_json.pieces(spec)
    vocab = spec["model"]["vocab"]
    for left, right in tokenizer_json.merges(spec):
        if not {left, right, left + right} <= vocab.keys():
            raise InvalidConfig(
                f"the merge of {left!r} and {right!r} makes no token; expected merges of this vocabulary"
            )
    tokenizer = Tokenizer.from_str(json.dumps(spec))
    for token in spec.get("added_tokens") or []:
        content = token["content"]
        if token.get("lstrip") or token.get("rstrip"):
            raise InvalidConfig(f"added token {content!r} strips white space; set lstrip and rstrip to false")
        if tokenizer.token_to_id(content) != token["id"]:  # `tokenizers` numbers them itself, in the order of the file
            raise InvalidConfig(
                f"`tokenizers` gives added token {content!r} another id than the file's {token['id']}; put it into the "
                "vocabulary under that id"
            )
        if token.get("normalized") and tokenizer.normalizer and tokenizer.normalizer.normalize_str(content) != content:
            raise InvalidConfig(f"added token {content!r} is changed by the normalizer; set its 'normalized' to false")


def _check_model(model: dict[str, Any], spec: dict[str, Any]) -> None:
    """The model must be a BPE over bytes: one ByteLevel stage, no dropout, no subword marks."""
    if model.get("type", "BPE") != "BPE" or "merges" not in model or "vocab" not in model:
        raise InvalidConfig(f"its model is {model.get('type')!r}; expected a byte-level BPE, as `tokenizers` saves it")
    kinds = [stage.get("type") for stage in tokenizer_json.stages(spec)]
    if "ByteLevel" not in kinds:
        # A frequent mistake: a SentencePiece model. Say what it is, since its name says BPE, too.
        how = "byte_fallback" if model.get("byte_fallback") else "characters"
        if "Metaspace" in kinds:
            how = f"Metaspace and {how}"
        raise InvalidConfig(
            f"no ByteLevel stage: its vocabulary is one of {how}, as SentencePiece makes it, which changes white space; "
            "expected a byte-level BPE: take a model with one, or `proxyc fit bpe`"
        )
    if kinds.count("ByteLevel") > 1:
        raise InvalidConfig("several ByteLevel stages; expected exactly one: remove the others")
    if model.get("dropout"):
        raise InvalidConfig(f"dropout {model['dropout']} makes the ids random; set it to null")
    if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        raise InvalidConfig(
            "subword prefixes and suffixes are not byte-level BPE; set continuing_subword_prefix and "
            "end_of_word_suffix to null if no token has them"
        )


def _check_normalizers(spec: dict[str, Any]) -> None:
    """A normalizer changes text for good. NFC is allowed, since `encode` does not apply it."""
    for normalizer in tokenizer_json.normalizers(spec):
        if normalizer.get("type") != "NFC":
            raise InvalidConfig(
                f"normalizer {normalizer.get('type')!r} changes the text, which cannot be had back; a lossless codec has "
                "none, or NFC: set it to null for ids of the text as it is"
            )


def normalizes(spec: dict[str, Any]) -> bool:
    """Does the tokenizer bring text into NFC?"""
    return bool(tokenizer_json.normalizers(spec))


def _check_stages(stages: list[dict[str, Any]]) -> None:
    """Every stage must cut text without adding, dropping or changing any of it."""
    for stage in stages:
        kind = stage.get("type")
        if kind not in _STAGES:
            raise InvalidConfig(f"pre-tokenizer {kind!r} may drop or change text; expected {', '.join(_STAGES)}")
        if stage.get("add_prefix_space"):
            raise InvalidConfig("add_prefix_space adds a byte that was not there; set it to false")
        if stage.get("behavior") == "Removed" and not splitting.keeps_all(stage):
            raise InvalidConfig(
                f"a pre-tokenizer removes text ({stage.get('pattern') or kind}); expected behaviour 'Isolated', or a "
                "pattern that matches every character, inverted"
            )


def check_choice(not_nfc: str) -> None:
    """Raise `InvalidConfig` unless it is one of the choices for text that is not in NFC."""
    if not_nfc not in (KEEP, REFUSE):
        raise InvalidConfig(f"bpe: not_nfc is {not_nfc!r}; expected {KEEP!r} or {REFUSE!r}")
