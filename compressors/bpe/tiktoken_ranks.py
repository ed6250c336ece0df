"""Reading and writing tiktoken rank files: on each line a token in base64 and its rank, which is its id; merges are implied.

tiktoken first looks up the whole piece of text. If the piece is not a token, it starts from the bytes
of the piece and joins the two neighbours whose concatenation has the lowest rank, the leftmost of
equals. It stops when no two neighbours concatenate to a token.

The merges follow from the ranks. The bytes between two boundaries of a piece are merged in the same
order in which a piece of just these bytes would be. So a token can only arise from the last two parts
that merging its bytes leads to: one merge for each token is enough, and two merges of equal rank are
the same merge. This holds for any ranks, also where those of the parts are higher. A token whose bytes
never come to two parts occurs only as a whole piece (`ignore_merges`).
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compressors.bpe import patterns, tokenizer_json
from compressors.bpe.tokenizer_json import DECODER, byte_alphabet, filler, merges
from compressors.errors import InputError, InvalidConfig

Ranks = Mapping[bytes, int]
_LINE = re.compile(rb"([A-Za-z0-9+/]+={0,2}) +(\d{1,9})\s*")


def is_rank_file(first_line: bytes) -> bool:
    """Does a file that begins with `first_line` look like one?"""
    return _LINE.fullmatch(first_line) is not None


def read(path: str | os.PathLike[str]) -> dict[bytes, int]:
    """Token -> rank. Raises `InputError` for a missing file, `InvalidConfig` for one of another kind."""
    if not Path(path).is_file():
        raise InputError(f"no file {path}; expected tiktoken's ranks")
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(Path(path).read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line)
        try:
            token = base64.b64decode(match[1], validate=True) if match else b""
        except ValueError:
            token = b""
        if match is None or not token or token in ranks:
            raise InvalidConfig(
                f"{path}:{number}: {line[:40]!r}; expected a token in base64, new in the file, and its rank"
            )
        ranks[token] = int(match[2])
    return ranks


def spec(ranks: Ranks, pattern: str, special_tokens: Mapping[str, int]) -> dict[str, Any]:
    """The `tokenizer.json` (as a dict) that gives the ids of tiktoken for `ranks`.

    `pattern`: a name in `compressors.bpe.patterns`, or an expression as tiktoken takes it.
    `special_tokens` (text -> id) become their ids wherever they occur.
    Raises `InvalidConfig` for ranks that are not the ids of a byte-level BPE, for an unknown pattern, and
    for a special token that clashes with a token.
    """
    _check(ranks, special_tokens)
    # cl100k is cut like llama3, but for white space at the end of a text: only such a token can
    # show it.
    crossing = pattern == "cl100k" and any(map(_crosses_a_line_end, ranks))
    cut = patterns.of_tiktoken(patterns.CL100K if crossing else pattern)
    character = {byte: text for text, byte in byte_alphabet().items()}

    def text(token: bytes) -> str:
        return "".join(map(character.__getitem__, token))

    tokens = sorted(ranks, key=ranks.__getitem__)
    vocab = {text(token): ranks[token] for token in tokens}
    for content, symbol in special_tokens.items():
        if vocab.setdefault(content, symbol) != symbol:
            raise InvalidConfig(f"tiktoken: special token {content!r} is written like token {vocab[content]}")
    # `tokenizers` numbers tokens without gaps. What fills them is no UTF-8, so it never occurs in a piece of text.
    for symbol in sorted(set(range(max(vocab.values()))) - set(vocab.values())):
        vocab[text(filler(symbol, ranks))] = symbol
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added(content, symbol) for content, symbol in special_tokens.items()],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": patterns.pre_tokenizers(cut)},
        "post_processor": None,
        "decoder": DECODER,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": True,
            "vocab": dict(sorted(vocab.items(), key=lambda item: item[1])),
            "merges": [[text(left), text(right)] for left, right in filter(None, (_parts(t, ranks) for t in tokens))],
        },
    }  # fmt: skip


def of_spec(spec: Mapping[str, Any]) -> dict[bytes, int]:
    """The ranks that give the ids of a `tokenizer.json`, without its added tokens; the reverse of `spec`.

    Raises `InvalidConfig` if tiktoken would merge in another order: it takes the pair with the lowest id first, and the
    file may have its merges in any order.
    """
    alphabet, model = byte_alphabet(), spec["model"]
    added = {token["content"] for token in spec.get("added_tokens") or []}
    ranks: dict[bytes, int] = {}
    for token, symbol in model["vocab"].items():
        piece = bytes(alphabet[character] for character in token) if token not in added else b""
        # What fills a gap between ids is left out: a file of ranks may have gaps.
        if piece and not piece.endswith(b"\xff\xff%d" % symbol):
            ranks[piece] = symbol
    character = {byte: text for text, byte in alphabet.items()}
    tokens = sorted(ranks, key=ranks.__getitem__)
    implied = [["".join(map(character.__getitem__, part)) for part in _parts(token, ranks) or ()] for token in tokens]
    if [merge for merge in implied if merge] != [[left, right] for left, right in merges(dict(spec))]:
        raise InvalidConfig("its merges are not in the order of its ids, which is the only order tiktoken has")
    whole = all(merge for merge, token in zip(implied, tokens, strict=True) if len(token) > 1)
    if not whole and not model.get("ignore_merges"):
        raise InvalidConfig("it has tokens that no merge makes; tiktoken would use them for whole pieces of text")
    return ranks


def beside(spec: dict[str, Any]) -> dict[str, Any]:
    """`pat_str` and `special_tokens` of tiktoken for a `tokenizer.json`; no `pat_str` if its stages are not one expression."""
    named, stages = patterns.of_spec(spec), tokenizer_json.stages(spec)
    expression = named.regex if named else None
    if named is None and [stage.get("type") for stage in stages] == ["Split", "ByteLevel"]:
        expression = stages[0]["pattern"].get("Regex")
    return {
        "pat_str": expression,
        "special_tokens": {token["content"]: token["id"] for token in spec.get("added_tokens") or []},
    }


def text(ranks: Ranks) -> bytes:
    """`ranks` as the content of a file: a line for each token, by rank."""
    tokens = sorted(ranks, key=ranks.__getitem__)
    return b"".join(b"%b %d\n" % (base64.b64encode(token), ranks[token]) for token in tokens)


def _added(content: str, symbol: int) -> dict[str, Any]:
    """An added token as a `tokenizer.json` writes it; it matches anywhere, and is never normalised."""
    token = {"id": symbol, "content": content, "single_word": False, "lstrip": False, "rstrip": False}
    return token | {"normalized": False, "special": True}


def _parts(token: bytes, ranks: Ranks) -> tuple[bytes, bytes] | None:
    """The last two parts that the bytes of `token` are merged to, or None if they never come to two."""
    parts = [token[i : i + 1] for i in range(len(token))]
    while len(parts) > 2:
        candidates = [ranks.get(parts[i] + parts[i + 1], -1) for i in range(len(parts) - 1)]
        lowest = min((rank for rank in candidates if rank >= 0), default=-1)
        if lowest < 0:
            return None
        i = candidates.index(lowest)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return (parts[0], parts[1]) if len(parts) == 2 else None


def _check(ranks: Ranks, special_tokens: Mapping[str, int]) -> None:
    """Raise `InvalidConfig` unless the ids are distinct, nearly without gaps, and cover all 256 bytes."""
    ids = [*ranks.values(), *special_tokens.values()]
    if len(set(ids)) < len(ids):
        raise InvalidConfig("tiktoken: two tokens have the same rank; expected one id for each")
    if "" in special_tokens:
        raise InvalidConfig("tiktoken: a special token is empty; expected some text")
    if missing := sum(bytes([byte]) not in ranks for byte in range(256)):
        raise InvalidConfig(f"tiktoken: {missing} of the 256 bytes have no rank, so it cannot be lossless")
    if not 0 <= min(ids) <= max(ids) < 2 * len(ids):
        raise InvalidConfig(f"tiktoken: {len(ids)} tokens with ids up to {max(ids)}; expected few gaps")


def _crosses_a_line_end(token: bytes) -> bool:
    """May `token` be white space with a line end, and more of it after the last line end?"""
    after = re.split(rb"[\r\n]", token)
    return len(after) > 1 and after[-1] != b"" and not token.decode("utf-8", "ignore").strip()
