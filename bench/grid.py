"""`proxyc bench downstream`: the runs of a recipe, over the cores, each in a folder of its own; a killed grid goes on.

A run is trained (from its newest checkpoint, if there is one) and evaluated once; results.RESULT.json then holds the bits of every
held-out document, so that runs can be compared document by document.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path
from types import FrameType
from typing import IO, Any

import click

from bench import budgets, recipe, results, tables
from bench.downstream import Arm, curves, digest, planned, run_arm, scored
from bench.report import environment
from compressors import registry
from compressors.atomic import write_atomically
from compressors.errors import InvalidConfig
from proxylm.config import RunConfig
from proxylm.settings import from_mapping
from proxylm.store import RAW, Store

PATH = click.Path(path_type=Path, exists=True)


@click.command()
@click.argument("recipe_file", metavar="RECIPE.toml", type=PATH)
@click.argument("store", type=PATH)
@click.argument("held_out", nargs=-1, required=True, type=PATH)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the runs.")
@click.option("--codec", "codecs", multiple=True, metavar="VIEW@CODEC", help="What made a view that an arm is read in.")
@click.option("--max-bytes", default=500_000, show_default=True, help="Held-out bytes that are scored.")
@click.option(
    "--jobs",
    type=int,
    default=lambda: os.cpu_count() or 1,
    show_default="all cores",
    help="Runs at a time, with one thread each.",
)
@click.option("--only", multiple=True, metavar="NAME", help="Only these runs; * and ? stand for any letters.")
@click.option(
    "--plan",
    is_flag=True,
    help="Plan the rows of every run, count steps, FLOPs, memory; write their configurations, train nothing.",
)
@click.option("--flops-per-second", type=float, help="With --plan: say how many hours that takes.")
def downstream(
    recipe_file: Path, store: Path, held_out: tuple[Path, ...], output: Path, codecs: tuple[str, ...], max_bytes: int,
    jobs: int, only: tuple[str, ...], plan: bool, flops_per_second: float | None,
) -> None:  # fmt: skip
    """Train and evaluate the grid of RECIPE.toml on the view store STORE; HELD_OUT documents are scored."""
    every = recipe.load(recipe_file)
    arms, opened, held = _chosen(every, only), Store.open(store), digest(scored(held_out, max_bytes))
    for arm in every:
        _check_finished(output / arm.name, arm, opened, held)
    output.mkdir(parents=True, exist_ok=True)
    if plan:
        for arm in arms:
            click.echo(_planned(arm, opened, output, flops_per_second))
        return
    arguments = [str(recipe_file), str(store), *map(str, held_out), "-o", str(output), "--max-bytes", str(max_bytes)]
    for codec in codecs:
        arguments += ["--codec", codec]
    processes, failed = _Processes(output, arguments), list[str]()
    before = signal.signal(signal.SIGTERM, processes.stop)
    try:
        for timed in (False, True):  # equal seconds can be given once the others' are known
            names = [arm.name for arm in arms if (arm.equal == "seconds") == timed]
            with ThreadPoolExecutor(jobs) as pool:
                failed += filter(None, pool.map(processes.run, names))
    finally:
        signal.signal(signal.SIGTERM, before)
    order = [arm.name for arm in every]
    found = sorted((r for r in results.collect(output) if r["name"] in order), key=lambda r: order.index(r["name"]))
    results.write(output / "results.json", found)
    click.echo(tables.all_of(found))
    if processes.stopped:
        raise click.ClickException("stopped by SIGTERM; the same command goes on")
    if failed:
        raise click.ClickException(f"{len(failed)} runs failed: {', '.join(failed)}; see run.err in their folders")


def _planned(arm: Arm, store: Store, output: Path, flops_per_second: float | None) -> str:
    """A line about the run; its configuration, with the steps that were planned, goes to OUTPUT/NAME.json."""
    if arm.rival is not None and arm.equal == "seconds":
        return f"{arm.name}: as long as {arm.rival.name} took"
    arm = budgets.settled(arm, store, output)
    write_atomically(output / f"{arm.name}.json", arm.config.to_json().encode())
    return planned(arm, store, flops_per_second)


def _chosen(arms: list[Arm], only: tuple[str, ...]) -> list[Arm]:
    """The arms that one of the patterns names, all without patterns. Raises `InvalidConfig` if one names none."""
    for pattern in only:
        if not any(fnmatchcase(arm.name, pattern) for arm in arms):
            raise InvalidConfig(f"--only {pattern} names no run; the recipe has {', '.join(arm.name for arm in arms)}")
    return [arm for arm in arms if not only or any(fnmatchcase(arm.name, pattern) for pattern in only)]


def _facts(arm: Arm, store: Store, held_out: str) -> dict[str, Any]:
    """What a result must agree in with the recipe, store and documents it is printed for."""
    views = sorted({reading.view for reading in arm.config.mix.readings} - {RAW})
    return {
        "arm": arm.arm, "size": arm.size, "equal": arm.equal, "rival": arm.first, "reads": arm.reads,
        "rival_config": json.loads(arm.rival.config.to_json()) if arm.rival else None,
        "corpus": store.fingerprint_of(), "views": {view: store.view(view)["fingerprint"] for view in views},
        "held_out_sha256": held_out,
    }  # fmt: skip


def _check_finished(folder: Path, arm: Arm, store: Store, held_out: str) -> None:
    """Raise `InvalidConfig` if the folder has a result of another run: it would be printed as if it were this one's."""
    if not (folder / results.RESULT).exists():
        return
    found = results.read_one(folder / results.RESULT)
    before, now = _settings(found["config"], arm), _settings(json.loads(arm.config.to_json()), arm)
    different = [key for key, value in _facts(arm, store, held_out).items() if found.get(key) != value]
    if before != now:
        different.append("config")
    if different:
        raise InvalidConfig(
            f"{folder} holds a finished run with another {', '.join(different)}; choose another folder with -o, or delete it"
        )


