"""Tokenizers in and out: tiktoken's ranks against a slow encoder that anybody can read, and files that `tokenizers` reads."""

import base64
import itertools
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, pre_tokenizers

import compressors
from compressors import InputError, InvalidConfig
from compressors.bpe import patterns, tiktoken_ranks
from compressors.bpe.codec import BPE
from compressors.bpe.patterns import PATTERNS
from proxylm.cli.main import proxyc
from tests.extended import fuzz_texts

Ranks = dict[bytes, int]
BYTES: Ranks = {bytes([byte]): byte for byte in range(256)}


def write(path: Path, ranks: Ranks) -> Path:
    path.write_text("".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items()))
    return path


def slow_ids(ranks: Ranks, piece: bytes) -> list[int]:
    """A piece as tiktoken encodes it: whole, or joining the leftmost pair that concatenates to the lowest rank."""
    if piece in ranks:
        return [ranks[piece]]
    parts = [bytes([byte]) for byte in piece]
    while True:
        joined = [(ranks[left + right], i) for i, (left, right) in enumerate(itertools.pairwise(parts)) if left + right in ranks]  # fmt: skip
        if not joined:
            return [ranks[part] for part in parts]
        _, i = min(joined)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]


def pieces_of(pattern: str, text: str) -> list[bytes]:
    split = pre_tokenizers.Split(Regex(PATTERNS[pattern].regex), behavior="isolated")
    return [piece.encode() for piece, _ in split.pre_tokenize_str(text)]


@given(
    tokens=st.sets(st.text("abc", min_size=2, max_size=7), min_size=1, max_size=20),
    texts=st.lists(st.text("abc ", max_size=90), min_size=4, max_size=12),
    seed=st.randoms(use_true_random=False),
)
def test_any_ranks_give_the_ids_of_the_slow_encoder(tokens: set[str], texts: list[str], seed) -> None:
    """Also ranks that no training gives: tokens below their own parts, tokens that no merging reaches."""
    order = [*BYTES, *(token.encode() for token in sorted(tokens))]
    seed.shuffle(order)
    ranks = {token: rank for rank, token in enumerate(order)}
    spec = tiktoken_ranks.spec(ranks, "gpt2", {})
    codec = BPE(artifact=_artifact_of(spec))
    reference = Tokenizer.from_str(json.dumps(spec))
    for text in texts:
        wanted = [symbol for piece in pieces_of("gpt2", text) for symbol in slow_ids(ranks, piece)]
        assert codec.encode(text.encode()).tolist() == wanted
        assert reference.encode(text).ids == wanted


def _artifact_of(spec: dict) -> compressors.Artifact:
    import numpy as np

    arrays = {"tokenizer": np.frombuffer(json.dumps(spec).encode(), np.uint8)}
    return compressors.Artifact(codec="bpe", settings={}, arrays=arrays, card={})


def test_ranks_of_a_trained_tokenizer_give_its_merges(bpe: BPE, documents: list[bytes], tmp_path: Path) -> None:
    path = write(tmp_path / "x.tiktoken", {piece: rank for rank, piece in enumerate(bpe.vocab.pieces)})
    codec = BPE.from_tiktoken(path, pattern="llama3")
    assert codec.vocab.splits.tolist() == bpe.vocab.splits.tolist()
    for document in documents[::3]:
        assert codec.encode(document).tolist() == bpe.encode(document).tolist()


