"""The pre-tokenizers of a `tokenizer.json` as tables: Split, Digits, Punctuation, ByteLevel, in any
order.

Stages before ByteLevel cut characters, those after it cut the stand-ins of bytes: two alphabets,
and
tables for each. `engine` asks `of` for a `Splitter`, which `cutting.Walker` follows. Results are
cached
by the text of the stages, since every codec with the same pre-tokenizer shares them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from compressors.bpe import classes, regex, tables, tokenizer_json
from compressors.bpe.immediate import Split
from compressors.bpe.matcher import Alphabet, Matcher, alphabet
from compressors.bpe.regex import Node
from compressors.bpe.regex_sets import Unsupported

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"  # what ByteLevel itself cuts by


@dataclass(frozen=True, eq=False)
class Splitter:
    """How text is cut: passes over its characters, then, for what comes after ByteLevel, over its bytes."""

    points: classes.Table  # class of each code point
    passes: tuple[tables.Table, ...]
    of_byte: npt.NDArray[np.uint8]  # (256,) class of each byte
    byte_passes: tuple[tables.Table, ...]


def of(spec: dict[str, Any]) -> Splitter:
    """The tables of a `tokenizer.json`. Raises `Unsupported` with the reason if there can be none."""
    return _of(json.dumps(tokenizer_json.stages(spec)))


@lru_cache(16)
def _of(stages: str) -> Splitter:
    """`of`, by the JSON of the stages, which can be a key of the cache."""
    characters: list[tuple[Node, bool]] = []
    of_bytes: list[tuple[Node, bool]] = []
    current = characters
    for stage in json.loads(stages):
        if stage["type"] != "ByteLevel":
            current.append(_split(stage))
            continue
        if stage.get("use_regex", True):
            current.append((regex.parse(GPT2), False))
        current = of_bytes
    letters, passes = _tables(characters, marked=False)
    byte_letters, byte_passes = _tables(of_bytes, marked=True)
    # Behind ByteLevel each byte is a printable character (GPT-2's alphabet): its class is that
    # character's.
    stand_ins = sorted(tokenizer_json.byte_alphabet().items(), key=lambda item: item[1])
    of_byte = byte_letters.of_point[[ord(character) for character, _ in stand_ins]]
    return Splitter(classes.paged(letters.of_point), tuple(passes), of_byte, tuple(byte_passes))


def _tables(splits: Sequence[tuple[Node, bool]], marked: bool) -> tuple[Alphabet, list[tables.Table]]:
    """The common alphabet of some splits, and their tables; `marked`: in text that is in pieces
    already.
    """
    letters = alphabet([tree for tree, _ in splits])
    return letters, tables.of([Split(Matcher(tree, letters), joined) for tree, joined in splits], letters, marked)


def _split(stage: dict[str, Any]) -> tuple[Node, bool]:
    """The expression of a stage, and are neighbours that match one piece?"""
    behavior = stage.get("behavior", "Isolated")
    if stage["type"] == "Digits":
        return ("set", classes.having(classes.DIGIT)), not stage.get("individual_digits")
    if behavior not in ("Isolated", "Contiguous") and not (behavior == "Removed" and stage.get("invert")):
        raise Unsupported(f"the behavior {behavior!r}")
    if stage["type"] == "Punctuation":
        return ("set", classes.having(classes.PUNCTUATION)), behavior == "Contiguous"
    return _tree(stage), behavior == "Contiguous"


def _tree(stage: dict[str, Any]) -> Node:
    """The expression of a Split stage: a regular expression, or a string to find."""
    pattern = stage["pattern"]
    return regex.parse(pattern["Regex"]) if "Regex" in pattern else regex.literal(pattern["String"])


@lru_cache(64)
def _matches_all(stage: str) -> bool:
    """Does every character belong to a match of this Split (as JSON)?"""
    try:
        tree = _tree(json.loads(stage))
        return Matcher(tree, alphabet([tree])).keeps_all()
    except Unsupported:
        return False


def keeps_all(stage: dict[str, Any]) -> bool:
    """Is nothing lost to a Split that removes text, since it removes what does not match and everything does?"""
    return stage.get("type") == "Split" and bool(stage.get("invert")) and _matches_all(json.dumps(stage))
