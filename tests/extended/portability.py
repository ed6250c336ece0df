"""The neural codec on every path there is to its numbers: are streams, files and symbols the same to the last bit?

python -m tests.extended.portability -o bench/results/portability.json

Every row is a separate process (`tests.extended.neural_digests`), which also decodes what it made. Rows that compile otherwise
begin with an empty cache. `--also` adds another Python: one with another numpy, of another architecture under emulation.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

from bench import markdown
from bench.output import as_json, output, write_json

WHOLE, SHORT = 40_000, 2_000  # bytes of text; the interpreter is slow
THIS = (sys.executable,)
ROOT = Path(__file__).parent.parent.parent  # children import `tests`, which is not installed


@dataclass(frozen=True)
class Way:
    """One row: how the process is started."""

    name: str
    environment: dict[str, str] = field(default_factory=dict)
    how: tuple[str, ...] = ()
    command: tuple[str, ...] = THIS
    n_bytes: int = WHOLE
    compiles: bool = False  # other machine code than the one in the common cache


@dataclass(frozen=True)
class Row:
    """What came of it. `outcome`: equal, or which digests are not those of the first row of as many bytes, or an error."""

    way: str
    environment: dict[str, str]
    n_bytes: int
    seconds: float
    outcome: str
    facts: dict[str, Any]
    digests: dict[str, str]


def ways() -> list[Way]:
    """The first of each size is what others are compared with."""
    return [
        Way("as it comes"),
        *_settings(),
        *_processors(),
        *_products(),
        Way("as it comes, a short text", n_bytes=SHORT),
        Way(
            "interpreter, int64 products",
            {"NUMBA_DISABLE_JIT": "1", "PROXYC_KERNELS": "python"},
            ("interpreter",),
            n_bytes=SHORT,
        ),
    ]


def _settings() -> list[Way]:
    return [
        Way("another process"),
        *(Way(f"{n} threads", {"OMP_NUM_THREADS": str(n)}, (f"threads={n}",)) for n in (2, 4)),
        Way("documents in one batch, in company", how=("batch",)),
        Way("batches of 4 threads", how=("batch", "threads=4")),
        Way("encoder prepares one position, not 16", how=("one_ahead",), compiles=True),
        *(Way(f"PYTHONHASHSEED={seed}", {"PYTHONHASHSEED": str(seed)}) for seed in (0, 12345)),
        Way("locale POSIX, no UTF-8", {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
        Way("python -O", command=(sys.executable, "-O")),
    ]


def _processors() -> list[Way]:
    """Instruction sets that Numba compiles for; the smaller ones run everywhere."""
    no_avx512 = ",".join(f"-avx512{part}" for part in ["f", "bw", "cd", "dq", "vl", "vnni", "vbmi", "ifma"])
    named = {cpu: {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": ""} for cpu in ("generic", "nehalem", "haswell")}
    named |= {
        "features without AVX-512": {"NUMBA_CPU_FEATURES": no_avx512},
        "features without AVX-512, AVX2, FMA": {"NUMBA_CPU_FEATURES": f"{no_avx512},-avx2,-fma"},
        "NUMBA_ENABLE_AVX=0": {"NUMBA_ENABLE_AVX": "0"},
        "NUMBA_LOOP_VECTORIZE=0": {"NUMBA_LOOP_VECTORIZE": "0"},
        "NUMBA_SLP_VECTORIZE=1": {"NUMBA_SLP_VECTORIZE": "1"},
        **{f"NUMBA_OPT={level}": {"NUMBA_OPT": str(level)} for level in (0, 1)},
    }
    return [
        Way(name if "NUMBA" in name else f"Numba for {name}", changes, compiles=True) for name, changes in named.items()
    ]


def _products() -> list[Way]:
    """Libraries that multiply matrices where the network is trained: numpy's, and torch's in its place."""
    found = [
        Way(f"OPENBLAS_CORETYPE={core}", {"OPENBLAS_CORETYPE": core}) for core in ("Prescott", "Nehalem", "Haswell")
    ]
    features = {"NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3"}
    found += [Way("numpy without AVX2, FMA3", features), Way("torch", how=("torch",))]
    found += [
        Way(f"torch, ONEDNN_MAX_CPU_ISA={isa}", {"ONEDNN_MAX_CPU_ISA": isa}, ("torch",)) for isa in ("SSE41", "AVX2")
    ]
    return found + [
        Way(f"torch, ATEN_CPU_CAPABILITY={isa}", {"ATEN_CPU_CAPABILITY": isa}, ("torch",))
        for isa in ("default", "avx2")
    ]


def run(chosen: Sequence[Way]) -> list[Row]:
    """Every way in its own process, one after the other."""
    rows: list[Row] = []
    first: dict[int, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, way in enumerate(chosen):
            cache = f"{folder}/{number if way.compiles else 'common'}"
            began = time.perf_counter()
            facts, digests, error = _digests(way, cache)
            reference = first.setdefault(way.n_bytes, digests)
            differs = ", ".join(name for name, digest in digests.items() if digest != reference.get(name))
            seconds, outcome = round(time.perf_counter() - began, 1), error or differs or "equal"
            rows.append(Row(way.name, way.environment, way.n_bytes, seconds, outcome, facts, digests))
            click.echo(f"{way.name}: {outcome} ({seconds} s)", err=True)
    return rows


def _digests(way: Way, cache: str) -> tuple[dict[str, Any], dict[str, str], str]:
    """Facts and digests that the process printed; or why it did not."""
    done = subprocess.run(
        [*way.command, "-m", "tests.extended.neural_digests", str(way.n_bytes), *way.how], cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_CACHE_DIR": cache} | way.environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 0:
        found = json.loads(done.stdout)
        return found["facts"], found["digests"], ""
    said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return {}, {}, said[-1]


@click.command()
@click.option("--also", multiple=True, metavar="NAME=COMMAND", help="Another Python: a command that runs it.")
@output()
def main(also: tuple[str, ...], output: Path | None) -> None:
    """Take every way; exit code 1 if one differs."""
    others = (text.partition("=") for text in also)
    chosen = [*ways(), *(Way(name, command=tuple(shlex.split(command)), compiles=True) for name, _, command in others)]
    rows = run(chosen)
    click.echo(table(rows))
    if output:
        write_json(output, as_json("portability", [asdict(row) for row in rows]))
    if any(row.outcome != "equal" for row in rows):
        raise click.exceptions.Exit(1)


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""

    def cells(row: Row) -> list[str]:
        target = " ".join(row.facts[key] for key in ("compiled_for", "vectors") if row.facts.get(key))
        return [row.way, target, f"{row.n_bytes:,}", str(len(row.digests)), row.outcome]

    return markdown.table(
        ["path", "compiled for, widest vectors", "bytes of text", "outcomes", ""], map(cells, rows), text=2
    )


if __name__ == "__main__":
    main()
