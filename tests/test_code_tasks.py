"""Samples for evalplus: in its format, for its prompts, and judged by it without a network."""

import gzip
import json

import pytest
from click.testing import CliRunner

from compressors.errors import InputError, InvalidConfig
from proxylm.cli.main import proxyc
from proxylm.interop.code_tasks import Problems, judge, results_of, write_samples

HUMANEVAL = [
    {
        "task_id": "HumanEval/0", "prompt": '\ndef add(a, b):\n    """Sum, naïve."""\n', "entry_point": "add", "contract": "", "atol": 0,
        "canonical_solution": "    return a + b\n", "base_input": [[1, 2]], "plus_input": [[-1, 1], [0, 0]],
    },
    {
        "task_id": "HumanEval/1", "prompt": "from typing import List\n\ndef longest(words: List[str]) -> str:\n", "entry_point": "longest",
        "contract": "", "atol": 0, "canonical_solution": "    return max(words, key=len)\n", "base_input": [[["a", "bcd"]]],
        "plus_input": [[["ab", "c"]]],
    },
]  # fmt: skip
MBPP = [
    {
        "task_id": "Mbpp/2", "prompt": '"""\nWrite a function to find what two share.\nassert share((3, 4), (5, 4)) == (4,)\n"""\n',
        "entry_point": "share", "contract": "", "atol": 0, "canonical_solution": "", "base_input": [], "plus_input": [],
    }
]  # fmt: skip


def written(path, records):
    path.write_bytes(gzip.compress("\n\n".join(map(json.dumps, records)).encode()))
    return path


@pytest.fixture
def humaneval(tmp_path):
    return Problems.read(written(tmp_path / "HumanEvalPlus.jsonl.gz", HUMANEVAL))


def test_samples_are_whole_programs_in_the_order_of_the_problems(humaneval, tmp_path):
    shown = []

    def complete(prompts):
        shown.extend(prompts)
        return [b"    return a\t+ b", b"    return 1", b"    return words[0]", b"\xff"]

    write_samples(humaneval, complete, tmp_path / "s.jsonl", samples=2)
    beginning = 'def add(a, b):\n    """Sum, naïve."""\n'
    assert shown == [beginning.encode()] * 2 + [HUMANEVAL[1]["prompt"].encode()] * 2
    found = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert [record["task_id"] for record in found] == ["HumanEval/0"] * 2 + ["HumanEval/1"] * 2
    assert found[0]["solution"] == beginning + "    return a    + b"
    assert found[3]["solution"].endswith("\ufffd")


def test_stop_strings_are_those_of_evalplus(humaneval, tmp_path):
    utility = pytest.importorskip("evalplus.provider.utility")
    special = ["<|endoftext|>", "<|endofmask|>", "</s>"]  # of tokenizers that we do not have
    for problems in (humaneval, Problems.read(written(tmp_path / "MbppPlus.jsonl.gz", MBPP))):
        theirs = {*utility.EOS, *utility.extra_eos_for_direct_completion(problems.name)} - set(special)
        assert set(problems.stop) == {text.encode() for text in theirs}


def test_evalplus_judges_the_samples(humaneval, tmp_path, monkeypatch):
    """Two for each problem: right; right for the original test only; right; wrong."""
    pytest.importorskip("evalplus")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    texts = [
        HUMANEVAL[0]["canonical_solution"],
        "    return abs(a) + abs(b)\n",
        HUMANEVAL[1]["canonical_solution"],
        "    return (\n",
    ]
    write_samples(humaneval, lambda prompts: [t.encode() for t in texts], tmp_path / "s.jsonl", samples=2)
    assert judge(humaneval, tmp_path / "s.jsonl", threads=2) == {"base": 0.75, "plus": 0.5}


def test_a_failure_of_evalplus_is_one_line(humaneval, tmp_path):
    pytest.importorskip("evalplus")
    (tmp_path / "s.jsonl").write_text('{"task_id": "HumanEval/0", "solution": "x"}\n')
    humaneval.path.write_bytes(gzip.compress(b'{"task_id": "HumanEval/0", "prompt": "x"}'))
    with pytest.raises(InputError, match=r"evalplus could not judge .*contract not found"):
        judge(humaneval, tmp_path / "s.jsonl")


def test_nothing_is_overwritten_and_damaged_problems_are_named(humaneval, tmp_path):
    with pytest.raises(InvalidConfig, match=r"end with \.jsonl"):
        write_samples(humaneval, lambda prompts: [], tmp_path / "s.json")
    results_of(tmp_path / "s.jsonl").touch()
    with pytest.raises(InputError, match=r"s_eval_results\.json exists already"):
        write_samples(humaneval, lambda prompts: [], tmp_path / "s.jsonl")
    for content, message in (
        (b'{"task_id": "x"}', "problem 1: KeyError"), (b"{", "problem 1"), (b"", "has no problems"), (b"[1]", "problem 1"),
        (b'{"task_id": "x/1", "prompt": "", "entry_point": ""}', "has no problems of HumanEval"),
    ):  # fmt: skip
        (tmp_path / "p.jsonl").write_bytes(content)
        with pytest.raises(InputError, match=message):
            Problems.read(tmp_path / "p.jsonl")
    humaneval.path.write_bytes(humaneval.path.read_bytes()[:40])
    for path in (humaneval.path, tmp_path / "nowhere.jsonl"):
        with pytest.raises(InputError):
            Problems.read(path)


def test_the_command_writes_samples_of_a_run(humaneval, tmp_path, monkeypatch):
    """A fake model: what counts is what reaches it, and the file."""

    class Fake:
        model = None

        def warn_without_bytes(self):
            pass

        def window(self):
            return 62

    def complete(model, prompts, sampling, context):
        assert (sampling.max_bytes, sampling.temperature, context) == (3072, 0, 62)
        assert sampling.stop == humaneval.stop
        return [b"    return 1"] * len(prompts)

    monkeypatch.setattr("proxylm.trained.open_run", lambda run, **_: Fake())
    monkeypatch.setattr("proxylm.generation.complete", complete)
    output = tmp_path / "s.jsonl"
    done = CliRunner().invoke(
        proxyc, ["code-tasks", "run", "--dataset", str(humaneval.path), "-o", str(output), "--json"]
    )
    assert json.loads(done.stdout) == {"dataset": "humaneval", "problems": 2, "samples": str(output)}
    assert len(output.read_text().splitlines()) == 2
