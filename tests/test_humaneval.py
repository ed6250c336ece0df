"""The runner of HumanEval: what passes, what fails, and what must not be taken for a pass."""

import gzip
import json
import os
import time

import pytest
from click.testing import CliRunner

from compressors.errors import InputError
from proxylm.cli.main import proxyc
from proxylm.interop import sandbox
from proxylm.interop.code_tasks import Problem, judge, pass_at_1, problems

PROBLEMS = [
    {
        "task_id": "local/0",
        "prompt": 'def add(a, b):\n    """Sum, naïve."""\n',
        "entry_point": "add",
        "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(-1, 1) == 0\n",
        "canonical_solution": "    return a + b\n",
    },
    {
        "task_id": "local/1",
        "prompt": "from typing import List\n\n\ndef longest(words: List[str]) -> str:\n",
        "entry_point": "longest",
        "test": "def check(candidate):\n    assert candidate(['a', 'bcd']) == 'bcd'\n",
        "canonical_solution": "    return max(words, key=len)\n",
    },
]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "problems.jsonl.gz"
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, PROBLEMS)).encode()))
    return path


def test_right_completions_pass_and_wrong_ones_do_not(file):
    asked = problems(file)
    by_prompt = {p["prompt"].encode(): p["canonical_solution"].encode() for p in PROBLEMS}
    outcomes = judge(asked, lambda prompts: [by_prompt[prompt] for prompt in prompts], threads=2)
    assert [(o.task_id, o.result) for o in outcomes] == [("local/0", "passed"), ("local/1", "passed")]
    assert pass_at_1(outcomes) == 1
    outcomes = judge(asked, lambda prompts: [b"    return a - b\n", by_prompt[prompts[1]]])
    assert [o.result for o in outcomes] == ["AssertionError:", "passed"]
    assert pass_at_1(outcomes) == 0.5
    outcomes = judge(asked, lambda prompts: [b"    return (\xff", b""])
    assert [o.result.partition(":")[0] for o in outcomes] == ["SyntaxError", "IndentationError"]


def test_a_process_that_ends_or_prints_has_not_passed(tmp_path):
    for program in (
        "import sys; sys.exit(0)", "import os; os._exit(0)", "raise KeyboardInterrupt", "print('passed')\n1/0", "import os; os.kill(0, 9)",
    ):  # fmt: skip
        assert sandbox.run(program, 10) != "passed"
    assert sandbox.run("import math, typing, collections, re, hashlib\nprint('x' * 10**6)", 10) == "passed"


def test_time_memory_and_files_are_limited():
    began = time.monotonic()
    assert sandbox.run("while True: pass", 0.5) == "timed out"
    sleeper = "import os, time\nif os.fork() == 0:\n    time.sleep(60)\nos.waitpid(-1, 0)"
    assert sandbox.run(sleeper, 0.5) != "passed"  # as another user than root the fork is refused
    assert time.monotonic() - began < 20
    assert sandbox.run("x = bytearray(2 << 30)", 10) == "MemoryError:"
    assert sandbox.run("open('x', 'wb').write(bytes(2 << 20))", 10).startswith(("OSError", "ended early"))
    assert sandbox.run("open('x', 'wb').write(bytes(9)); import os; assert os.getcwd() != '/'", 10) == "passed"


def test_the_environment_and_the_network_are_not_there(monkeypatch):
    monkeypatch.setenv("SECRET", "1")
    assert sandbox.run("import os; assert 'SECRET' not in os.environ", 10) == "passed"
    interfaces = "import socket; assert {name for _, name in socket.if_nameindex()} <= {'lo'}"
    reaches_itself = (
        "import socket\na = socket.create_server(('127.0.0.1', 0))\nsocket.create_connection(a.getsockname(), 1)"
    )
    apart = "import os; assert os.readlink('/proc/self/ns/net') != %r" % (
        os.readlink("/proc/self/ns/net") if os.path.exists("/proc/self/ns/net") else ""
    )
    if sandbox.run(apart, 10) != "passed":
        pytest.skip("no network namespaces here")
    assert sandbox.run(interfaces, 10) == "passed"
    assert sandbox.run(reaches_itself, 10) != "passed"


def test_damaged_problems_are_named(tmp_path, file):
    for content, message in (
        (b'{"task_id": "x"}', "problem 1: KeyError"), (b"{", "problem 1"), (b"", "no problems"), (b"[1]", "problem 1"),
    ):  # fmt: skip
        (tmp_path / "p.jsonl").write_bytes(content)
        with pytest.raises(InputError, match=message):
            problems(tmp_path / "p.jsonl")
    file.write_bytes(file.read_bytes()[:40])
    for path in (file, tmp_path / "nowhere.jsonl"):
        with pytest.raises(InputError):
            problems(path)
    assert isinstance(Problem("a", "b", "c", "d").program("e"), str)


def test_the_command_judges_a_run(tmp_path, file, monkeypatch):
    """A fake model that writes what is right for the first problem."""
    texts = [b"    return a + b\n", b"    return words\n"]
    monkeypatch.setattr("proxylm.training.run_folder.load_run", lambda run, best: (None, None))
    monkeypatch.setattr("proxylm.evaluation.bits_per_byte.trained_window", lambda config: 10)
    monkeypatch.setattr("proxylm.generation.complete", lambda model, prompts, sampling, context: texts)
    done = CliRunner().invoke(proxyc, ["humaneval", "run", str(file), "-o", str(tmp_path / "out.jsonl"), "--json"])
    assert json.loads(done.output) == {"pass@1": 0.5, "passed": 1, "problems": 2}
    results = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [r["result"] for r in results] == ["passed", "AssertionError:"]
    assert [r["completion"].encode() for r in results] == texts
