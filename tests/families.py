"""Popular byte-level tokenizers: their published normalizers, pre-tokenizers and kinds of added tokens, without vocabularies.

`spec` puts one of them over the vocabulary of another `tokenizer.json`, so that ids can be compared without a network.
"""

from __future__ import annotations

from typing import Any

Spec = dict[str, Any]

_QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3 = _QWEN2.replace(r"\p{N}|", r"\p{N}{1,3}|")
_QWEN35 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_TEKKEN = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_O200K = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_SUFFIX}|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_SUFFIX}"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_NO_HAN = "&&[^\\p{Han}]]"
_KIMI = (
    rf"[\p{{Han}}]+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER[:-1]}{_NO_HAN}*{_LOWER[:-1]}{_NO_HAN}+{_SUFFIX}"
    rf"|[^\r\n\p{{L}}\p{{N}}]?{_UPPER[:-1]}{_NO_HAN}+{_LOWER[:-1]}{_NO_HAN}*{_SUFFIX}"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_DEEPSEEK3 = (
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
)
_DEEPSEEK_LETTERS = (  # escapes: characters that NFC would replace
    "\\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝ"
    "Ὗ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳ"
    "Ꙁ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+"
)
_NANOCHAT = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)
_DIGITS = {"type": "Digits", "individual_digits": True}
_NFC = {"type": "NFC"}
_NO_NORMALIZER = {"type": "Sequence", "normalizers": []}
_BLANKS = tuple(" " * n for n in range(2, 25)) + tuple("\t" * n for n in range(2, 10))


def _level(use_regex: bool = False) -> Spec:
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def _split(regex: str, behavior: str = "Isolated", invert: bool = False) -> Spec:
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": behavior, "invert": invert}


def _family(*stages: Spec, normalizer: Spec | None = None, added: tuple[str, ...] = ("<|endoftext|>",)) -> Spec:
    """`added`: blanks are normalized and not special, as published; all others are special."""
    one = stages[0] if len(stages) == 1 else {"type": "Sequence", "pretokenizers": list(stages)}
    return {"pre_tokenizer": one, "normalizer": normalizer, "added": added}


FAMILIES: dict[str, Spec] = {
    "GPT-2, OPT, GPT-J, Whisper": _family(_level(True)),
    "Llama-3, SmolLM3": _family(_split(_LLAMA3), _level(), added=("<|begin_of_text|>", "<|eot_id|>")),
    "GLM-4, DBRX": _family(_split(_LLAMA3), _level(), added=()),
    "Qwen2, Qwen2.5, Qwen3": _family(_split(_QWEN2), _level(), normalizer=_NFC),
    "Qwen3.5": _family(_split(_QWEN35), _level(), normalizer=_NFC),
    "o200k: gpt-oss, Llama-4": _family(_split(_O200K), _level()),
    "GPT-4 as JSON": _family(_split(_LLAMA3, "Removed", True), _level(), added=("<|fim_prefix|>", "<|endofprompt|>")),
    "GPT-4o as JSON": _family(_split(_O200K.replace("/", r"\/"), "Removed", True), _level()),
    "OLMo-2": _family(_split(_LLAMA3, "Removed", True), _level(), added=("<|endoftext|>", "|||IP_ADDRESS|||")),
    "DeepSeek-V3, R1, V4": _family(
        _split(r"\p{N}{1,3}"), _split("[一-龥\u3040-ゟ゠-ヿ]+"), _split(_DEEPSEEK3), _level(),
        normalizer=_NO_NORMALIZER, added=("<｜begin▁of▁sentence｜>", "<think>"),
    ),
    "DeepSeek-LLM": _family(
        _split("[\r\n]"), _split(_DEEPSEEK_LETTERS), _split(r"\s?[!-/:-~！-／：-～‘-‟　-。]+"), _split(r"\s+$"),
        _split("[一-龥ࠀ-一가-\ud7ff]+"), _DIGITS, _level(), normalizer=_NO_NORMALIZER,
    ),
    "DeepSeek-Coder": _family(
        _split("[\r\n]"), _split(r"\s?\p{L}+"), _split(r"\s?\p{P}+"), _split("[一-龥ࠀ-一가-\ud7ff]+"), _DIGITS,
        _level(), normalizer=_NO_NORMALIZER,
    ),
    "Mistral Tekken": _family(_split(_TEKKEN), _level(), added=("<s>", "[INST]")),
    "Kimi-K2": _family(_split(_KIMI), _level(), added=("[BOS]", "<|im_end|>")),
    "StarCoder, SmolLM2, Granite": _family(_DIGITS, _level(True)),
    "Falcon": _family(
        {"type": "Punctuation", "behavior": "Contiguous"}, _level(True), {"type": "Digits", "individual_digits": False},
        _split("[0-9][0-9][0-9]"), added=(">>TITLE<<", "<|endoftext|>"),
    ),
    "BLOOM": _family(_split(r" ?[^(\s|[.,!?…。，、।۔،])]+"), _level(), added=("<unk>", "<s>", "</s>")),
    "GPT-NeoX, Pythia, OLMo-1": _family(_level(True), normalizer=_NFC, added=("<|endoftext|>", *_BLANKS)),
    "CodeGen, Phi-1, Phi-2": _family(_level(True), added=("<|endoftext|>", *_BLANKS)),
    "Command-R, Aya": _family(_DIGITS, _level(True), normalizer=_NFC, added=("<BOS_TOKEN>", "<PAD>")),
    "nanochat": _family(_split(_NANOCHAT), _level(), added=("<|bos|>",)),
}  # fmt: skip


def spec(name: str, model: Spec) -> Spec:
    """The `tokenizer.json` of a family over the vocabulary and merges of `model`, the model part of another one."""
    family = FAMILIES[name]
    first = max(model["vocab"].values()) + 1
    added = [
        {
            "id": first + i, "content": content, "single_word": False, "lstrip": False, "rstrip": False,
            "normalized": content.isspace(), "special": not content.isspace(),
        }
        for i, content in enumerate(family["added"])
    ]  # fmt: skip
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "post_processor": None,
        "normalizer": family["normalizer"], "pre_tokenizer": family["pre_tokenizer"], "decoder": _level(True), "model": model,
    }  # fmt: skip
