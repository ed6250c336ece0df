"""`proxyc bench downstream`: the runs of a recipe, over the cores, each in a folder of its own; a killed grid goes on.

A run is trained (from its newest checkpoint, if there is one) and evaluated once; tables.RESULT.json then holds the bits of every
held-out document, so that runs can be compared document by document.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from pathlib import Path

import click

from bench import budgets, recipe, tables
from bench.downstream import Arm, curves, planned, run_arm, scored
from bench.report import environment
from compressors import registry
from compressors.atomic import write_atomically
from compressors.errors import InvalidConfig
from proxylm.store import RAW, Store

PATH = click.Path(path_type=Path, exists=True)


@click.command()
@click.argument("recipe_file", metavar="RECIPE.toml", type=PATH)
@click.argument("store", type=PATH)
@click.argument("held_out", nargs=-1, required=True, type=PATH)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the runs.")
@click.option("--codec", "codecs", multiple=True, metavar="VIEW@CODEC", help="What made a view that an arm is read in.")
@click.option("--max-bytes", default=500_000, show_default=True, help="Held-out bytes that are scored.")
@click.option("--jobs", default=1, show_default=True, help="Runs at a time, with one thread each.")
@click.option("--only", multiple=True, metavar="NAME", help="Only these runs; * and ? stand for any letters.")
@click.option("--plan", is_flag=True, help="Plan the rows of every run, count steps, FLOPs, memory; train nothing.")
@click.option("--flops-per-second", type=float, help="With --plan: say how many hours that takes.")
def downstream(
    recipe_file: Path, store: Path, held_out: tuple[Path, ...], output: Path, codecs: tuple[str, ...], max_bytes: int,
    jobs: int, only: tuple[str, ...], plan: bool, flops_per_second: float | None,
) -> None:  # fmt: skip
    """Train and evaluate the grid of RECIPE.toml on the view store STORE; HELD_OUT documents are scored."""
    arms = _chosen(recipe.load(recipe_file), only)
    if plan:
        opened = Store.open(store)
        for arm in arms:
            if arm.rival is not None and arm.equal == "seconds":
                click.echo(f"{arm.name}: as long as {arm.rival.name} took")
            else:
                click.echo(planned(budgets.settled(arm, opened, output), opened, flops_per_second))
        return
    scored(held_out, max_bytes)  # raises before anything is trained
    output.mkdir(parents=True, exist_ok=True)
    arguments = [str(recipe_file), str(store), *map(str, held_out), "-o", str(output), "--max-bytes", str(max_bytes)]
    for codec in codecs:
        arguments += ["--codec", codec]
    failed: list[str] = []
    for timed in (False, True):  # equal seconds can be given once the others' are known
        names = [arm.name for arm in arms if (arm.equal == "seconds") == timed]
        with ThreadPoolExecutor(jobs) as pool:
            failed += filter(None, pool.map(lambda name: _in_process(name, output, arguments), names))
    order = [arm.name for arm in recipe.load(recipe_file)]
    found = sorted((r for r in tables.collect(output) if r["name"] in order), key=lambda r: order.index(r["name"]))
    write_atomically(output / "results.json", (json.dumps(found, indent=1) + "\n").encode())
    click.echo(tables.runs(found) + "\n\n" + tables.arms(found))
    if failed:
        raise click.ClickException(f"{len(failed)} runs failed: {', '.join(failed)}; see run.err in their folders")


def _chosen(arms: list[Arm], only: tuple[str, ...]) -> list[Arm]:
    """The arms that one of the patterns names, all without patterns. Raises `InvalidConfig` if one names none."""
    for pattern in only:
        if not any(fnmatchcase(arm.name, pattern) for arm in arms):
            raise InvalidConfig(f"--only {pattern} names no run; the recipe has {', '.join(arm.name for arm in arms)}")
    return [arm for arm in arms if not only or any(fnmatchcase(arm.name, pattern) for pattern in only)]


def _in_process(name: str, output: Path, arguments: list[str]) -> str | None:
    """Run one arm in a process of its own; its name if it fails."""
    folder = output / name
    folder.mkdir(exist_ok=True)
    if (folder / tables.RESULT).exists():
        return None
    with open(folder / "run.err", "w") as errors:
        done = subprocess.run(
            [sys.executable, "-m", "bench.grid", name, *arguments], stderr=errors, check=False,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    return name if done.returncode else None


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
    began = time.perf_counter()
    outcome = run_arm(arm, opened, output / name, made, documents, lambda record: None)
    views = sorted({reading.view for reading in arm.config.mix.readings} - {RAW})
    facts = {
        "name": name, "reads": arm.reads, "config": json.loads(arm.config.to_json()), "totals": outcome.totals,
        "corpus": opened.fingerprint_of(), "views": {view: opened.view(view)["fingerprint"] for view in views},
        "held_out_sha256": hashlib.sha256(b"\0".join(documents)).hexdigest(),
        "evaluation": outcome.result.to_json(), "seconds": time.perf_counter() - began, "environment": environment(),
        "curves": curves(output / name), "document_bytes": outcome.result.n_bytes.tolist(),
        "document_bits": (outcome.result.text_bits + outcome.result.end_bits).tolist(),
    }  # fmt: skip
    write_atomically(output / name / tables.RESULT, json.dumps(facts).encode())
    click.echo(f"{name}: {outcome.result.bits_per_byte:.4f} bits per byte, {outcome.totals['flops']:.3g} FLOPs")


if __name__ == "__main__":
    run_one()
