"""Generation against reading everything again, one byte at a time."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from compressors.errors import InvalidConfig
from proxylm.config import ModelConfig
from proxylm.data import alphabet as ids
from proxylm.data.alphabet import Alphabet
from proxylm.generation import Sampling, _chooser, _Row, as_text, complete, generate
from proxylm.model.decoder import Decoder

PROMPTS = [b"abc", b"", b"a much longer prompt than the others " * 3, b"\xff\x00", b"abc"]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    made = Decoder(ModelConfig(d_model=32, n_layers=2, n_heads=2), Alphabet({"x": 300}))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


def slow(model, prompt, max_bytes, context):
    """Greedy, without a cache: what is seen is the prompt's end, or, whenever the context is full, its newer half."""
    text, begin = prompt, max(0, len(prompt) - context)
    for _ in range(max_bytes):
        if len(text) - begin > context:
            begin = len(text) - context // 2
        seen = torch.tensor([[ids.BOS, ids.RAW_OPEN, *(byte + 64 for byte in text[begin:])]])
        logits = model.heads.raw_logits(model(seen)[0, -1])
        logits[[i for i in range(64) if i != ids.RAW_CLOSE]] = -torch.inf
        drawn = int(logits.argmax())
        if drawn == ids.RAW_CLOSE:
            break
        text += bytes([drawn - 64])
    return text[len(prompt) :]


@pytest.mark.parametrize("context", [2, 13, 200])
def test_greedy_text_of_a_batch_equals_reading_anew(model, context):
    found = complete(model, PROMPTS, Sampling(max_bytes=30, temperature=0), context=context)
    assert found == [slow(model, prompt, 30, context) for prompt in PROMPTS]


def test_texts_of_a_batch_are_seeded_and_equal_those_drawn_alone(model):
    def run(prompts, **options):
        return complete(model, prompts, Sampling(max_bytes=20, **options), context=16)

    together = run(PROMPTS, seed=3, top_p=0.9, min_p=0.01)
    alone = [run([prompt], seed=3 + i, top_p=0.9, min_p=0.01)[0] for i, prompt in enumerate(PROMPTS)]
    assert together == alone == run(PROMPTS, seed=3, top_p=0.9, min_p=0.01)
    assert together[0] != together[4]
    assert run(PROMPTS, seed=3) != run(PROMPTS, seed=4)
    assert run([b"xy"] * 40, temperature=0) == run([b"xy"], temperature=0) * 40  # more than run side by side


def test_draws_have_the_probabilities_that_were_asked_for():
    p = torch.tensor([0.1, 0.4, 0.3, 0.15, 0.05])
    logits = torch.full((4_000, 257), -torch.inf)
    logits[:, [0, 66, 2, 200, 256]] = p.log()
    allowed = [ids.RAW_CLOSE, 64 + 65, 64 + 1, 64 + 199, 64 + 255]
    for options, kept in (
        ({}, 5), ({"top_p": 0.7}, 2), ({"top_p": 0.71}, 3), ({"min_p": 0.3}, 3), ({"temperature": 0.5}, 5), ({"top_p": 1e-9}, 1),
    ):  # fmt: skip
        generators = [torch.Generator().manual_seed(i) for i in range(len(logits))]
        choose = _chooser(logits[:, None], Sampling(**options))
        drawn = torch.tensor([choose(i, 0, generator) for i, generator in enumerate(generators)])
        expected = p ** (1 / options.get("temperature", 1))
        expected[p.argsort(descending=True)[kept:]] = 0
        shares = torch.tensor([(drawn == i).float().mean() for i in allowed])
        torch.testing.assert_close(shares, expected / expected.sum(), atol=0.03, rtol=0)
        assert set(drawn.tolist()) == {i for i, share in zip(allowed, expected, strict=True) if share > 0}


def test_no_special_is_ever_drawn_and_the_closing_mark_ends_the_text(model):
    certain = Decoder(model.config, Alphabet({}))
    for special in range(64):
        torch.nn.init.zeros_(certain.heads.raw)
        certain.heads.raw.data[special] = 50 * certain(torch.tensor([[1, 12, 161]]))[0, -1]
        (text,) = complete(certain, [b"a"], Sampling(max_bytes=4, seed=special), context=9)
        assert (len(text) == 0) == (special == ids.RAW_CLOSE)


@given(
    text=st.text("ab", max_size=30).map(str.encode),
    stop=st.lists(st.text("ab", min_size=1, max_size=5).map(str.encode), max_size=3),
    closed=st.booleans(),
)
def test_stop_strings_end_the_text_where_they_first_end(text, stop, closed):
    shown, ended = b"", False
    row = _Row(0, bytearray(b"aabb"), len(text) + closed, torch.Generator(), [])
    for byte in [*(b + 64 for b in text), *[ids.RAW_CLOSE] * closed]:
        more, ended = row.take(byte, tuple(stop))
        shown += more
        assert not any(s in shown for s in stop)
        if ended:
            break
    ends = [text.find(s) + len(s) for s in stop if s in text]
    expected = text[: min(ends)] if ends else text
    cut = max((len(s) for s in stop if expected.endswith(s)), default=0) if ends else 0
    assert shown == expected[: len(expected) - cut]
    assert ended or not text


def test_bytes_are_shown_as_soon_as_no_stop_string_can_begin_with_them(model):
    greedy = Sampling(max_bytes=12, temperature=0)
    pieces = [more for _, more in generate(model, [b"abc"], greedy, context=50)]
    assert all(len(piece) == 1 for piece in pieces)
    assert b"".join(pieces) == complete(model, [b"abc"], greedy, context=50)[0]
    middle = b"".join(pieces)[5:8]
    stopped = complete(model, [b"abc"], Sampling(max_bytes=12, temperature=0, stop=(middle,)), context=50)[0]
    assert stopped == b"".join(pieces).partition(middle)[0]


def test_characters_are_shown_once_they_are_whole():
    whole = "naïve 日本 🙂".encode()
    pieces = list(as_text(bytes([byte]) for byte in whole))
    assert pieces == list("naïve 日本 🙂")
    assert list(as_text([b"a", b"\xe6\x97", b"b\xf0\x9f"])) == ["a", "\ufffdb", "\ufffd"]
    assert list(as_text([])) == []


def test_impossible_settings_are_refused_before_anything_is_written(model):
    for wrong in (
        {"temperature": float("nan")}, {"temperature": float("inf")}, {"temperature": -1}, {"top_p": 2}, {"top_p": 0}, {"min_p": 1.1},
    ):  # fmt: skip
        with pytest.raises(InvalidConfig, match="temperature"):
            Sampling(**wrong)
    for wrong in ({"max_bytes": 0}, {"stop": (b"",)}, {"seed": -1}):
        with pytest.raises(InvalidConfig, match="max_bytes"):
            Sampling(**wrong)
    with pytest.raises(InvalidConfig, match="context is 1"):
        generate(model, [b"x"], Sampling(), context=1)
    assert len(complete(model, [b"x"], Sampling(max_bytes=3, temperature=1e-5), context=16)[0]) <= 3
