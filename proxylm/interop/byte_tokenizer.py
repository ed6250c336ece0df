"""Bytes as a tokenizer of `tokenizers` and `transformers`: ids as in `proxylm.data.alphabet`, `bos <raw>` before each text."""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from proxylm.data import frame
from proxylm.data.alphabet import BYTE_OFFSET, N_SPECIALS

PAD = 0
_BEGIN, _OPEN = frame.opening()
_CLOSE, _END = frame.closing()
_NAMED = {PAD: "<|pad|>", _BEGIN: "<|bos|>", _END: "<|eos|>", _OPEN: "<|raw|>", _CLOSE: "<|/raw|>"}
SPECIAL_IDS = {"bos_token_id": _BEGIN, "eos_token_id": _CLOSE, "pad_token_id": PAD}  # as `transformers` calls them


def byte_tokenizer() -> Tokenizer:
    """Byte b is id 64 + b, and a text begins `bos <raw>`; it has no merges, so no special comes of a text's bytes.

    `tokenizers` finds the names of specials in a text all the same, unless `encode_special_tokens` is set; `transformers`
    sets it, as tokenizer_config.json says.
    """
    # The 256 characters that stand for bytes in byte-level tokenizers, printable bytes for themselves (GPT-2).
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    characters = {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}
    specials = [_NAMED.get(i, f"<|special_{i}|>") for i in range(N_SPECIALS)]
    vocab = {name: i for i, name in enumerate(specials)} | {c: BYTE_OFFSET + b for b, c in characters.items()}
    tokenizer = Tokenizer(models.BPE(vocab, []))
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in specials])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    opening = [(_NAMED[i], i) for i in frame.opening()]
    marks = " ".join(name for name, _ in opening)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{marks} $A", pair=f"{marks} $A $B", special_tokens=opening
    )
    return tokenizer


def generation_config() -> dict[str, Any]:
    """Of the specials only the closing mark is ever drawn, and it ends the text, as in `proxylm.generation`."""
    return {
        **SPECIAL_IDS,
        "suppress_tokens": [i for i in range(N_SPECIALS) if i != _CLOSE],
    }


def tokenizer_config(context: int) -> dict[str, Any]:
    """tokenizer_config.json; context: positions the model was trained on."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": _NAMED[_BEGIN],
        "eos_token": _NAMED[_CLOSE],
        "pad_token": _NAMED[PAD],
        "padding_side": "left",
        "model_input_names": ["input_ids", "attention_mask"],  # transformers 4 adds token_type_ids otherwise
        "split_special_tokens": True,  # the name of a special in a text is text
        "clean_up_tokenization_spaces": False,
        "model_max_length": context,
    }