def test_special_tokens_and_gaps_between_ids(tmp_path: Path) -> None:
    """As in cl100k_base, whose id 100256 and the like stand for nothing."""
    ranks = BYTES | {b"ab": 256, b"\xff\xff257": 258}
    path = write(tmp_path / "x.tiktoken", ranks)
    codec = BPE.from_tiktoken(path, pattern="cl100k", special_tokens={"<|end|>": 260, "<|é |>": 263})
    data = "ab<|end|>ab<|é |><|é|>".encode()
    assert codec.encode(data)[:4].tolist() == [256, 260, 256, 263]
    assert codec.decode(codec.encode(data)) == data
    assert codec.vocab.size == 264
    plain = BPE.from_tiktoken(path, pattern="cl100k")
    assert plain.encode(b"<|end|>").tolist() == list(b"<|end|>")
    for text in (codec.vocab.pieces[symbol] for symbol in (257, 259, 261, 262)):
        assert plain.decode(plain.encode(text)) == text


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("IQ== 0\nIQ 1\n", ":2: .*expected a token in base64"),
        ("IQ== 0\nIQ== 1\n", ":2: .*new in the file"),
        ("IQ== zero\n", ":1: .*and its rank"),
        ("IQ== -1\n", "and its rank"),
        (" 0\n", "base64"),
        ("IQ== 0\n", "255 of the 256 bytes have no rank"),
        ("", "of the 256 bytes"),
    ],
)
def test_what_is_no_rank_file_is_refused(tmp_path: Path, lines: str, reason: str) -> None:
    (tmp_path / "x.tiktoken").write_text(lines)
    with pytest.raises(InvalidConfig, match=reason):
        BPE.from_tiktoken(tmp_path / "x.tiktoken", pattern="gpt2")


@pytest.mark.parametrize(
    ("more", "options", "reason"),
    [
        ({b"ab": 255}, {}, "same rank"),
        ({b"ab": 900}, {}, "expected few gaps"),
        ({b"ab": 256}, {"special_tokens": {"<s>": 256}}, "same rank"),
        ({b"ab": 256}, {"special_tokens": {"ab": 257}}, "written like token 256"),
        ({b"ab": 256}, {"special_tokens": {"": 257}}, "special token is empty"),
        ({b"ab": 256}, {"pattern": "gpt5"}, "no pattern 'gpt5'"),
        ({b"ab": 256}, {"pattern": r"(?<=a)b|."}, "no tables"),
        ({b"ab": 256}, {"pattern": r"\p{N}{1,3}+a|[\s\S]"}, "before more"),
        ({b"ab": 256}, {"pattern": r"\p{L}+|\s+"}, "leaves characters out"),
    ],
)
def test_ranks_without_an_exact_codec_are_refused(tmp_path: Path, more: Ranks, options: dict, reason: str) -> None:
    path = write(tmp_path / "x.tiktoken", BYTES | more)
    with pytest.raises(InvalidConfig, match=reason):
        BPE.from_tiktoken(path, **({"pattern": "llama3"} | options))


def test_a_rank_file_is_never_taken_without_its_pattern(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tiktoken", BYTES)
    with pytest.raises(InvalidConfig, match="proxyc convert"):
        compressors.parse(f"bpe={path}")
    with pytest.raises(InputError, match="no file"):
        BPE.from_tiktoken(tmp_path / "none", pattern="gpt2")


@given(text=st.text(st.sampled_from("aA1 \n\r\t\u00a0\u017f's,/\u0301é"), max_size=30))
def test_every_known_spelling_of_a_pattern_cuts_alike(text: str) -> None:
    for regex, name in patterns._SPELLINGS.items():
        split = pre_tokenizers.Split(Regex(regex), behavior="isolated")
        assert [piece.encode() for piece, _ in split.pre_tokenize_str(text)] == pieces_of(name, text)


def test_tiktoken_itself_agrees(bpe: BPE, documents: list[bytes], tmp_path: Path) -> None:
    tiktoken = pytest.importorskip("tiktoken")
    ranks = {piece: rank for rank, piece in enumerate(bpe.vocab.pieces)}
    path = write(tmp_path / "x.tiktoken", ranks)
    for name in PATTERNS:
        codec = BPE.from_tiktoken(path, pattern=name)
        reference = tiktoken.Encoding("x", pat_str=PATTERNS[name].regex, mergeable_ranks=ranks, special_tokens={})
        for document in documents[::5]:
            assert codec.encode(document).tolist() == reference.encode_ordinary(document.decode())


EXPRESSIONS = [
    patterns.CL100K,
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,2}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+",
    r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}&&[^\p{Han}]]+|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+$|\s+(?!\S)|\s+|.",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_tiktoken_itself_agrees_on_any_expression(bpe: BPE, tmp_path: Path, expression: str) -> None:
    """Tokens that go over every cut: at the end of a text, too, where tiktoken's `$` is not that of `tokenizers`."""
    tiktoken = pytest.importorskip("tiktoken")
    more = [b"  ", b"\n ", b"\n\n", b" \n", b"\n  ", b"12", b"123", b"x\n", b"a ", "日本".encode(), b"'s", b" '"]
    ranks = {piece: rank for rank, piece in enumerate(dict.fromkeys([*bpe.vocab.pieces, *more]))}
    codec = BPE.from_tiktoken(write(tmp_path / "x.tiktoken", ranks), pattern=expression)
    reference = tiktoken.Encoding("x", pat_str=expression, mergeable_ranks=ranks, special_tokens={})
    for text in fuzz_texts.strings(3).take(300):
        assert codec.encode(text.encode()).tolist() == reference.encode_ordinary(text), text


