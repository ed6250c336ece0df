"""Added tokens are found by a kernel as a regular expression with the longest first finds them."""

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from compressors.bpe.added_tokens import AddedTokens
from compressors.bpe.codec import BPE
from compressors.bpe.cutting import Room
from tests import families
from tests.extended import fuzz_bpe

tokens = st.lists(st.tuples(st.text("ab <é", min_size=1, max_size=5), st.booleans()), min_size=1, max_size=8)


def cut(contents: dict[bytes, int], parts: list[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
    """Text parts (id -1) cut by tokens, the leftmost and longest first."""
    ordered = sorted(contents, key=len, reverse=True)
    found = []
    for part, symbol in parts:
        pieces = re.split(b"(" + b"|".join(map(re.escape, ordered)) + b")", part) if symbol < 0 and ordered else [part]
        found += [(piece, contents[piece] if i % 2 else symbol) for i, piece in enumerate(pieces) if piece]
    return found


@given(tokens=tokens, texts=st.lists(st.text("ab <éx", max_size=40), max_size=5))
def test_tokens_are_found_as_by_an_expression(tokens: list[tuple[str, bool]], texts: list[str]) -> None:
    listed = [{"content": text, "normalized": kind, "id": i} for i, (text, kind) in enumerate(dict(tokens).items())]
    finder, documents = AddedTokens(listed), [text.encode() for text in texts]
    offsets = np.concatenate([[0], np.cumsum([len(document) for document in documents])]).astype(np.int64)
    joined = b"".join(documents)
    segments, ids = finder.find(np.frombuffer(joined + bytes(64), np.uint8), offsets, Room())
    wanted = [(document, -1) for document in documents]
    for kind in (False, True):
        wanted = cut({t["content"].encode(): t["id"] for t in listed if t["normalized"] == kind}, wanted)
    found = [(joined[segments[i] : segments[i + 1]], int(ids[i])) for i in range(len(ids))]
    assert found == [part for part in wanted if part[0]]


def test_runs_of_blanks_are_cut_without_python(bpe: BPE) -> None:
    """One array for all documents; a token a line was once an array for each."""
    codec = BPE(artifact=fuzz_bpe.artifact_of(families.spec("CodeGen, Phi-1, Phi-2", bpe._spec["model"])))
    document = b"class A:\n    def f(self):\n        return 1\n"
    ids = codec.encode_batch([document * 50, b"", b"    ", document])
    blanks = {n: max(i for i, piece in enumerate(codec.vocab.pieces) if piece == b" " * n) for n in (4, 8)}
    assert ids[2].tolist() == [blanks[4]]
    assert (ids[0] == blanks[8]).sum() == 50
    assert codec._engine._added is not None
