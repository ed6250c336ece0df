"""The pre-tokenizers that have a name: their expressions, and how a `tokenizer.json` spells them.

`train` and `tiktoken_ranks` write the expression of a name into a tokenizer; `engine` recognises it there and
picks a kernel. Any other expression is cut by the tables of `splitting`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from compressors.bpe import splitting, tokenizer_json
from compressors.bpe.regex_sets import Unsupported
from compressors.errors import InvalidConfig

# From left to right: contractions; a word with one mark or blank before it; up to three numbers;
# punctuation with line ends; blank lines; white space, the last blank left to what follows; other white
# space.
_LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# o200k also cuts words where a capital follows a small letter.
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_O200K = (
    rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_SUFFIX}|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_SUFFIX}"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class Pattern:
    """How text is cut: the family of the kernel, its regular expression, and the most numbers in one piece."""

    name: str
    family: str
    regex: str
    digits: int = 1

    @property
    def scanned(self) -> bool:
        """Does it have a scanner made by hand?"""
        return self.family in ("gpt2", "llama3")


PATTERNS = {
    pattern.name: pattern
    for pattern in (
        Pattern("gpt2", "gpt2", splitting.GPT2),
        Pattern("llama3", "llama3", _LLAMA3, 3),  # cl100k (GPT-4) cuts alike
        Pattern("qwen2", "llama3", _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}"), 1),
        Pattern("o200k", "o200k", _O200K, 3),
    )
}
ALIASES = {"r50k": "gpt2", "p50k": "gpt2", "cl100k": "llama3"}
# Other spellings of the same expressions, as published files have them: possessive quantifiers, grouped contractions.
# tiktoken's own of cl100k is not one: its `{1,3}+` is "once or more" to the engine in `tokenizers`, and its `\s++$`
# keeps white space at the end of a text whole.
_SPELLINGS = {
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+": "gpt2",
    r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s": "gpt2",
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+": "llama3",
}


# Of tiktoken: where white space ends the text it differs from llama3, which shows only if a token crosses a line end.
CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
)


def of_tiktoken(pattern: str) -> Pattern:
    """The pattern of a name, or of an expression as tiktoken takes it.

    Raises `InvalidConfig` for an unknown name, for an expression that `splitting` cannot make tables of,
    and for an expression that leaves characters out, which tiktoken drops.
    """
    if re.fullmatch(r"\w*", pattern):
        return by_name(pattern)
    unnamed = Pattern("", "tables", _from_rust(pattern))
    try:
        splitting.of({"pre_tokenizer": {"type": "Sequence", "pretokenizers": pre_tokenizers(unnamed)}})
    except Unsupported as error:
        raise InvalidConfig(f"tiktoken: the pattern has {error}, which has no tables; give another") from error
    if not splitting.keeps_all(pre_tokenizers(unnamed)[0] | {"invert": True}):
        raise InvalidConfig(
            "tiktoken: the pattern leaves characters out; expected one that matches all text: add |.|\\n"
        )
    return unnamed


def _from_rust(expression: str) -> str:
    """An expression of tiktoken as Oniguruma writes it: `$` is the end of the text only, `{1,3}+` gives
    nothing back.
    """
    translated, in_class = "", 0
    for part in re.findall(r"\\.|\{[\d,]+\}\+(?=[|)]|$)|\{[\d,]+\}\+|.", expression, re.DOTALL):
        in_class += (part == "[") - (part == "]")
        if part[0] == "{" and part[-1] == "+" and not in_class:
            # Where nothing follows in its alternative, giving back makes no difference.
            if not re.search(re.escape(part) + r"([|)]|$)", expression):
                raise InvalidConfig(f"tiktoken: the pattern has {part} before more, which has no tables; give another")
            part = part[:-1]
        translated += r"\z" if part == "$" and not in_class else part
    return translated


def by_name(name: str) -> Pattern:
    """The pattern called `name`, or `InvalidConfig` with the names there are."""
    try:
        return PATTERNS[ALIASES.get(name, name)]
    except KeyError:
        raise InvalidConfig(f"no pattern {name!r}; there are {', '.join(sorted([*PATTERNS, *ALIASES]))}") from None


def pre_tokenizers(pattern: Pattern) -> list[dict[str, Any]]:
    """The pre-tokenizers of a `tokenizer.json` that cuts by `pattern`."""
    split = {"type": "Split", "pattern": {"Regex": pattern.regex}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return [split, level]


def of_spec(spec: dict[str, Any]) -> Pattern | None:
    """The pattern that a `tokenizer.json` cuts by, or None if no pattern here has its pre-tokenizer."""
    stages = tokenizer_json.stages(spec)
    kinds = [stage.get("type") for stage in stages]
    if kinds == ["ByteLevel"] and stages[0].get("use_regex", True):
        return PATTERNS["gpt2"]
    if kinds != ["Split", "ByteLevel"] or stages[1].get("use_regex", True):
        return None
    regex = stages[0].get("pattern", {}).get("Regex")
    if stages[0].get("behavior") not in ("Isolated", "Removed"):  # what is removed is nothing: each takes all text
        return None
    known = {pattern.regex: name for name, pattern in PATTERNS.items()} | _SPELLINGS
    return PATTERNS[known[regex]] if regex in known else None
