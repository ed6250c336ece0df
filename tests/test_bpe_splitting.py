"""Tables cut text as `tokenizers` does; what they cannot express is refused, never guessed."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from compressors.bpe import cutting, matcher, patterns, regex, regex_sets, splitting
from tests.extended import fuzz_families

LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
TEXT = st.text(st.sampled_from("aAb'sé日ㅏ1²٣ \t\n\r\u00a0\u0301.,!-_🙂\u017f"), max_size=40)


def stage(expression: str, behavior: str = "Isolated") -> dict:
    return {"type": "Split", "pattern": {"Regex": expression}, "behavior": behavior, "invert": False}


def pieces(*stages: dict, text: str) -> list[bytes]:
    """The pieces by our tables."""
    spec = {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [*stages, LEVEL]}}
    data = text.encode()
    buffer, offsets = np.frombuffer(data + bytes(64), np.uint8), np.array([0, len(data)])
    starts, _ = cutting.Walker(splitting.of(spec))(buffer, offsets, cutting.Room())
    return [data[a:b] for a, b in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)]


def reference(expression: str, text: str, behavior: str = "isolated") -> list[bytes]:
    split = pre_tokenizers.Split(Regex(expression), behavior)
    return [piece.encode() for piece, _ in split.pre_tokenize_str(text)]


@pytest.mark.parametrize(
    "expression",
    [
        r"\s+$", r"\s++$|.", r"a+?b|a", r"(?:ab)+|a", r"(?:a|ab)(?:b|s)?", r"\p{N}{2}|\p{N}{1,3}\s", r"\p{N}{1,2}+", "a??b",
        r"[^(\s|[.,!])]+", r"[a-z&&[^b]]+", r"\p{^L}+", r"\P{L}", r"(?i:'s|'t)?a", r"[\p{L}&&[^\p{Han}]]+",
        r"a(?=b)|\s(?!\S)", r"\S+?\s|\S\p{N}", r"\s+b|\s\s1",
        r"\x{65e5}|\u0301|\x41", ".{2}", r"\D+\d", r"[\]\-a]+", r"[a\-b-]+", r"a{2,}|a", r"(a|1)(?:s|\.)+", r"'(?i:[sdmt])",
    ],
)  # fmt: skip
@pytest.mark.parametrize("behavior", ["Isolated", "Contiguous"])
def test_expressions_cut_as_the_engine_cuts(expression: str, behavior: str) -> None:
    @given(text=TEXT)
    def check(text: str) -> None:
        assert pieces(stage(expression, behavior), text=text) == reference(expression, text, behavior.lower())

    check()


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        (r"(?<=a)b", r"a group \(\?<"), (r"\bx", r"the escape \\b"), (r"(a)\1", r"the escape \\1"), ("a*", "matches nothing"),
        (r"(?:a?)+", "what may be empty"), (r"(?i:ß)", "in any case"), (r"(?i:st)", "'st' in any case"), ("(?!ab)c", "further"),
        (r"\p{Greek}", "the property 'Greek'"), ("^a", r"'\^'"), ("a{1,900}", "the interval"), ("(?>a)", r"a group \(\?>"),
        (r"(?:ab)++", "possessive"), ("[[:alpha:]]", "POSIX"), ("[]a]", "empty class"), ("a)", "closing bracket"), ("(a", "without an end"),
        ("[a", "too early"), (r"\w", r"the escape \\w"), ("(?i:[^a])", "negated"), (r"(?i:\p{Lu})", "a property in any case"),
    ],
)  # fmt: skip
def test_what_has_no_tables_is_refused_with_the_reason(expression: str, reason: str) -> None:
    with pytest.raises(regex_sets.Unsupported, match=reason):
        pieces(stage(expression), text="a")


@pytest.mark.parametrize(
    ("expression", "all_of_it"),
    [
        (r"\s+|\S", True),
        (r"\s+|\S+(?=\s)", False),
        (r"\p{L}+|\P{L}", True),
        (r"a+b|[^a]", False),
        (r".", False),
        (r".|\n", True),
    ],
)
def test_whether_an_expression_keeps_all_text_is_known(expression: str, all_of_it: bool) -> None:
    tree = regex.parse(expression)
    assert matcher.Matcher(tree, matcher.alphabet([tree])).keeps_all() is all_of_it
    assert splitting.keeps_all(stage(expression) | {"invert": True}) is all_of_it
    assert not splitting.keeps_all(stage(expression))


def test_a_run_that_comes_to_nothing_is_walked_once() -> None:
    """Every blank could begin a run that ends before `b`; trying each of them would take hours."""
    text = "x" + " " * 300_000 + "x"
    assert pieces(stage(r"\s+b"), text=text) == [text.encode()]


def test_bytes_outside_text_are_pieces(tmp_path: object) -> None:
    spec = {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [stage(r"\s+(?!\S)|\S+"), LEVEL]}}
    data = b"ab\xff\xfe  \x80 c"
    buffer, offsets = np.frombuffer(data + bytes(64), np.uint8), np.array([0, 3, 3, len(data)])
    starts, first_piece = cutting.Walker(splitting.of(spec))(buffer, offsets, cutting.Room())
    assert starts.tolist() == [0, 2, 3, 4, 6, 7, 8, 9]
    assert first_piece.tolist() == [0, 2, 2, 7]


@pytest.mark.filterwarnings("ignore::compressors.SlowPath")
def test_pre_tokenizers_made_by_a_grammar(bpe) -> None:
    model = json.loads(bpe.artifact.arrays["tokenizer"].tobytes())["model"]
    counts = fuzz_families.grammar(model, 12, 5, [], n_strings=20)
    assert counts["kernel"] >= 3


# Characters of one to four bytes of every class that counts, and bytes outside UTF-8 text.
ODD = [
    "\u017f",
    "'\u017f",
    "\u212a",
    "“",
    "。",
    "\u00a0",
    "\u3000",
    "\u2028",
    "²",
    "\uff11",
    "é",
    "я",
    "漢",
    "\u0301",
    "🙂",
    "\U0001d49c",
]
NO_TEXT = ["c080", "eda080", "e08080", "f0808080", "f4908080", "f5", "80", "c3", "e280", "f09f98", "ff"]
UNITS = [*(b"a S s 's 'LL . .. \n \r \t 1 234".split(b" ")), b" ", b"  ", *(character.encode() for character in ODD)]


@pytest.mark.parametrize("name", ["gpt2", "llama3", "qwen2"])
def test_scanners_cut_as_tables_do(name: str) -> None:
    """Where a block of 64 bytes ends, in characters of all lengths and in damaged text."""
    pattern, draw = patterns.by_name(name), np.random.default_rng(7)
    walker = cutting.Walker(
        splitting.of({"pre_tokenizer": {"type": "Sequence", "pretokenizers": patterns.pre_tokenizers(pattern)}})
    )
    scanner, room = cutting.Scanner(pattern), cutting.Room()
    for turn in range(400):
        units = UNITS + [bytes.fromhex(code) for code in NO_TEXT] * (turn % 3 == 0)
        few = draw.choice(len(units), draw.integers(1, 12))  # of few units, so that runs are long
        documents = [b"".join(units[i] for i in draw.choice(few, draw.integers(1, 200))) for _ in range(3)]
        buffer = np.frombuffer(b"".join([*documents, bytes(64)]), np.uint8)
        offsets = np.cumsum([0, *map(len, documents)])
        for ours, theirs in zip(scanner(buffer, offsets, room), walker(buffer, offsets, cutting.Room()), strict=True):
            assert np.array_equal(ours, theirs), documents
