"""`proxyc bench exchange`: what a compressor is worth to a model that will read raw bytes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from bench.downstream import results
from bench.downstream.arms import MAX_BYTES, digest, scored
from bench.downstream.engine import options
from bench.downstream.grid import Grid
from bench.exchange.chart import draw
from bench.exchange.experiment import runs_of
from bench.exchange.flags import settings_of
from bench.exchange.plan import plan
from bench.exchange.rows import found_by
from bench.exchange.schedules import SCHEDULES
from bench.exchange.table import table
from bench.output import OutputFile, as_json, output, read_json, write_json
from bench.report import vega
from compressors.cli.printing import forms, put
from compressors.errors import ProxycError, in_one_line
from proxylm.data.store import Store

PATH = click.Path(path_type=Path, exists=True)


@click.command()
@click.argument("store", type=PATH)
@click.argument("held_out", nargs=-1, required=True, type=PATH)
@click.option(
    "--recipe", type=PATH, help="Sizes and arms from a TOML file (`bench/recipes/exchange/*.toml`), not from flags."
)
@click.option("--view", "views", multiple=True, help="A view of STORE and how it is shown, e.g. bpe:merges=256.")
@click.option("--width", "widths", type=click.IntRange(2), multiple=True, help="d_model; heads of 32.  [default: 32]")
@click.option("--raw", type=float, metavar="BYTES", help="R, e.g. 3e6: bytes shown raw in every arm.")
@click.option("--ratio", "ratios", type=float, multiple=True, help="C / R: bytes shown in the view, too.  [default: 1]")
@click.option(
    "--schedule",
    "schedules",
    type=click.Choice(list(SCHEDULES)),
    multiple=True,
    help="When the view is shown.  [default: first]",
)
@click.option(
    "--seed",
    "seeds",
    type=click.IntRange(0),
    multiple=True,
    help="Give three or more for an interval over seeds.  [default: 1]",
)
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="SECTION.KEY=VALUE",
    help="One setting of all runs, e.g. train.compile=true.",
)
@click.option(
    "--runs", default="exchange-runs", show_default=True, type=click.Path(path_type=Path), help="Folder for the runs."
)
@MAX_BYTES
@options
@click.option("--only", multiple=True, metavar="NAME", help="Train only these runs; * and ? stand for any letters.")
@click.option("--dry-run", is_flag=True, help="Print the runs, their FLOPs and bytes; train nothing.")
@click.option("--flops-per-second", type=float, help="With --dry-run: say how many hours that takes.")
@click.option("--stability", type=PATH, help="JSON of `proxyc bench stability`: adds how stable each view is.")
@click.option("--chart", type=OutputFile(*vega.PICTURES), help="A chart of e against ratio and stability to write.")
@forms
@output()
def exchange(
    store: Path, held_out: tuple[Path, ...], recipe: Path | None, runs: Path, max_bytes: int, jobs: int | None, engine: str, only: tuple[str, ...],
    dry_run: bool, flops_per_second: float | None, stability: Path | None, chart: Path | None, form: str | None, output: Path | None,
    **flags: Any,
) -> None:  # fmt: skip
    """Measure the exchange rate e = (D_eff - R) / C of views of STORE: raw bytes that a byte shown in a view is worth.

    HELD_OUT documents are scored. A killed command resumes when it is given again.
    """
    opened, where = Store.open(store), str(recipe or "flags")
    every = runs_of(settings_of(recipe, **flags), opened, where)
    names = results.matching([run.arm.name for run in every], only)
    chosen = [run for run in every if run.arm.name in names]
    if dry_run:
        put(form, plan(chosen, opened, flops_per_second))
        return
    if chart:
        vega.require()
    distances = _distances(stability)
    documents = scored(held_out, max_bytes, partial(click.echo, err=True))
    grid = Grid(opened, held_out, digest(documents), max_bytes, (), runs)
    grid.check([run.arm for run in every])
    grid.finished([run.arm for run in every])  # raises where one is of another experiment
    runs.mkdir(parents=True, exist_ok=True)
    wrong = grid.run([run.arm for run in chosen], jobs, engine)
    finished = grid.finished([run.arm for run in every])
    try:
        found = found_by(every, {result["name"]: result for result in finished}, grid, distances)
    except ProxycError as error:
        raise click.ClickException("\n".join(filter(None, [wrong, in_one_line(error)]))) from error
    if len(found["dtypes"]) > 1:  # `auto` is measured by every run
        click.echo(
            f"warning: runs in {' and '.join(found['dtypes'])} are compared; give --set train.dtype=...", err=True
        )
    put(form, table(found["rows"]), data=found["rows"])
    if chart:
        draw(found["rows"], chart)
    if output:
        write_json(output, as_json("exchange", found.pop("rows"), **found))
    if wrong:
        raise click.ClickException(wrong)


def _distances(stability: Path | None) -> dict[str, float]:
    """By fingerprint of a codec: the share of its view that a deletion of 10 % changes."""
    if stability is None:
        return {}
    return {found["fingerprint"]: found["distance"]["deletion"] for found in read_json(stability, "stability")["rows"]}
