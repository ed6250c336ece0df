"""`bpe` gives the ids of Hugging Face `tokenizers`, and those of a slow encoder that anybody can read."""

import itertools
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, trainers

import compressors
from compressors import CorruptStream, InvalidConfig, SlowPath
from compressors.bpe.codec import BPE
from compressors.bpe.patterns import PATTERNS
from compressors.sampling import Sample

HARD = "\u0301\u200d\ufeff\u2028\u00a0\u017f\u00df\u0130한🙂\0'\r\n\t I'LL don't 1234567 <|end|> <x>ab self.self"
words = st.lists(st.sampled_from(HARD.split(" ") + list(HARD)), max_size=40)
texts = st.one_of(st.text(max_size=80), words.map("".join))
broken = st.sampled_from([b"\x80", b"\xed\xa0\x80", b"return", "é".encode()])


def _level(use_regex: bool = True) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)


def _train(documents: list[bytes], pre_tokenizer: pre_tokenizers.PreTokenizer, **options: object) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(**options))
    tokenizer.pre_tokenizer = pre_tokenizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=700, initial_alphabet=alphabet, special_tokens=["<|end|>"], show_progress=False
    )
    tokenizer.train_from_iterator([document.decode() for document in documents[::4]], trainer)
    return tokenizer


FOREIGN = ["gpt2", "llama3", "qwen2", "o200k", "ignore_merges", "digits", "whole words"]
SLOW = ["whole words"]  # no kernel: `tokenizers` does the work


@pytest.fixture(scope="module", params=FOREIGN)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def foreign(kind: str, documents: list[bytes]) -> Tokenizer:
    """Tokenizers as others make them: other ids, special and added tokens, several pre-tokenizers."""
    if kind == "digits":
        stages = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _level()])
    elif kind == "gpt2":
        stages = _level()
    else:
        regex = PATTERNS[kind if kind in PATTERNS else "llama3"].regex
        split = pre_tokenizers.Split(Regex(regex), behavior="isolated")
        stages = pre_tokenizers.Sequence([split, _level(use_regex=False)])
    tokenizer = _train(documents, stages, ignore_merges=kind == "ignore_merges")
    added = [AddedToken("<x>", normalized=False), AddedToken("<x>ab"), AddedToken("<|end|>", normalized=False)]
    tokenizer.add_tokens([*added, AddedToken("self", single_word=kind == "whole words")])
    return tokenizer


@pytest.fixture(scope="module")
def loaded(foreign: Tokenizer, tmp_path_factory: pytest.TempPathFactory, kind: str) -> BPE:
    path = tmp_path_factory.mktemp("hf") / "tokenizer.json"
    foreign.save(str(path))
    codec = BPE.from_tokenizer_json(path)
    if kind in SLOW:
        with pytest.warns(SlowPath, match="through `tokenizers`"):
            codec.encode(b"")
    return codec


def test_ids_of_a_foreign_file_on_documents(foreign: Tokenizer, loaded: BPE, documents: list[bytes]) -> None:
    for document in documents[::2]:
        ids = loaded.encode(document)
        assert ids.tolist() == foreign.encode(document.decode(), add_special_tokens=False).ids
        assert loaded.decode(ids) == document
        assert int(loaded.spans(document).sum()) == len(document)


@given(text=texts)
def test_ids_of_a_foreign_file_on_any_text(foreign: Tokenizer, loaded: BPE, text: str) -> None:
    ids = loaded.encode(text.encode())
    assert ids.tolist() == foreign.encode(text, add_special_tokens=False).ids
    assert loaded.decode(ids) == text.encode()


def test_an_exported_file_is_the_same_tokenizer(loaded: BPE, documents: list[bytes], tmp_path: Path) -> None:
    loaded.to_tokenizer_json(tmp_path / "tokenizer.json")
    again, reference = (
        make(str(tmp_path / "tokenizer.json")) for make in (BPE.from_tokenizer_json, Tokenizer.from_file)
    )
    with warnings.catch_warnings(action="ignore", category=SlowPath):
        for text in [HARD, *(document.decode() for document in documents[::9])]:
            ids = loaded.encode(text.encode()).tolist()
            assert again.encode(text.encode()).tolist() == ids
            assert reference.encode(text).ids == ids
            assert reference.decode(ids, skip_special_tokens=False) == text
    again.to_tokenizer_json(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "tokenizer.json").read_bytes()
    assert BPE.from_tokenizer_json(tmp_path / "again.json").fingerprint == again.fingerprint