def test_cl100k_is_itself_where_it_shows(tmp_path: Path) -> None:
    """With a token over a line end llama3 would not do."""
    path = write(tmp_path / "x.tiktoken", BYTES | {b"\n ": 256})
    assert BPE.from_tiktoken(path, pattern="cl100k").encode(b"a\n ").tolist() == [97, 256]
    assert BPE.from_tiktoken(path, pattern="llama3").encode(b"a\n ").tolist() == [97, 10, 32]


# -- out ---------------------------------------------------------------------------------------------------------------


def test_an_exported_file_gives_the_same_ids_in_tokenizers(bpe: BPE, documents: list[bytes], tmp_path: Path) -> None:
    """For foreign tokenizers with added tokens see test_bpe.py."""
    bpe.to_tokenizer_json(tmp_path / "tokenizer.json")
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for document in documents[::3]:
        encoded = tokenizer.encode(document.decode())
        assert encoded.ids == bpe.encode(document).tolist()
        assert tokenizer.decode(encoded.ids) == document.decode()
    again = BPE.from_tokenizer_json(tmp_path / "tokenizer.json")
    assert again.vocab.splits.tolist() == bpe.vocab.splits.tolist()
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]


def test_an_export_that_fails_leaves_the_old_file(bpe: BPE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tokenizer.json").write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        bpe.to_tokenizer_json(tmp_path / "tokenizer.json")
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]
    assert (tmp_path / "tokenizer.json").read_text() == "old"


def test_transformers_reads_an_exported_file(bpe: BPE, documents: list[bytes], tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    bpe.to_tokenizer_json(tmp_path / "tokenizer.json")
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))
    for document in documents[::9]:
        assert tokenizer(document.decode())["input_ids"] == bpe.encode(document).tolist()


