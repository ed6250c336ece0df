"""HumanEval+ and MBPP+ (Liu et al., arXiv 2305.01210): programs completed by a model, as samples for evalplus to judge.

The problems are not ours to ship: give HumanEvalPlus.jsonl.gz or MbppPlus.jsonl.gz, as evalplus releases them. Prompts,
stop strings and the format of the samples are those of evalplus 0.3.1 for models that complete code. Judging runs what the
model wrote, with evalplus' limits of time and memory: they stop accidents, not attacks.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compressors.atomic import write_atomically
from compressors.errors import InputError, InvalidConfig

_STOP = ("\nif __name__", "\ndef main(", "\nprint(")
_STOPS = {  # evalplus' name of a data set -> where a completion has ended
    "humaneval": (*_STOP, "\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert "),
    "mbpp": (*_STOP, '\n"""', "\nassert"),
}
_PREFIXES = {"HumanEval/": "humaneval", "Mbpp/": "mbpp"}  # of task_id
_OVERRIDES = {
    "humaneval": "HUMANEVAL_OVERRIDE_PATH",
    "mbpp": "MBPP_OVERRIDE_PATH",
}  # evalplus reads this file, and no network


@dataclass(frozen=True)
class Problem:
    """A prompt that a program begins with, and the function it is to define."""

    task_id: str  # HumanEval/0
    prompt: str
    entry_point: str  # name of the function

    @property
    def beginning(self) -> str:
        """What the model is shown."""
        return self.prompt.strip() + "\n"


@dataclass(frozen=True)
class Problems:
    """A data set of evalplus, by the name it has there."""

    name: str  # humaneval or mbpp
    path: Path
    all: tuple[Problem, ...]

    @classmethod
    def read(cls, path: Path) -> Problems:
        """From a .jsonl or .jsonl.gz file. Raises `InputError`."""
        found = []
        try:
            with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as lines:
                for line in lines:
                    if line.strip():
                        record = json.loads(line)
                        found.append(Problem(*(str(record[key]) for key in Problem.__dataclass_fields__)))
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}") from error
        except (ValueError, TypeError, LookupError, EOFError, zlib.error) as error:
            raise InputError(
                f"{path}, problem {len(found) + 1}: {error!r}; expected JSON with task_id, prompt and entry_point"
            ) from error
        names = {name for p in found for start, name in _PREFIXES.items() if p.task_id.startswith(start)}
        if len(names) != 1:
            raise InputError(
                f"{path} has no problems of HumanEval+ or MBPP+; give HumanEvalPlus.jsonl.gz or MbppPlus.jsonl.gz"
            )
        return cls(names.pop(), path, tuple(found))

    @property
    def stop(self) -> tuple[bytes, ...]:
        """Where a completion has ended."""
        return tuple(text.encode() for text in _STOPS[self.name])


def write_samples(
    problems: Problems, complete: Callable[[list[bytes]], list[bytes]], output: Path, *, samples: int = 1
) -> None:
    """Complete each problem `samples` times and write the programs as a .jsonl of task_id and solution.

    Raises `InvalidConfig` for another name, `InputError` if the file, or what evalplus found of one, is there already.
    """
    if output.suffix != ".jsonl":
        raise InvalidConfig(f"{output}: evalplus reads samples from files that end with .jsonl; choose such a name")
    for path in (output, results_of(output)):
        if path.exists():
            raise InputError(f"{path} exists already; choose another name or delete it")
    asked = [problem for problem in problems.all for _ in range(samples)]
    texts = complete([problem.beginning.encode() for problem in asked])
    records = (
        {
            "task_id": problem.task_id,
            "solution": problem.beginning + text.decode("utf-8", "replace").replace("\t", "    "),
        }
        for problem, text in zip(asked, texts, strict=True)
    )
    write_atomically(output, "".join(json.dumps(record) + "\n" for record in records).encode())


def results_of(samples: Path) -> Path:
    """Where evalplus writes what it found."""
    return samples.with_name(samples.name.replace(".jsonl", "_eval_results.json"))


# evalplus.evaluate, which ends with its results: a thread of it that looks for stuck samples sleeps 20 s at a time.
_EVALUATE = "import os, sys; from evalplus.evaluate import main; main(); sys.stdout.flush(); os._exit(0)"


def judge(problems: Problems, samples: Path, *, threads: int = 1) -> dict[str, float]:
    """pass@1 on the tests of the original data set ("base") and on all of evalplus' ("plus"), as evalplus finds it.

    It writes its results beside the samples, and works without a network. Raises `InputError` if it fails.
    """
    import evalplus  # noqa: F401 # if it is not there, this is said by the name of its extra

    command = [
        sys.executable,
        "-c",
        _EVALUATE,
        "--dataset",
        problems.name,
        "--samples",
        str(samples.resolve()),
    ]
    environment = os.environ | {_OVERRIDES[problems.name]: str(problems.path.resolve())}
    done = subprocess.run([*command, "--parallel", str(threads)], env=environment, capture_output=True, text=True)
    try:
        found: dict[str, Any] = json.loads(results_of(samples).read_text())["eval"]
    except (OSError, ValueError, LookupError) as error:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise InputError(f"evalplus could not judge {samples}: {last}") from error
    return {
        "base": _mean([_mean([s["base_status"] == "pass" for s in task]) for task in found.values()]),
        "plus": _mean(
            [_mean([s["base_status"] == s["plus_status"] == "pass" for s in task]) for task in found.values()]
        ),
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
