"""`proxyc bench downstream`: the runs of a recipe, over the GPUs or cores, each in its folder.

A killed grid resumes.

A run is trained (from its newest checkpoint, if there is one) and evaluated once;
results.RESULT.json then holds the bits of every held-out document, so that runs can be compared
document by document.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from bench.downstream import budgets, recipe, results
from bench.downstream.arms import MAX_BYTES, Arm, asked_codec, digest, scored
from bench.downstream.engine import options, started
from bench.downstream.plan import planned
from bench.downstream.worker import Job, Processes
from bench.report import tables
from compressors import registry
from compressors.atomic import write_atomically
from compressors.base import Compressor
from compressors.cli.printing import put
from compressors.errors import InvalidConfig, ProxycError, in_one_line
from proxylm.config import RunConfig
from proxylm.config_files import changes, from_mapping
from proxylm.data.loader import alphabet_of
from proxylm.data.store import Store
from proxylm.data.views import views_of
from proxylm.view_spec import RAW

PATH = click.Path(path_type=Path, exists=True)


@click.command()
@click.argument("recipe_file", metavar="RECIPE.toml", type=PATH)
@click.argument("store", type=PATH)
@click.argument("held_out", nargs=-1, required=True, type=PATH)
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Folder for the runs.")
@click.option("--codec", "codecs", multiple=True, metavar="VIEW@CODEC", help="What made a view that an arm is read in.")
@MAX_BYTES
@options
@click.option("--only", multiple=True, metavar="NAME", help="Only these runs; * and ? stand for any letters.")
@click.option(
    "--plan",
    is_flag=True,
    help="Plan the rows of every run, count steps, FLOPs, memory; write their configurations, train nothing.",
)
@click.option("--flops-per-second", type=float, help="With --plan: say how many hours that takes.")
def downstream(
    recipe_file: Path, store: Path, held_out: tuple[Path, ...], output: Path, codecs: tuple[str, ...], max_bytes: int,
    jobs: int | None, engine: str, only: tuple[str, ...], plan: bool, flops_per_second: float | None,
) -> None:  # fmt: skip
    """Train and evaluate the grid of RECIPE.toml on the view store STORE.

    HELD_OUT documents are scored.
    """
    every = recipe.load(recipe_file)
    names = results.matching([arm.name for arm in every], only)
    documents = scored(held_out, max_bytes, partial(click.echo, err=True))
    arms = [arm for arm in every if arm.name in names]
    grid = Grid(Store.open(store), held_out, digest(documents), max_bytes, codecs, output)
    grid.check(arms)
    grid.finished(every)
    output.mkdir(parents=True, exist_ok=True)
    if plan:
        for arm in arms:
            click.echo(_planned(arm, grid.store, output, flops_per_second))
        return
    wrong = grid.run(arms, jobs, engine)
    if found := grid.finished(every):
        results.write(output / "results.json", found)
        put(None, *tables.all_of(found))
    if wrong:
        raise click.ClickException(wrong)


@dataclass(frozen=True)
class Grid:
    """What the runs of a recipe have in common, and the folder in which they are run."""

    store: Store
    held_out: tuple[Path, ...]
    held_out_sha256: str
    max_bytes: int
    codecs: tuple[str, ...]
    output: Path

    def check(self, arms: list[Arm]) -> None:
        """Raise where a run could not begin, before hours have gone into others."""
        made: dict[str, Compressor] = dict(map(registry.parse_named, self.codecs))
        for arm in arms:
            alphabet = alphabet_of(self.store, arm.config)
            views_of(self.store, arm.config.mix.specs, alphabet)
            if arm.reads == RAW:
                continue
            self.store.view(arm.reads)
            if arm.reads not in made:
                raise InvalidConfig(f"arm {arm.name} is read as {arm.reads}; {asked_codec(arm.reads)}")
            self.store.check_codec(arm.reads, made[arm.reads])

    def finished(self, arms: list[Arm]) -> list[results.Result]:
        """Results that are there.

        Raises `InvalidConfig` where one is of another run: it would pass for the recipe's.
        """
        return [self._read(arm, file) for arm in arms if (file := self.output / arm.name / results.RESULT).exists()]

    def _read(self, arm: Arm, file: Path) -> results.Result:
        """The result of an arm, checked against the recipe as it is now.

        Compared are the settings, the store, the views and the scored text. A setting newer than
        the result has its default there.
        """
        found = results.read_one(file)
        before, now = _settings(found["config"], arm), _settings(json.loads(arm.config.to_json()), arm)
        facts = self._facts(arm)
        then = {key: found.get(key) for key in facts}
        if then["rival_config"] is not None:
            then["rival_config"] = json.loads(from_mapping(RunConfig, then["rival_config"]).to_json())
        different = list(changes(then | before, facts | now))
        if different:
            raise InvalidConfig(
                f"{file.parent} holds a finished run with another {'; '.join(different)}; choose another folder with -o, or delete it"
            )
        return found

    def run(self, arms: list[Arm], jobs: int | None = None, engine: str = "local") -> str | None:
        """Run the arms that have no result yet, `jobs` at a time; what went wrong, if something does."""
        failed = list[str]()
        with started(engine, jobs) as (processes, at_once), processes.stopped_by_signals():
            for timed in (False, True):  # equal seconds can be given once the others' are known
                wave = [arm for arm in arms if (arm.equal == "seconds") == timed]
                with ThreadPoolExecutor(at_once) as pool:
                    failed += filter(None, pool.map(lambda arm: self._run(arm, processes), wave))
        if processes.stopped:
            return "stopped; the same command resumes"
        return "\n".join([f"{len(failed)} of {len(arms)} runs failed", *failed]) if failed else None

    def _run(self, arm: Arm, processes: Processes) -> str | None:
        """Run an arm; what went wrong, if something does."""
        if processes.stopped or (self.output / arm.name / results.RESULT).exists():
            return None
        try:
            config = json.loads(budgets.settled(arm, self.store, self.output).config.to_json())
        except ProxycError as error:
            return f"{arm.name}: {in_one_line(error)}"
        job = Job(
            arm.name, str(self.output / arm.name), str(self.store.path), tuple(map(str, self.held_out)), self.max_bytes,
            self.codecs, arm.reads, config, self._facts(arm),
        )  # fmt: skip
        wrong = processes.run(job)
        return wrong and f"{arm.name}: {wrong}"

    def _facts(self, arm: Arm) -> dict[str, Any]:
        """What a result must agree in with the recipe, store and documents it is printed for."""
        views = sorted({spec.view for spec in arm.config.mix.specs} - {RAW})
        return {
            "arm": arm.arm, "size": arm.size, "equal": arm.equal, "rival": arm.first, "reads": arm.reads,
            "rival_config": json.loads(arm.rival.config.to_json()) if arm.rival else None,
            "corpus": self.store.fingerprint_of(),
            "views": {view: self.store.view(view)["fingerprint"] for view in views},
            "held_out_sha256": self.held_out_sha256,
        }  # fmt: skip


def _planned(arm: Arm, store: Store, output: Path, flops_per_second: float | None) -> str:
    """A line about the run.

    Its configuration, with the steps that were planned, goes to OUTPUT/NAME.json.
    """
    if arm.rival is not None and arm.equal == "seconds":
        return f"{arm.name}: as long as {arm.rival.name} took"
    arm = budgets.settled(arm, store, output)
    write_atomically(output / f"{arm.name}.json", arm.config.to_json().encode())
    return planned(arm, store, flops_per_second)


def _settings(config: dict[str, Any], arm: Arm) -> dict[str, Any]:
    """Those of a result, also of one from before some of them.

    The steps of an arm with another budget are planned.
    """
    if arm.rival is not None:
        config = config | {"train": config["train"] | {"steps": 1, "flops": None}}
    settled: dict[str, Any] = json.loads(from_mapping(RunConfig, config).to_json())
    return settled