def test_convert_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("x.tiktoken"), BYTES | {b"ab": 256})
    ranks = ["x.tiktoken", "--pattern", "qwen2", "--special", "<|a=b|>=257"]

    def ids(*arguments: str) -> list[int]:
        done = CliRunner().invoke(proxyc, ["convert", *arguments], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return compressors.parse(f"bpe={arguments[-1]}").encode(b"<|a=b|>ab").tolist()

    assert ids(*ranks, "-o", "a.pxa") == [257, 256]
    assert ids("a.pxa", "-o", "t.json") == [257, 256]
    assert re.match(r"\{.version", Path("t.json").read_text())
    assert ids("t.json", "-o", "b.pxa") == [257, 256]
    spec = json.loads(Path("t.json").read_text()) | {"normalizer": {"type": "NFC"}}
    Path("nfc.json").write_text(json.dumps(spec))
    assert ids("nfc.json", "--not-nfc", "refuse", "-o", "nfc.pxa") == [257, 256]
    with pytest.raises(InputError, match="not in NFC"):
        compressors.parse("bpe=nfc.pxa").encode("e\u0301".encode())
    assert ids("nfc.pxa", "--not-nfc", "keep", "-o", "kept.pxa") == [257, 256]
    assert compressors.parse("bpe=kept.pxa").encode("e\u0301".encode()).tolist() == [101, 204, 129]
    fingerprints = {compressors.load(path).fingerprint for path in ("a.pxa", "b.pxa")}
    assert len(fingerprints) == 1
    for wrong, reason in (
        (["x.tiktoken", "-o", "n.pxa"], "do not say how text is cut"),
        (["a.pxa", "--special", "<s>=3", "-o", "n.pxa"], "goes with --pattern"),
        ([*ranks[:3], "--special", "<s>", "-o", "n.pxa"], "write TEXT=ID"),
        ([*ranks, "-o", "a.pxa"], "--force"),
    ):
        with pytest.raises(compressors.ProxycError, match=reason):
            CliRunner().invoke(proxyc, ["convert", *wrong], catch_exceptions=False)
    assert not Path("n.pxa").exists()


def test_ranks_written_are_read_with_the_same_ids(bpe: BPE, documents: list[bytes], tmp_path: Path) -> None:
    beside = bpe.to_tiktoken(tmp_path / "x.tiktoken")
    assert beside == {"pat_str": PATTERNS["llama3"].regex, "special_tokens": {}}
    again = BPE.from_tiktoken(tmp_path / "x.tiktoken", pattern="llama3")
    for document in documents[::5]:
        assert again.encode(document).tolist() == bpe.encode(document).tolist()
    tiktoken = pytest.importorskip("tiktoken")
    load = pytest.importorskip("tiktoken.load")
    ranks = load.load_tiktoken_bpe(str(tmp_path / "x.tiktoken"))
    reference = tiktoken.Encoding("x", mergeable_ranks=ranks, **beside)
    for document in documents[::5]:
        assert reference.encode_ordinary(document.decode()) == bpe.encode(document).tolist()


def test_ranks_keep_gaps_and_leave_out_added_tokens(tmp_path: Path) -> None:
    ranks = BYTES | {b"ab": 256, b"abc": 259}
    path = write(tmp_path / "x.tiktoken", ranks)
    codec = BPE.from_tiktoken(path, pattern="gpt2", special_tokens={"<|end|>": 300})
    assert codec.to_tiktoken(tmp_path / "y.tiktoken")["special_tokens"] == {"<|end|>": 300}
    assert tiktoken_ranks.read(tmp_path / "y.tiktoken") == ranks


def test_merges_in_another_order_have_no_ranks(tmp_path: Path) -> None:
    BPE.from_tiktoken(write(tmp_path / "x", BYTES | {b"ab": 256, b"bc": 257}), pattern="gpt2").to_tokenizer_json(
        tmp_path / "t.json"
    )
    spec = json.loads((tmp_path / "t.json").read_text())
    spec["model"]["merges"].reverse()  # bc before ab: abc is a, bc here, and ab, c in tiktoken
    (tmp_path / "t.json").write_text(json.dumps(spec))
    with pytest.raises(compressors.InvalidConfig, match="order of its ids"):
        BPE.from_tokenizer_json(tmp_path / "t.json").to_tiktoken(tmp_path / "y")
    assert not (tmp_path / "y").exists()
    spec["model"] |= {"ignore_merges": False, "merges": spec["model"]["merges"][1:]}
    (tmp_path / "t.json").write_text(json.dumps(spec))
    with pytest.raises(compressors.InvalidConfig, match=r"order of its ids|no merge makes"):
        BPE.from_tokenizer_json(tmp_path / "t.json").to_tiktoken(tmp_path / "y")
