"""The adapter to lm-evaluation-harness: against slow likelihoods, and in a run of the harness's evaluator on local tasks."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from compressors.errors import InvalidConfig, ProxycError
from proxylm.config import ModelConfig
from proxylm.data.alphabet import ALLOWED, Alphabet
from proxylm.evaluation.bits_per_byte import evaluate
from proxylm.generation import Sampling, complete
from proxylm.model.decoder import Decoder

WINDOW = 24
QUESTIONS = [
    {"question": f"What is {i}?", "choices": ["one", "twö", " a much longer answer"], "label": i % 3} for i in range(6)
]
TASK = """task: {name}
custom_dataset: !function data.questions
test_split: test
output_type: {kind}
doc_to_text: {text}
"""


@pytest.fixture(scope="module")
def lm():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        pytest.importorskip("lm_eval")
        from proxylm.interop.lm_eval import ProxycLM

        yield ProxycLM(model(), WINDOW)


def model(**more):
    """A model whose blocks count; more: settings of its shape."""
    torch.manual_seed(1)
    made = Decoder(ModelConfig(d_model=32, n_layers=2, n_heads=2, **more), Alphabet({"x": 300}))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    if "hash_ngrams" in more:
        torch.nn.init.zeros_(made.embedding.ngrams.table.data[-1])  # of "no n-gram", as in every trained model
    return made.eval()


def requests(*arguments):
    return [SimpleNamespace(args=a) for a in arguments]


def slow(model, text, first):
    """(ln p, greedy?) of text[first:], each byte behind at most WINDOW - 1 others and at least half as many."""
    total, greedy, begin = 0.0, True, 0
    ends = [min(len(text), max(first + WINDOW // 2, WINDOW))]
    while ends[-1] < len(text):
        ends.append(min(len(text), ends[-1] + WINDOW // 2))
    for i in range(first, len(text)):
        begin = max(0, next(end for end in ends if end > i) - WINDOW)
        seen = torch.tensor([[1, 12, *(b + 64 for b in text[begin:i])]])
        logits = model.heads.raw_logits(model(seen)[0, -1])
        total += torch.log_softmax(logits, 0)[text[i] + 64].item()
        greedy &= ALLOWED[int(logits[ALLOWED].argmax())] == text[i] + 64
    return total, greedy


def test_likelihoods_equal_slow_ones(lm):
    continued = complete(lm.model, [b"go"], Sampling(max_bytes=5, temperature=0), context=WINDOW)[0]
    cases = [("", "abc"), ("naïve", " 日本"), ("c" * 50, "d" * 7), ("c" * 50, "d" * 60), ("", "e" * 30), ("abc", "")]
    if continued.isascii():
        cases.append(("go", continued.decode()))
    found = lm.loglikelihood(requests(*cases))
    for (context, continuation), (log_p, greedy) in zip(cases, found, strict=True):
        expected, is_greedy = slow(lm.model, (context + continuation).encode(), len(context.encode()))
        assert log_p == pytest.approx(expected, rel=1e-4)
        assert greedy == is_greedy
    assert {greedy for _, greedy in found} == {True, False}
    assert lm.loglikelihood(requests(("abc", ""))) == [(0.0, True)]


def test_rolling_is_the_evaluation_without_the_ends(lm):
    texts = ["", "short", "naïve " * 30]
    bits = evaluate(lm.model, [text.encode() for text in texts], window=WINDOW).text_bits
    found = lm.loglikelihood_rolling(requests(*[(text,) for text in texts]))
    assert found == pytest.approx([-b * math.log(2) for b in bits])
    assert lm.loglikelihood_rolling(requests(("",))) == [0.0]


def test_texts_are_those_of_generation_under_the_settings_of_each_request(lm):
    from proxylm.interop.lm_eval import sampling_of

    asked = [
        ("a", {"until": ["\n\n"], "max_gen_toks": 3}),
        ("b" * 40, {"until": "zz", "do_sample": True, "temperature": 0.7, "max_gen_toks": 2}),
        ("c", {"until": ["\n\n"], "max_gen_toks": 3, "do_sample": False, "temperature": 0.9}),
    ]
    assert (
        sampling_of(asked[0][1]) == Sampling(max_bytes=12, temperature=0, stop=(b"\n\n",)) == sampling_of(asked[2][1])
    )
    assert sampling_of(asked[1][1]) == Sampling(max_bytes=8, temperature=0.7, stop=(b"zz",))
    single = [complete(lm.model, [t.encode()], sampling_of(s), context=WINDOW)[0] for t, s in asked]
    assert lm.generate_until(requests(*asked)) == [text.decode("utf-8", "replace") for text in single]


def test_every_name_for_the_length_of_an_answer_is_known(lm):
    from proxylm.interop.lm_eval import sampling_of

    for name in ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens"):
        assert sampling_of({"until": ["\n"], name: 16, "do_sample": False}).max_bytes == 64
    assert sampling_of({}).max_bytes == 1024
    assert sampling_of({"until": None, "temperature": 0.5}).temperature == 0.5


def test_the_table_names_its_columns(lm):
    """Releases of pytablewriter before 1 call them A to I."""
    from lm_eval.utils import make_table

    results = {"t": {"alias": "t", "acc,none": 0.5, "acc_stderr,none": 0.1}}
    table = make_table(
        {"results": results, "versions": {"t": 1}, "n-shot": {"t": 0}, "higher_is_better": {"t": {"acc": True}}}
    )
    assert table.splitlines()[0].replace(" ", "").startswith("|Tasks|Version|Filter|n-shot|Metric|")


def test_the_harness_finds_the_model_and_gives_it_its_options(lm, tmp_path):
    """By the entry point that its releases read, with the arguments of its command line."""
    from importlib.metadata import EntryPoint

    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
    ((name, value),) = project["entry-points"]["lm_eval.models"].items()
    made = EntryPoint(name, value, "lm_eval.models").load()
    assert made is type(lm)
    assert lm_eval_registry().get_model(name) is made
    for given, message in (
        ("pretrained=7", "7 is not a training run"),
        (f"pretrained={tmp_path},batch_size=x", "batch_size is 'x'"),
    ):
        with pytest.raises(ProxycError, match=message):
            made.create_from_arg_string(given, {"device": "cpu", "max_batch_size": None})
    with pytest.raises(InvalidConfig, match="has no window"):
        made(lm.model)


def lm_eval_registry():
    import lm_eval.api.registry

    return lm_eval.api.registry


def test_batch_sizes_change_nothing_but_rounding(lm):
    asked = requests(*[(c * 9, c * n) for c, n in (("a", 3), ("b", 40), ("c", 11))])
    small = type(lm)(lm.model, WINDOW, batch_size="1", device="cpu")
    assert small.device.type == "cpu"
    for (log_p, greedy), (other, also) in zip(lm.loglikelihood(asked), small.loglikelihood(asked), strict=True):
        assert (log_p, greedy) == (pytest.approx(other, rel=1e-5), also)
    texts = requests(("naïve " * 30,), ("x",))
    assert small.loglikelihood_rolling(texts) == pytest.approx(lm.loglikelihood_rolling(texts), rel=1e-5)


@pytest.mark.filterwarnings("ignore")  # of libraries that the harness and transformers load
@pytest.mark.parametrize("shape", [{}, {"hash_ngrams": 3, "ngram_rows": 64, "partial_key_offset": True}])
def test_the_harness_own_model_says_the_same_of_an_export(lm, tmp_path, shape):
    """`lm_eval --model hf` on what `proxyc export` writes, within the window: of a stock model, and of one with its code."""
    pytest.importorskip("transformers")
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    from proxylm.interop.export import export

    lm = type(lm)(model(**shape), WINDOW)
    export(lm.model, tmp_path / "hf", context=WINDOW + 2)
    theirs = HFLM(
        pretrained=str(tmp_path / "hf"), device="cpu", batch_size=2, dtype="float32", trust_remote_code=bool(shape)
    )
    cases = [("go", " on"), ("naïve", " 日本"), ("a b", "c")]
    asked = [Instance("loglikelihood", {}, case, i) for i, case in enumerate(cases)]
    for (log_p, greedy), (other, also) in zip(lm.loglikelihood(asked), theirs.loglikelihood(asked), strict=True):
        assert (log_p, greedy) == (pytest.approx(other, rel=1e-4), also)
    asked = [Instance("generate_until", {}, ("go", {"until": ["\n\n"], "max_gen_toks": 2}), 0)]
    assert lm.generate_until(asked)[0].startswith(theirs.generate_until(asked)[0].rstrip("\ufffd"))


def test_its_evaluator_runs_local_tasks(lm, tmp_path):
    from proxylm.interop.lm_eval import measure

    (tmp_path / "data.py").write_text(
        f"import datasets\n\ndef questions(**_):\n    return {{'test': datasets.Dataset.from_list({QUESTIONS!r})}}\n"
    )
    for name, kind, text, more in (
        ("choice", "multiple_choice", "question", "doc_to_choice: choices\ndoc_to_target: label\n"),
        ("rolling", "loglikelihood_rolling", "''", "doc_to_target: question\nmetric_list: [{metric: bits_per_byte}]\n"),
        ("text", "generate_until", "question", "doc_to_target: question\ngeneration_kwargs: {until: ['x'], max_gen_toks: 2}\n"),
    ):  # fmt: skip
        (tmp_path / f"{name}.yaml").write_text(TASK.format(name=name, kind=kind, text=text) + more)
    found = measure(lm, ["choice", "rolling", "text"], include=tmp_path)["results"]

    right = 0
    for q in QUESTIONS:
        texts = [(f"{q['question']} {choice}".encode(), len(q["question"])) for choice in q["choices"]]
        scores = [slow(lm.model, text, first)[0] for text, first in texts]
        right += scores.index(max(scores)) == q["label"]
    assert found["choice"]["acc,none"] == right / len(QUESTIONS)
    texts = [q["question"].encode() for q in QUESTIONS]
    bits = evaluate(lm.model, texts, window=WINDOW).text_bits.sum() / sum(map(len, texts))
    assert found["rolling"]["bits_per_byte,none"] == pytest.approx(bits, rel=1e-5)
    assert found["text"]["exact_match,none"] == 0
    assert json.dumps(found)
    with pytest.raises(InvalidConfig, match="no task nonsense_task"):
        measure(lm, ["nonsense_task"], include=tmp_path)
