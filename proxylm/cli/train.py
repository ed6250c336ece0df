"""`proxyc train`: parse and print; torch is imported by the commands that need it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click

from compressors.corpus import Reader, take
from compressors.errors import InvalidConfig

PATH = click.Path(path_type=Path)
_EVERY = 10.0  # seconds between lines of progress where standard error is not a terminal


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
@click.option("-q", "--quiet", is_flag=True)
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
        report = stack.enter_context(_progress(run.name, quiet or place.rank != 0))
        trainer.train(Store.open(store), run_config, run, held_out=documents, report=report, place=place, init=init)
    if place.rank == 0:
        click.echo(_summary(run, run_log.records(run)))


def _summary(run: Path, log: list[dict[str, Any]]) -> str:
    """What a finished run has done, and its scores on held-out documents."""
    flops, n_bytes = sum(record["flops"] for record in log), sum(sum(record["bytes"].values()) for record in log)
    lines = [f"{run}: {len(log)} steps in {log[-1]['dtype']}, {flops:.3g} FLOPs, {n_bytes:,.0f} bytes of text shown"]
    scores = [(r["held_out_bits_per_byte"], r["step"] + 1) for r in log if "held_out_bits_per_byte" in r]
    if scores:
        lines.append(
            f"held-out documents: {scores[-1][0]:.4f} bits per byte, the best {min(scores)[0]:.4f} after step {min(scores)[1]}"
        )
    return "\n".join(lines)


@contextmanager
def _progress(name: str, quiet: bool) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A bar with ETA and loss on standard error where that is a terminal, else a line now and then."""
    if quiet or sys.stderr is None:
        yield lambda record: None
    elif sys.stderr.isatty():
        with _bar() as report:
            yield report
    else:
        yield _lines(name)


def _lines(name: str) -> Callable[[dict[str, Any]], None]:
    """A line every ten seconds."""
    began = last = time.monotonic()
    first = -1

    def report(record: dict[str, Any]) -> None:
        nonlocal last, first
        now, step, steps = time.monotonic(), record["step"] + 1, record["steps"]
        first = step - 1 if first < 0 else first  # a resumed run begins later
        if now - last >= _EVERY and step < steps:
            last, left = now, (now - began) / (step - first) * (steps - step)
            click.echo(
                f"{name}: step {step:,} of {steps:,}, {_figures(record)}, {left / 60:.1f} min left",
                err=True,
            )

    return report


def _figures(record: dict[str, Any]) -> str:
    """Of one step, for people."""
    speed = f"{record['symbols_per_second']:,.0f} symbols/s"
    if record["flops"]:  # 0: not counted
        speed += f", {record['share_of_peak']:.0%} of peak"
    return f"{record['loss']:.3f} bits/symbol, {speed}, {record['memory_bytes'] / 1e9:.1f} GB"


@contextmanager
def _bar() -> Iterator[Callable[[dict[str, Any]], None]]:
    """The bar appears with the first record, which says how long the run is."""
    state: dict[str, Any] = {}

    def report(record: dict[str, Any]) -> None:
        bar = state.get("bar")
        if bar is None:
            bar = click.progressbar(length=record["steps"], file=sys.stderr, show_pos=True, item_show_func=str)
            state["bar"] = bar.__enter__()
            bar.update(record["step"])
        bar.update(1, _figures(record))

    try:
        yield report
    finally:
        if "bar" in state:
            state["bar"].__exit__(None, None, None)


def _documents(paths: tuple[str, ...], n_bytes: int) -> list[bytes]:
    """Whole documents, in order, until they hold `n_bytes`."""
    return [document.data for document in take(Reader(paths), n_bytes)] if paths else []
