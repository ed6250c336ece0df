"""`proxyc train`: parse and print; torch is imported by the commands that need it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click

from compressors.corpus import Reader, take
from compressors.errors import InvalidConfig

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("store", type=PATH)
@click.option("-o", "--output", "run", required=True, type=PATH, help="Folder of the run; an interrupted one goes on.")
@click.option("--recipe", help="raw, comp, proxy (the published schedule) or comp-then-raw.")
@click.option("--view", help="The compressed view: NAME, NAME:level=K, NAME:bags=N or NAME:raw=N:comp=M.")
@click.option("--steps", type=int, help="Length of the run, or:")
@click.option("--flops", type=float, help="as many steps as fit into these FLOPs.")
@click.option("--seed", type=int)
@click.option(
    "--held-out",
    multiple=True,
    help="Documents (also URLs) to score at the end and every train.eval_every steps; the best model is kept.",
)
@click.option(
    "--held-out-bytes", default=1_000_000, show_default=True, help="How many of their bytes, whole documents."
)
@click.option("--tensorboard", is_flag=True, help="Log to RUN/tensorboard too.")
@click.option("--config", type=PATH, help="Settings as .toml or .json: sections train, model, mix.")
@click.option(
    "--set", "assignments", multiple=True, metavar="SECTION.KEY=VALUE", help="One setting, e.g. model.d_model=256."
)
@click.option("-q", "--quiet", is_flag=True)
def train(
    store: Path, run: Path, recipe: str | None, view: str | None, steps: int | None, flops: float | None, seed: int | None,
    held_out: tuple[str, ...], held_out_bytes: int, tensorboard: bool, config: Path | None, assignments: tuple[str, ...],
    quiet: bool,
) -> None:  # fmt: skip
    """Train on the view store STORE. Start it with `torchrun -m proxylm.cli.main train ...` for several processes."""
    from proxylm import config_files
    from proxylm.config import RunConfig
    from proxylm.data.store import Store
    from proxylm.training import run_folder, trackers
    from proxylm.training import trainer as training
    from proxylm.training.distributed import Place

    chosen = config_files.load(config) if config else {}
    for section, key, value in (
        ("mix", "recipe", recipe), ("mix", "view", view), ("train", "steps", steps), ("train", "flops", flops), ("train", "seed", seed),
    ):  # fmt: skip
        if value is not None:
            chosen.setdefault(section, {})[key] = value
    for assignment in assignments:
        config_files.override(chosen, assignment)
    run_config = config_files.from_mapping(RunConfig, {"train": {}} | chosen)
    if view is not None and not any(phase.start or phase.end for phase in run_config.mix.schedule):
        raise InvalidConfig(
            f"recipe {run_config.mix.recipe!r} never shows --view {view}; add --recipe proxy, comp or comp-then-raw"
        )
    documents = _documents(held_out, held_out_bytes)
    with ExitStack() as stack:
        place = stack.enter_context(Place.here())
        reports = [stack.enter_context(_training_bar(quiet or place.rank != 0))]
        if place.rank == 0:
            reports.append(_told_if_behind(run_config))
        if tensorboard and place.rank == 0:
            reports.append(stack.enter_context(trackers.board(run)))

        def report(record: dict[str, Any]) -> None:
            for told in reports:
                told(record)

        training.train(Store.open(store), run_config, run, held_out=documents, report=report, place=place)
    if place.rank == 0:
        done = run_folder.totals(run)
        click.echo(f"{run}: {done['steps']} steps, {done['flops']:.3g} FLOPs, {done['bytes']:,.0f} bytes of text shown")


def _told_if_behind(config: Any) -> Callable[[dict[str, Any]], None]:
    """Says with the first step, before which the number of steps is not known, whether the schedule can be kept."""
    to_tell = [True]

    def report(record: dict[str, Any]) -> None:
        if to_tell and (text := config.behind(record["steps"])):
            click.echo(f"proxyc: {text}", err=True)
        to_tell.clear()

    return report


@contextmanager
def _training_bar(quiet: bool) -> Iterator[Any]:
    """A progress bar with ETA and loss on standard error, where that is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda record: None
        return
    state: dict[str, Any] = {}

    def report(record: dict[str, Any]) -> None:
        bar = state.get("bar")
        if bar is None:
            bar = click.progressbar(length=record["steps"], file=sys.stderr, show_pos=True, item_show_func=str)
            state["bar"] = bar.__enter__()
            bar.update(record["step"])
        bar.update(1, f"{record['loss']:.3f} bits/symbol")

    try:
        yield report
    finally:
        if "bar" in state:
            state["bar"].__exit__(None, None, None)


def _documents(paths: tuple[str, ...], n_bytes: int) -> list[bytes]:
    """Whole documents, in order, until they hold `n_bytes`."""
    return [document.data for document in take(Reader(paths), n_bytes)] if paths else []
