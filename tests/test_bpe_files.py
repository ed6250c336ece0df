"""Which `tokenizer.json` files are refused, and why: anything that could lose a byte or give other ids."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers

from compressors import Artifact, InputError, InvalidConfig
from compressors.bpe import nfc
from compressors.bpe.codec import BPE

Spec = dict[str, Any]
LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
SPLIT = {"type": "Split", "pattern": {"Regex": r"\s+"}, "behavior": "Isolated", "invert": False}


@pytest.fixture
def spec(bpe: BPE) -> Spec:
    """A good file, to be spoilt."""
    return json.loads(bpe.artifact.arrays["tokenizer"].tobytes())


def _load(tmp_path: Path, spec: Spec) -> BPE:
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(spec))
    return BPE.from_tokenizer_json(path)


def _sequence(*stages: Any) -> Spec:
    return {"type": "Sequence", "pretokenizers": list(stages)}


def _added(content: str, symbol: int, **flags: Any) -> Spec:
    token = {"id": symbol, "content": content, "single_word": False, "lstrip": False, "rstrip": False}
    return token | {"normalized": False, "special": False} | flags


def test_the_file_that_is_spoilt_below_is_good(tmp_path: Path, spec: Spec) -> None:
    data = b"def f(x):\n return\xff"
    codec = _load(tmp_path, spec)
    assert codec.decode(codec.encode(data)) == data


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"normalizer": {"type": "NFKC"}}, "normalizer 'NFKC' changes the text"),
        ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Strip"}]}}, "'Strip' changes"),
        ({"normalizer": {"type": "Lowercase"}}, "normalizer 'Lowercase'"),
        ({"pre_tokenizer": None}, "no ByteLevel stage"),
        ({"pre_tokenizer": SPLIT}, "no ByteLevel stage"),
        ({"pre_tokenizer": LEVEL | {"add_prefix_space": True}}, "add_prefix_space"),
        ({"pre_tokenizer": _sequence(SPLIT, LEVEL | {"add_prefix_space": True})}, "add_prefix_space"),
        ({"pre_tokenizer": _sequence({"type": "Whitespace"}, LEVEL)}, "'Whitespace' may drop or change text"),
        ({"pre_tokenizer": _sequence({"type": "Metaspace"}, LEVEL)}, "'Metaspace'"),
        ({"pre_tokenizer": _sequence(SPLIT | {"behavior": "Removed"}, LEVEL)}, "removes text"),
        ({"added_tokens": [_added("<a>", 1024, lstrip=True)]}, "'<a>' strips white space"),
        ({"added_tokens": [_added("<a>", 1024, rstrip=True)]}, "'<a>' strips white space"),
        ({"pre_tokenizer": _sequence(SPLIT | {"behavior": "Removed", "invert": True}, LEVEL)}, "removes text"),
        ({"added_tokens": [_added("<a>", 1030)]}, "another id than the file's 1030; put it into the vocabulary"),
        ({"added_tokens": [_added("<a>", 97)]}, "1 of the 256 bytes have no id"),
        ({"model": {"type": "Unigram", "vocab": []}}, "expected a byte-level BPE"),
        ({"model": {"type": "WordPiece", "vocab": {}}}, "expected a byte-level BPE"),
        ({"model": None}, "expected a byte-level BPE"),
    ],
)
def test_a_lossy_file_is_refused_with_the_reason(tmp_path: Path, spec: Spec, change: Spec, reason: str) -> None:
    with pytest.raises(InvalidConfig, match=reason):
        _load(tmp_path, spec | change)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"dropout": 0.1}, "dropout 0.1"),
        ({"continuing_subword_prefix": "##"}, "subword prefixes"),
        ({"end_of_word_suffix": "</w>"}, "suffixes"),
    ],
)
def test_a_model_that_is_not_plain_is_refused(tmp_path: Path, spec: Spec, change: Spec, reason: str) -> None:
    spec["model"] |= change
    with pytest.raises(InvalidConfig, match=reason):
        _load(tmp_path, spec)


@pytest.mark.parametrize("decoder", [{}, {"type": "Metaspace"}])
def test_a_vocabulary_of_sentencepiece_is_refused_for_what_it_is(tmp_path: Path, spec: Spec, decoder: Spec) -> None:
    """As Llama-2 and Gemma have it: not for the first of the normalizers that come with it."""
    spec["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}]}
    spec["pre_tokenizer"] = decoder or None
    spec["model"]["byte_fallback"] = True
    with pytest.raises(InvalidConfig, match="byte_fallback, as SentencePiece"):
        _load(tmp_path, spec)


def test_missing_bytes_are_refused(tmp_path: Path, spec: Spec) -> None:
    vocab = {text: i for i, text in enumerate(text for text in spec["model"]["vocab"] if "x" not in text)}
    merges = [merge for merge in spec["model"]["merges"] if "x" not in "".join(merge)]
    spec["model"] |= {"vocab": vocab, "merges": merges}
    with pytest.raises(InvalidConfig, match="1 of the 256 bytes have no id"):
        _load(tmp_path, spec)
    # An added token is matched as a whole word only: "axb" would lose its x.
    spec["added_tokens"] = [_added("x", len(vocab), single_word=True)]
    with pytest.raises(InvalidConfig, match="1 of the 256 bytes have no id"):
        _load(tmp_path, spec)


def test_two_byte_level_stages_are_refused(tmp_path: Path, spec: Spec) -> None:
    """The second would encode the printable stand-ins of the first: decoding gives other bytes."""
    with pytest.raises(InvalidConfig):
        _load(tmp_path, spec | {"pre_tokenizer": _sequence(LEVEL, LEVEL)})


def test_added_tokens_under_other_ids_than_the_library_gives_are_refused(tmp_path: Path, spec: Spec) -> None:
    """`tokenizers` numbers added tokens in the order of the file and ignores the ids written there."""
    with pytest.raises(InvalidConfig):
        _load(tmp_path, spec | {"added_tokens": [_added("<s>", 1025), _added("<a>", 1024)]})


@pytest.mark.parametrize(
    "spoil",
    [
        lambda spec: spec["model"]["merges"].append(["zz", "qq"]),
        lambda spec: spec["model"]["merges"].append(["z"]),
        lambda spec: spec["model"].update(vocab=list(spec["model"]["vocab"])),
        lambda spec: spec.update(model="BPE"),
        lambda spec: spec.update(pre_tokenizer=[LEVEL]),
        lambda spec: spec.update(pre_tokenizer=_sequence("ByteLevel")),
        lambda spec: spec.update(pre_tokenizer=_sequence(SPLIT | {"behavior": "no such"}, LEVEL)),
        lambda spec: spec.update(added_tokens=[{"id": 1024, "content": "<s>"}]),
        lambda spec: spec.update(added_tokens=7),
    ],
)
def test_a_malformed_file_is_refused(tmp_path: Path, spec: Spec, spoil: Callable[[Spec], None]) -> None:
    """With our error, not one of the library or of Python, and when it is loaded."""
    spoil(spec)
    with pytest.raises(InvalidConfig):
        _load(tmp_path, spec)


@pytest.mark.parametrize("text", ["", "hello", "[1]", "{", "{}", '{"model": {}}', "\ufeff{}", "\0" * 100])
def test_what_is_no_tokenizer_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(InvalidConfig):
        BPE.from_tokenizer_json(tmp_path / "x.json")


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file"):
        BPE.from_tokenizer_json(tmp_path / "none.json")


@pytest.mark.parametrize("counts", [3, 5000])
def test_counts_of_another_vocabulary_are_refused(bpe: BPE, counts: int) -> None:
    arrays = {**bpe.artifact.arrays, "counts": np.ones(counts, np.uint32)}
    with pytest.raises(InvalidConfig):
        BPE(artifact=Artifact(codec="bpe", settings={}, arrays=arrays, card={})).compress(b"hello")


# -- files that say the same in another way ------------------------------------------------------------------------------

TEXTS = ["def f(x):\n return 12345", "naïve  日本語\t!\r\n\n x's", "e\u0301 \u2028 self\xa0"]


def _nested(*normalizers: Any) -> Spec:
    return {"type": "Sequence", "normalizers": list(normalizers)}


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": _nested()},
        {"normalizer": _nested(_nested(), _nested())},
        {"pre_tokenizer": "nested"},
        {"pre_tokenizer": "removed"},
    ],
)
def test_what_changes_nothing_changes_no_id(tmp_path: Path, spec: Spec, change: Spec) -> None:
    stages = spec["pre_tokenizer"]["pretokenizers"]
    if change == {"pre_tokenizer": "nested"}:
        change = {"pre_tokenizer": _sequence(_sequence(stages[0]), _sequence(_sequence(stages[1])))}
    if change == {"pre_tokenizer": "removed"}:
        change = {"pre_tokenizer": _sequence(stages[0] | {"behavior": "Removed", "invert": True}, stages[1])}
    plain, changed = _load(tmp_path, spec), _load(tmp_path, spec | change)
    reference = Tokenizer.from_str(json.dumps(spec | change))
    for text in TEXTS:
        ids = changed.encode(text.encode()).tolist()
        assert ids == plain.encode(text.encode()).tolist() == reference.encode(text).ids


@pytest.mark.parametrize("before", ["\n", " \t\r\n" * 3, "\ufeff", "\ufeff \n", "\n" * 5000])
def test_white_space_and_a_byte_order_mark_may_come_first(tmp_path: Path, spec: Spec, before: str) -> None:
    (tmp_path / "x.json").write_text(before + json.dumps(spec))
    assert BPE.from_tokenizer_json(tmp_path / "x.json").vocab.size == 1024


def test_messages_name_the_file(tmp_path: Path, spec: Spec) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(spec | {"normalizer": {"type": "Lowercase"}}))
    with pytest.raises(InvalidConfig, match=r"^mine\.json: normalizer"):
        BPE.from_tokenizer_json(tmp_path / "mine.json")


def test_ids_that_no_token_has_decode_to_what_no_text_is(tmp_path: Path, spec: Spec) -> None:
    spec["model"]["vocab"] |= {"<|end|>": 1030, "ÿÿ1025": 1027}
    codec = _load(tmp_path, spec | {"added_tokens": [_added("<|end|>", 1030)]})
    assert codec.vocab.size == 1031
    assert len(set(codec.vocab.pieces)) == 1031
    reference = Tokenizer.from_str(json.dumps(spec | {"added_tokens": [_added("<|end|>", 1030)]}))
    ids = codec.encode(b"a<|end|>b").tolist()
    assert ids == reference.encode("a<|end|>b").ids
    assert 1030 in ids
    for symbol in range(1024, 1031):
        data = codec.decode(np.array([symbol], np.uint16))
        assert codec.decode(codec.encode(data)) == data


def test_an_id_far_beyond_all_others_is_refused(tmp_path: Path, spec: Spec) -> None:
    spec["model"]["vocab"]["<|end|>"] = 1 << 24
    with pytest.raises(InvalidConfig, match="1025 ids up to 16777216; expected few gaps"):
        _load(tmp_path, spec | {"added_tokens": [_added("<|end|>", 1 << 24)]})


@pytest.mark.parametrize("head", ["#version: 0.2", "#version: 0.2 - Trained by `huggingface/tokenizers`"])
def test_the_head_of_a_merges_file_is_no_merge(tmp_path: Path, spec: Spec, head: str) -> None:
    plain = _load(tmp_path, spec)
    spec["model"]["merges"] = [head, *(" ".join(merge) for merge in spec["model"]["merges"])]
    codec = _load(tmp_path, spec)
    assert codec.encode(b"def hello").tolist() == plain.encode(b"def hello").tolist()


def test_added_tokens_that_are_bytes_of_the_vocabulary(tmp_path: Path, spec: Spec) -> None:
    """As `add_tokens(["A", "C", "G", "T"])` leaves them."""
    added = [_added(base, ord(base), normalized=True) for base in "ACGT"]
    codec = _load(tmp_path, spec | {"added_tokens": added})
    reference = Tokenizer.from_str(json.dumps(spec | {"added_tokens": added}))
    assert codec.encode(b"def GATTACA0b").tolist() == reference.encode("def GATTACA0b").ids
    for byte in range(256):
        assert codec.decode(codec.encode(bytes([byte]))) == bytes([byte])


# -- text that is not in NFC ---------------------------------------------------------------------------------------------


def test_text_that_is_not_in_nfc_is_kept_or_refused(tmp_path: Path, spec: Spec) -> None:
    (tmp_path / "nfc.json").write_text(json.dumps(spec | {"normalizer": _nested({"type": "NFC"})}))
    plain = _load(tmp_path, spec)
    keep, refuse = (BPE.from_tokenizer_json(tmp_path / "nfc.json", not_nfc=choice) for choice in ("keep", "refuse"))
    reference = Tokenizer.from_file(str(tmp_path / "nfc.json"))
    assert keep.fingerprint != refuse.fingerprint
    assert refuse.artifact.settings == {"not_nfc": "refuse"}
    for text in ("né self", "ascii", "\u0301a", "한글", "\u1100"):
        assert (
            keep.encode(text.encode()).tolist() == refuse.encode(text.encode()).tolist() == reference.encode(text).ids
        )
    for text in ("ne\u0301 self", "\u1100\u1161", "\u212b", "a\u0301\u0323"):
        assert keep.encode(text.encode()).tolist() == plain.encode(text.encode()).tolist()
        with pytest.raises(InputError, match="document 1 is not in NFC"):
            refuse.encode_batch([b"x", text.encode()])
    refuse.save(tmp_path / "r.pxa")
    assert BPE(artifact=BPE.read_artifact(tmp_path / "r.pxa")).fingerprint == refuse.fingerprint
    again = BPE(artifact=BPE.read_artifact(tmp_path / "r.pxa", not_nfc="keep"))
    assert again.fingerprint == keep.fingerprint
    with pytest.raises(InvalidConfig, match="not_nfc is 'drop'"):
        BPE.from_tokenizer_json(tmp_path / "nfc.json", not_nfc="drop")
    assert "not_nfc" not in BPE.from_tokenizer_json(tmp_path / "tokenizer.json", not_nfc="refuse").artifact.settings


@given(
    text=st.text(
        st.sampled_from("aeé\u0301\u0323\u1100\u1161\u11a8 \n\u0bc6\u0bbe\u212b\u0345\u05b0\ud55c"), max_size=12
    )
)
def test_what_is_in_nfc_is_what_the_normalizer_leaves(text: str) -> None:
    left = normalizers.NFC().normalize_str(text) == text
    try:
        assert list(nfc.checked([b"\xff" + text.encode()])) == [b"\xff" + text.encode()]
    except InputError:
        assert not left
    else:
        assert left


def test_bytes_outside_text_join_nothing() -> None:
    data = b"e\xff\xcc\x81 \xe1\x84\x80\x80\xe1\x85\xa1"
    assert list(nfc.checked([data])) == [data]


def test_an_added_token_that_the_normalizer_changes_is_refused(tmp_path: Path, spec: Spec) -> None:
    added = _added("<e\u0301>", 1024, normalized=True)
    with pytest.raises(InvalidConfig, match="changed by the normalizer; set its 'normalized' to false"):
        _load(tmp_path, spec | {"normalizer": {"type": "NFC"}, "added_tokens": [added]})