def _settings(config: dict[str, Any], arm: Arm) -> RunConfig:
    """A setting that is newer than a result has its default there. The steps of an arm with another budget are planned."""
    if arm.rival is not None:
        config = config | {"train": config["train"] | {"steps": 1, "flops": None}}
    return from_mapping(RunConfig, config)


class _Processes:
    """A process for each run. SIGTERM ends them with the grid: each after its step, with a checkpoint."""

    def __init__(self, output: Path, arguments: list[str]) -> None:
        self._output, self._arguments = output, arguments
        self._running: set[subprocess.Popen[bytes]] = set()
        self.stopped = False

    def run(self, name: str) -> str | None:
        """Run one arm; its name if it fails. Waits for another grid that runs it."""
        folder = self._output / name
        folder.mkdir(exist_ok=True)
        with open(folder / "run.err", "a") as errors:  # the process inherits the lock with its stderr
            if not self._locked(errors):
                return name
            if (folder / results.RESULT).exists():
                return None
            errors.truncate(0)
            command = [sys.executable, "-m", "bench.grid", name, *self._arguments]
            with subprocess.Popen(command, stderr=errors, env=os.environ | {"OMP_NUM_THREADS": "1"}) as process:
                self._running.add(process)
                if self.stopped:  # between the look above and now
                    process.terminate()
                process.wait()
                self._running.discard(process)
        return name if process.returncode else None

    def _locked(self, file: IO[str]) -> bool:
        """Lock the file, however long another grid has it; False once stopped, which a blocking lock would not notice."""
        while not self.stopped:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.2)
            else:
                return True
        return False

    def stop(self, number: int, frame: FrameType | None) -> None:
        """The handler of SIGTERM."""
        self.stopped = True
        for process in tuple(self._running):
            process.terminate()


@click.command()
@click.argument("name")
@click.argument("recipe_file", type=PATH)
@click.argument("store", type=PATH)
@click.argument("held_out", nargs=-1, required=True, type=PATH)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path))
@click.option("--codec", "codecs", multiple=True)
@click.option("--max-bytes", type=int)
def run_one(
    name: str, recipe_file: Path, store: Path, held_out: tuple[Path, ...], output: Path, codecs: tuple[str, ...], max_bytes: int,
) -> None:  # fmt: skip
    """One run of the grid, to its result."""
    (arm,) = (arm for arm in recipe.load(recipe_file) if arm.name == name)
    opened = Store.open(store)
    arm = budgets.settled(arm, opened, output)
    made = dict(map(registry.parse_named, codecs))
    if arm.reads != "raw" and arm.reads not in made:
        raise InvalidConfig(
            f"arm {name} is read as {arm.reads}; say what made that view with --codec {arm.reads}@CODEC"
        )
    documents = scored(held_out, max_bytes)
    facts = _facts(arm, opened, digest(documents))
    outcome = run_arm(arm, opened, output / name, made, documents, lambda record: None)
    facts = {"name": name} | facts | {
        "config": json.loads(arm.config.to_json()), "totals": outcome.totals, "evaluation": outcome.result.to_json(),
        "environment": environment(), "curves": curves(output / name), "document_bytes": outcome.result.n_bytes.tolist(),
        "document_bits": (outcome.result.text_bits + outcome.result.end_bits).tolist(),
    }  # fmt: skip
    write_atomically(output / name / results.RESULT, json.dumps(facts).encode())
    click.echo(f"{name}: {outcome.result.bits_per_byte:.4f} bits per byte, {outcome.totals['flops']:.3g} FLOPs")


if __name__ == "__main__":
    run_one()
