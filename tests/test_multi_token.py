"""Extra heads: what they learn, what they cost, and that generation with them writes the same text in fewer passes."""

import json
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from compressors.corpus import Document
from compressors.errors import InvalidConfig
from proxylm.config import MixConfig, ModelConfig, RunConfig, TrainConfig
from proxylm.data import alphabet as ids
from proxylm.data.alphabet import RAW_SIZE, RAW_SLICE, Alphabet
from proxylm.data.encode import encode
from proxylm.data.loader import Loader
from proxylm.generation import Sampling, complete, generate
from proxylm.model import multi_token
from proxylm.model.decoder import Decoder
from proxylm.model.flops import training_flops
from proxylm.model.speculation import Speculation
from proxylm.training.checkpoint import latest
from proxylm.training.distributed import Place
from proxylm.training.run_folder import load_run
from proxylm.training.run_log import records
from proxylm.training.run_plan import RunPlan
from proxylm.training.trainer import Trainer, train

N = 3
WORDS = [b"interpreter ", b"compression ", b"superposition ", b"a ", b"byte-level ", b"\xff\x00\x01\xfe "]


@pytest.fixture(scope="module")
def store(tmp_path_factory, bpe):
    """Texts that are certain within a word and uncertain between words, and end."""
    draw = np.random.RandomState(0)
    texts = [b"".join(WORDS[i] for i in draw.randint(0, len(WORDS), 9)) + b"finally." for _ in range(400)]
    return encode(
        [Document(str(i), text) for i, text in enumerate(texts)], tmp_path_factory.mktemp("ahead") / "s", {"bpe": bpe}
    )


def config(recipe="raw", n_ahead=N, **options):
    options = {"steps": 10, "rows": 8, "row_length": 128, "checkpoint_every": 5, "dtype": "fp32"} | options
    mix = MixConfig(view="bpe", recipe=recipe) if recipe != "raw" else MixConfig()
    shape = ModelConfig(d_model=32, n_layers=2, n_heads=2, n_ahead=n_ahead)
    return RunConfig(train=TrainConfig(**options), model=shape, mix=mix)


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "r"
    train(store, config(steps=150), folder)
    return folder


def random_model(**options):
    torch.manual_seed(1)
    made = Decoder(ModelConfig(d_model=32, n_layers=2, n_heads=2, n_ahead=N, **options), Alphabet({"x": 300}))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


@pytest.mark.parametrize("recipe", ["raw", "comp", "proxy"])
def test_targets_are_scored_raw_ids_of_the_same_segment_and_the_plan_knows_how_many(store, recipe):
    chosen = config(recipe, steps=20)
    loader, found = Loader(store, chosen, 160), np.zeros(N, np.int64)
    for step in range(20):
        batch = loader.batch(step)
        raw = (batch.mode == 0) & (batch.targets >= 0)
        expected = [
            sum(
                raw[b, t : t + i + 1].all() and batch.doc[b, t] == batch.doc[b, t + i]
                for b in range(8)
                for t in range(128 - i)
            )
            for i in range(1, N + 1)
        ]
        assert multi_token.counts(batch.targets, batch.doc, batch.mode, N) == expected
        found += expected
    planned = loader.planner.scan(0, 160).targets[-N:]
    assert planned.tolist() == found.tolist()
    assert (found[-1] > 0) == (recipe != "comp")


def test_losses_equal_plain_cross_entropies_and_reach_the_trunk(store):
    batch = Loader(store, config("proxy"), 80).batch(0)
    targets, doc, mode = map(torch.from_numpy, (batch.targets, batch.doc, batch.mode))
    model = random_model()
    hidden = torch.randn(*targets.shape, 32, requires_grad=True)
    nats = model.heads.nats(hidden, targets, mode, (), doc=doc)
    for i, w in enumerate(model.heads.ahead.blocks, 1):
        here = multi_token.predicts(targets, doc, mode, i)
        x = hidden[:, :-i][here]
        plain = F.cross_entropy((x + F.silu(x @ w.T)) @ model.heads.raw.T, targets[:, i:][here], reduction="sum")
        assert nats[i - 1].item() == pytest.approx(plain.item(), rel=1e-5)
    nats.sum().backward()
    raw = (mode == 0) & (targets >= 0)
    assert not hidden.grad[~raw].any()
    assert hidden.grad[raw].abs().sum(1).gt(0).float().mean() > 0.9


