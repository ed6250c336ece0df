"""`proxyc train`: parse and print; torch is imported by the commands that need it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from compressors.corpus import Reader, take
from compressors.errors import InvalidConfig
from proxylm.cli.train_screen import ending, screen

PATH = click.Path(path_type=Path)


def _list_settings(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print every setting and end, as `--help` does: neither STORE nor a run is needed."""
    if not wanted or context.resilient_parsing:
        return
    from proxylm.config_files import SECTIONS, settings_of

    for section, cls in SECTIONS.items():
        for name, kind, default, meaning in settings_of(cls):
            click.echo(f"{section}.{name} = {default}  ({kind})")
            click.echo(click.wrap_text(meaning, 100, "    ", "    "))
    context.exit()


@click.command()
@click.argument("store", type=PATH)
@click.option("-o", "--output", "run", required=True, type=PATH, help="Folder of the run; an interrupted one resumes.")
@click.option("--recipe", help="raw, comp, proxy (the published schedule), comp-then-raw, or merges with its sizes.")
@click.option("--view", help="The compressed view: NAME, NAME:merges=K or NAME:bags=N.")
@click.option("--steps", type=int, help="Length of the run, or:")
@click.option("--flops", type=float, help="as many steps as fit into these FLOPs.")
@click.option("--seed", type=int)
@click.option("--init", type=PATH, help="A run whose newest weights this one begins with.")
@click.option(
    "--held-out",
    multiple=True,
    help="Documents (also URLs) to score at the end and every train.eval_every steps; the best model is kept.",
)
@click.option(
    "--held-out-bytes",
    default=1_000_000,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many of their bytes, whole documents.",
)
@click.option(
    "--tracker", "trackers", multiple=True, help="Log to tensorboard, wandb or trackio, too. May be repeated."
)
@click.option("--config", type=PATH, help="Settings as .toml or .json: sections train, model, mix.")
@click.option(
    "--set", "assignments", multiple=True, metavar="SECTION.KEY=VALUE", help="One setting, e.g. model.d_model=256."
)
@click.option(
    "--settings", is_flag=True, is_eager=True, expose_value=False, callback=_list_settings,
    help="List every setting with its default and meaning, and exit.",
)  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors and warnings.")
def train(
    store: Path, run: Path, recipe: str | None, view: str | None, steps: int | None, flops: float | None, seed: int | None,
    init: Path | None, held_out: tuple[str, ...], held_out_bytes: int, trackers: tuple[str, ...], config: Path | None,
    assignments: tuple[str, ...], quiet: bool,
) -> None:  # fmt: skip
    """Train on the view store STORE. Start it with `torchrun -m proxylm.cli.main train ...` for several processes.

    Settings are the recipe's, then those of --config, then flags, then --set: the later ones win.
    """
    from proxylm import config_files
    from proxylm.data.store import Store
    from proxylm.training import run_log, trainer
    from proxylm.training.distributed import Place

    flags: dict[str, Any] = {
        "mix.recipe": recipe,
        "mix.view": view,
        "train.steps": steps,
        "train.flops": flops,
        "train.seed": seed,
    }
    flags["train.trackers"] = list(trackers) or None
    file = config_files.load(config) if config else {}
    run_config = config_files.run_config(file, flags, assignments, refinable=lambda: Store.open(store).refinable)
    if view is not None and not any(phase.start or phase.end for phase in run_config.mix.schedule):
        raise InvalidConfig(
            f"recipe {run_config.mix.recipe!r} never shows --view {view}; add --recipe proxy, comp or comp-then-raw"
        )
    documents = _documents(held_out, held_out_bytes)
    with ExitStack() as stack:
        place = stack.enter_context(Place.here())
        told = stack.enter_context(screen(run, quiet=quiet or place.rank != 0))
        trainer.train(
            Store.open(store),
            run_config,
            run,
            held_out=documents,
            begin=told.begin,
            report=told.report,
            place=place,
            init=init,
        )
    if place.rank == 0 and not quiet:
        click.echo(ending(run, run_log.records(run), held_out, reads_bytes=run_config.mix.shows_raw))


def _documents(paths: tuple[str, ...], n_bytes: int) -> list[bytes]:
    """Whole documents, in order, until they hold `n_bytes`."""
    return [document.data for document in take(Reader(paths), n_bytes)] if paths else []