def test_a_post_processor_adds_nothing(documents: list[bytes], tmp_path: Path) -> None:
    tokenizer = _train(documents, _level())
    spec = json.loads(tokenizer.to_str())
    spec["truncation"] = {"max_length": 4, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    spec["padding"] = {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None}
    spec["padding"] |= {"pad_id": 0, "pad_type_id": 0, "pad_token": "<|end|>"}
    (tmp_path / "t.json").write_text(json.dumps(spec))
    codec = BPE.from_tokenizer_json(tmp_path / "t.json")
    assert codec.encode(documents[0]).tolist() == tokenizer.encode(documents[0].decode()).ids


def slow_ids(spec: dict, text: str) -> list[int]:
    """Byte-level BPE by its definition: in each piece, join the pair of lowest rank until none is left."""
    rank = {tuple(merge): i for i, merge in enumerate(spec["model"]["merges"])}
    ids = []
    for piece, _ in Tokenizer.from_str(json.dumps(spec)).pre_tokenizer.pre_tokenize_str(text):
        parts = list(piece)
        while pairs := [pair for pair in itertools.pairwise(parts) if pair in rank]:
            best, joined, i = min(pairs, key=rank.__getitem__), [], 0
            while i < len(parts):
                step = 2 if tuple(parts[i : i + 2]) == best else 1
                joined.append("".join(parts[i : i + step]))
                i += step
            parts = joined
        ids += [spec["model"]["vocab"][part] for part in parts]
    return ids


def _spec(codec: BPE) -> dict:
    return json.loads(codec.artifact.arrays["tokenizer"].tobytes())


def test_the_slow_encoder_agrees_on_documents(bpe: BPE, documents: list[bytes]) -> None:
    for document in documents[::20]:
        assert bpe.encode(document).tolist() == slow_ids(_spec(bpe), document.decode())


@given(text=texts)
def test_the_slow_encoder_agrees_on_any_text(bpe: BPE, text: str) -> None:
    assert bpe.encode(text.encode()).tolist() == slow_ids(_spec(bpe), text)


@given(parts=st.lists(st.one_of(st.binary(max_size=6), broken)))
def test_invalid_utf8_is_kept_byte_by_byte(bpe: BPE, parts: list[bytes]) -> None:
    data = b"".join(parts)
    ids = bpe.encode(data)
    assert bpe.decode(ids) == data
    valid = data.decode("utf-8", "ignore") == data.decode("utf-8", "replace")
    assert valid or any(symbol >= 0x80 and symbol < 256 for symbol in ids.tolist())


def test_bytes_outside_text_are_their_own_symbols(bpe: BPE) -> None:
    inner = bpe.encode(b"return self")
    assert bpe.encode(b"\xff\xfereturn self\x80").tolist() == [0xFF, 0xFE, *inner.tolist(), 0x80]


def test_fitted_vocabularies_are_refinable(bpe: BPE) -> None:
    vocab = bpe.vocab
    assert vocab.size == 1024
    assert vocab.splits.shape == (768, 2)
    assert vocab.pieces[:256] == tuple(bytes([b]) for b in range(256))
    for symbol, (left, right) in enumerate(vocab.splits.tolist(), start=256):
        assert max(left, right) < symbol
        assert vocab.pieces[symbol] == vocab.pieces[left] + vocab.pieces[right]


def test_foreign_ids_are_not_refinable(loaded: BPE) -> None:
    assert loaded.vocab.splits is None


def test_fit_is_deterministic_and_saving_keeps_it(documents: list[bytes], tmp_path: Path) -> None:
    one, two = (BPE.fit(documents[:9], vocab_size=400) for _ in range(2))
    assert one == two
    one.save(tmp_path / "a.pxa")
    for loaded in (compressors.load(tmp_path / "a.pxa"), compressors.parse(f"bpe={tmp_path / 'a.pxa'}")):
        assert loaded == one
        assert loaded.fingerprint == one.fingerprint
        np.testing.assert_array_equal(loaded.encode(documents[20]), one.encode(documents[20]))


def test_fit_reads_once_and_in_any_order(documents: list[bytes]) -> None:
    corpus = [*documents[:12], b"x = 1\n" * 30_000]  # the last is cut for the trainer
    for options in ({}, {"sample": 20_000}):
        one, two = (BPE.fit(iter(part), vocab_size=300, **options) for part in (corpus, corpus[::-1]))
        assert one == two
        assert one.artifact.card == two.artifact.card
        assert one.artifact.card["documents"] == 13
    assert 20_000 <= one.artifact.card["sample"] < one.artifact.card["bytes"]


@given(lengths=st.lists(st.integers(0, 50), max_size=30), n_bytes=st.integers(1, 400), seed=st.randoms())
def test_a_sample_depends_on_no_order_and_holds_what_it_should(lengths: list[int], n_bytes: int, seed) -> None:
    corpus = [bytes([i]) * length for i, length in enumerate(lengths)]
    samples = []
    for _ in range(2):
        sample = Sample(n_bytes)
        for document in corpus:
            sample.add(document)
        samples.append(sample.documents())
        seed.shuffle(corpus)
    assert samples[0] == samples[1]
    total = sum(map(len, samples[0]))
    assert total == sum(lengths) < n_bytes or total - len(samples[0][-1]) < n_bytes <= total


@pytest.mark.parametrize("sample", [0, -5])
def test_a_sample_of_nothing_is_refused(documents: list[bytes], sample: int) -> None:
    with pytest.raises(InvalidConfig, match=f"sample is {sample}"):
        BPE.fit(documents[:2], vocab_size=300, sample=sample)


def test_tables_of_the_corpus_make_files_smaller(bpe: BPE, documents: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(json.dumps(_spec(bpe)))
    imported = BPE.from_tokenizer_json(tmp_path / "t.json")
    data = documents[3]
    np.testing.assert_array_equal(bpe.encode(data), imported.encode(data))
    assert len(bpe.compress(data)) < 0.9 * len(imported.compress(data))
    assert bpe.fingerprint != imported.fingerprint


@pytest.mark.parametrize("size", [-1, 0, 255, 256, (1 << 24) + 1])
def test_a_vocabulary_of_impossible_size_is_refused(documents: list[bytes], size: int) -> None:
    with pytest.raises(InvalidConfig, match=f"vocab_size is {size}"):
        BPE.fit(documents[:2], vocab_size=size)


@pytest.mark.parametrize("corpus", [[], [b""], [b"a", b"b"], [b"\xff\xfe\xff\xfe"]])
def test_a_corpus_without_text_is_refused(corpus: list[bytes]) -> None:
    with pytest.raises(InvalidConfig, match="give more text"):
        BPE.fit(corpus, vocab_size=300)


def test_a_hostile_symbol_count_is_refused_before_memory_is_taken(bpe: BPE, documents: list[bytes]) -> None:
    coded = bpe.compress(documents[3][:150])  # no repetitions: of those more or fewer can be the same bytes
    assert coded[0] < 127
    for claim in (b"\x00", b"\x01", b"\x7f", b"\xff" * 3 + b"\x7f", b"\xff" * 7 + b"\x7f", b"\xff" * 8 + b"\x7f"):
        with pytest.raises(CorruptStream):
            bpe.decompress(claim + coded[1:])


def test_the_default_artifact_works_at_once() -> None:
    codec = compressors.get("bpe")
    assert codec.vocab.size == 32_768
    text = b"def hello_world():\n    return 1"
    assert codec.encode(text).tolist() == [323, 24904, 19050, 945, 258, 363, 32, 49]  # frozen: stores are made with it
    assert codec.decompress(codec.compress(text)) == text
    assert codec.vocab.splits is not None
    assert set(codec.artifact.card) >= {"data", "licences", "command", "bytes", "pattern"}