def test_flops_equal_those_counted_by_torch():
    model = random_model()
    read, targets = torch.randint(64, 320, (3, 16)), torch.randint(64, 320, (3, 16))
    doc, mode = (torch.arange(16) // 7).expand(3, 16), torch.zeros(3, 16)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        hidden = model(read, doc)
        model.heads.nats(hidden, targets, mode, (RAW_SLICE,), doc=doc)
    n_ahead = sum(multi_token.counts(targets, doc, mode, N))
    ours = training_flops(model.config, 16, 3, [(RAW_SLICE, 48)], n_ahead) / 3
    # The heads compute their gradients in the forward pass: two thirds of their work come early.
    assert counter.get_total_flops() == pytest.approx(ours + 2 * 2 * 32 * RAW_SIZE * (48 + n_ahead), rel=1e-6)


def test_the_log_tells_the_losses_apart_and_a_fresh_run_begins_as_one_without(store, run):
    log = records(run)
    assert set(log[-1]["ahead_bits_per_symbol"]) == {"1", "2", "3"}
    last = [np.mean([r["ahead_bits_per_symbol"][i] for r in log[-20:]]) for i in "123"]
    assert np.mean([r["loss"] for r in log[-20:]]) < last[0] < last[1] < last[2] < log[0]["loss"] - 3
    assert sum(r["flops"] for r in log) == pytest.approx(RunPlan.of(store, config(steps=150)).flops)
    plain, more = (Trainer(RunPlan.of(store, config(n_ahead=n)), Place(torch.device("cpu"))).step(0)[0] for n in (0, N))
    assert plain["ahead_bits_per_symbol"] == {}
    assert plain["loss"] == more["loss"] == more["raw_bits_per_symbol"]
    assert more["flops"] > plain["flops"]
    parts = Trainer(RunPlan.of(store, config("proxy", micro_rows=3)), Place(torch.device("cpu"))).step(0)[0]
    whole = Trainer(RunPlan.of(store, config("proxy")), Place(torch.device("cpu"))).step(0)[0]
    assert parts["ahead_bits_per_symbol"] == pytest.approx(whole["ahead_bits_per_symbol"])


def test_a_checkpoint_holds_the_extra_heads(store, tmp_path):
    for name in ("whole", "cut"):
        train(store, config(), tmp_path / name)
    shutil.rmtree(latest(tmp_path / "cut"))
    train(store, config(), tmp_path / "cut")
    one, two = (load_run(tmp_path / name)[0].heads.ahead.blocks for name in ("whole", "cut"))
    assert all(a.equal(b) and a.any() for a, b in zip(one, two, strict=True))


def passes(model, prompts, sampling, context):
    """Texts, and how many forward passes they took in all."""
    found, n = [b""] * len(prompts), 0
    for number, more in generate(model, prompts, sampling, context=context):
        found[number] += more
        n += 1
    return found, n


def without_heads(model):
    made = Decoder(model.config, model.alphabet)
    made.load_state_dict(model.state_dict())
    made.heads.ahead = None
    return made.eval()


def reference(model, prompt, n_bytes, context):
    """Greedy without a cache, as in test_generation: the text, and how far the likeliest was ahead at each byte, in nats."""
    text, gaps, begin = prompt, [], max(0, len(prompt) - context)
    for _ in range(n_bytes):
        if len(text) - begin > context:
            begin = len(text) - context // 2
        seen = torch.tensor([[ids.BOS, ids.RAW_OPEN, *(byte + 64 for byte in text[begin:])]])
        best, which = model.heads.raw_logits(model(seen)[0, -1])[ids.ALLOWED].topk(2)
        gaps.append((best[0] - best[1]).item())
        if which[0] == 0:
            break
        text += bytes([which[0] - 1])
    return text[len(prompt) :], gaps


def agree(a, b):
    """Bytes at the beginning that are the same."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


PROMPTS = [
    b"compr",
    b"",
    b"a much longer prompt than the others " * 3,
    b"\xff\x00",
    b"byte-level a superposition in",
    b"compr",
]


@pytest.mark.parametrize("kind", ["random", "n-grams", "trained"])
@pytest.mark.parametrize("context", [2, 13, 126])
def test_greedy_text_is_that_of_the_model_without_heads(kind, context, run):
    model = load_run(run)[0] if kind == "trained" else random_model(hash_ngrams=3 if kind == "n-grams" else 0)
    greedy = Sampling(max_bytes=60, temperature=0)
    expected = [reference(model, prompt, 60, context) for prompt in PROMPTS]
    for chosen in (slice(None), slice(2, 3)):
        found, _ = passes(model, PROMPTS[chosen], greedy, context)
        for text, (right, gaps) in zip(found, expected[chosen], strict=True):
            # Two bytes that are as likely but for rounding may be told apart differently: no other difference is one.
            assert text == right or gaps[agree(text, right)] < 1e-4


def test_every_pass_draws_one_byte_and_as_many_more_as_were_guessed_right(run, monkeypatch):
    monkeypatch.setattr(Speculation, "n_guesses", lambda self, rows: N)
    model = load_run(run)[0]
    greedy, prompt = Sampling(max_bytes=90, temperature=0), b"compr"
    pieces = [more for _, more in generate(model, [prompt], greedy, context=126)]
    text = b"".join(pieces)
    seen = torch.tensor([[ids.BOS, ids.RAW_OPEN, *(byte + 64 for byte in prompt + text)]])
    guessed = model.heads.guesses(model(seen)[0]) - 64  # behind each position
    at, expected = 0, []
    while at < len(text):
        guess = bytes(guessed[len(prompt) + at].tolist()) if at else b""  # the first pass reads none
        right = agree(guess, text[at:])
        expected.append(text[at : at + right + 1])
        at += right + 1
    assert pieces == expected
    assert len(pieces) < 0.8 * len(text)


def test_eight_rows_read_guesses_once_they_are_seen_to_be_right(run):
    model, prompts, greedy = load_run(run)[0], [b"compr"] * 8, Sampling(max_bytes=90, temperature=0)
    texts, n_passes = passes(model, prompts, greedy, 126)
    assert texts == complete(without_heads(model), prompts, greedy, context=126)
    assert n_passes < 0.8 * sum(map(len, texts))


def test_drawn_text_stop_strings_and_ends_are_the_same_too(run):
    model = load_run(run)[0]
    plain = without_heads(model)
    for options in ({}, {"temperature": 0.7, "top_p": 0.9}, {"stop": (b"pre", b"ion a", b"level")}, {"max_bytes": 7}):
        sampling = Sampling(**({"max_bytes": 120, "seed": 5} | options))
        assert complete(model, PROMPTS, sampling, context=40) == complete(plain, PROMPTS, sampling, context=40)
    ended = complete(model, [b"finally", b"a byte-level finally"], Sampling(temperature=0), context=126)
    assert ended == [b".", b"."]


def test_bad_numbers_are_refused_and_runs_from_before_the_setting_go_on(store, tmp_path):
    with pytest.raises(InvalidConfig, match="n_ahead is 8"):
        ModelConfig(n_ahead=8)
    train(store, config(n_ahead=0), tmp_path / "r")
    facts = json.loads((tmp_path / "r/run.json").read_text())
    del facts["config"]["model"]["n_ahead"]
    (tmp_path / "r/run.json").write_text(json.dumps(facts))
    train(store, config(n_ahead=0), tmp_path / "r")
    with pytest.raises(InvalidConfig, match="another config"):
        train(store, config(n_ahead=1), tmp_path / "r")
