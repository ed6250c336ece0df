"""`proxyc bench exchange`: what a compressor is worth to a model that will read raw bytes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import click

from bench.downstream import results
from bench.downstream.alignment import alignment
from bench.downstream.arms import MAX_BYTES, digest, scored
from bench.downstream.grid import Grid
from bench.exchange import run_log
from bench.exchange.experiment import BYTES, Run, runs_of
from bench.exchange.flags import settings_of
from bench.exchange.plan import plan
from bench.exchange.rate import Measured, row
from bench.exchange.schedules import SCHEDULES
from bench.exchange.table import chart as draw
from bench.exchange.table import table
from bench.output import as_json, output, read_json, write_json
from compressors.atomic import write_atomically
from compressors.errors import InputError, ProxycError, in_one_line
from proxylm.data.store import Store
from proxylm.training.run_folder import records

PATH = click.Path(path_type=Path, exists=True)
_SIGNALS = "alignment.json"  # in the folder of a run: made once


@click.command()
@click.argument("store", type=PATH)
@click.argument("held_out", nargs=-1, required=True, type=PATH)
@click.option(
    "--recipe", type=PATH, help="Sizes and arms from a TOML file (`bench/recipes/exchange*.toml`), not from flags."
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
@click.option(
    "--jobs",
    type=click.IntRange(1),
    default=lambda: os.cpu_count() or 1,
    show_default="all cores",
    help="Runs at a time.",
)
@click.option("--only", multiple=True, metavar="NAME", help="Train only these runs; * and ? stand for any letters.")
@click.option("--dry-run", is_flag=True, help="Print the runs, their FLOPs and bytes; train nothing.")
@click.option("--flops-per-second", type=float, help="With --dry-run: say how many hours that takes.")
@click.option("--stability", type=PATH, help="JSON of `proxyc bench stability`: adds how stable each view is.")
@click.option("--chart", type=click.Path(path_type=Path), help="A chart of e against ratio and stability to write.")
@output()
def exchange(
    store: Path, held_out: tuple[Path, ...], recipe: Path | None, runs: Path, max_bytes: int, jobs: int, only: tuple[str, ...],
    dry_run: bool, flops_per_second: float | None, stability: Path | None, chart: Path | None, output: Path | None, **flags: Any,
) -> None:  # fmt: skip
    """Measure the exchange rate e = (D_eff - R) / C of views of STORE: raw bytes that a byte shown in a view is worth.

    HELD_OUT documents are scored. A killed command resumes when it is given again.
    """
    opened, where = Store.open(store), str(recipe or "flags")
    every = runs_of(settings_of(recipe, **flags), opened, where)
    names = results.matching([run.arm.name for run in every], only)
    chosen = [run for run in every if run.arm.name in names]
    if dry_run:
        click.echo(plan(chosen, opened, flops_per_second))
        return
    distances = _distances(stability)
    documents = scored(held_out, max_bytes, partial(click.echo, err=True))
    grid = Grid(opened, held_out, digest(documents), max_bytes, (), runs)
    grid.check([run.arm for run in every])
    finished = grid.finished([run.arm for run in every])  # raises where one is of another experiment
    runs.mkdir(parents=True, exist_ok=True)
    wrong = grid.run([run.arm for run in chosen], jobs)
    finished = grid.finished([run.arm for run in every])
    try:
        found = _found(every, {result["name"]: result for result in finished}, grid, distances)
    except ProxycError as error:
        raise click.ClickException("\n".join(filter(None, [wrong, in_one_line(error)]))) from error
    click.echo(table(found["rows"]))
    if chart:
        draw(found["rows"], chart)
    if output:
        write_json(output, as_json("exchange", found.pop("rows"), **found))
    if wrong:
        raise click.ClickException(wrong)


def _found(
    every: Sequence[Run], finished: Mapping[str, results.Result], grid: Grid, distances: Mapping[str, float]
) -> dict[str, Any]:
    """The JSON of the experiment: its rows, the calibration, what it was measured on."""
    done = [run for run in every if run.arm.name in finished]
    logs = {run.arm.name: records(grid.output / run.arm.name) for run in done}
    measured = {name: run_log.measured(finished[name], log) for name, log in logs.items()}
    bytes_only = [run for run in done if run.view is None]
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in (run for run in done if run.view is not None):
        groups.setdefault((run.label, run.arm.size), []).append(run)
    if not groups:
        raise InputError("no run with a view is finished; run the same command without --only")
    rows = []
    for (label, size), of_arm in groups.items():
        calibration: dict[int, list[Measured]] = {}
        longest: dict[int, Run] = {}
        for run in (run for run in bytes_only if run.arm.size == size):
            seed = run.arm.config.train.seed
            calibration.setdefault(seed, []).append(measured[run.arm.name])
            longest[seed] = max(longest.get(seed, run), run, key=lambda r: r.shares)
        facts = row([measured[run.arm.name] for run in of_arm], calibration, f"{label}, size {size}")
        dips = [
            run_log.dip(logs[run.arm.name], logs[longest[run.arm.config.train.seed].arm.name], run.switch)
            for run in of_arm if run.switch
        ]  # fmt: skip
        rows.append(_facts(of_arm[0], grid.store, distances) | facts | _signals(of_arm, dips, grid))
    return {
        "rows": rows, "held_out_sha256": grid.held_out_sha256, "corpus": grid.store.fingerprint_of(),
        "calibration": [_calibrated(run, measured[run.arm.name]) for run in bytes_only],
    }  # fmt: skip


def _facts(run: Run, store: Store, distances: Mapping[str, float]) -> dict[str, Any]:
    """What a row is of."""
    (spec,) = run.arm.config.mix.specs
    fingerprint = None if spec.kind == "even bags" else store.view(spec.view)["fingerprint"]
    return {
        "view": run.view, "arm": run.label, "size": run.arm.size, "width": run.arm.config.model.d_model, "schedule": run.schedule,
        "ratio": run.shares[1] / run.shares[0], "fingerprint": fingerprint, "distance": distances.get(fingerprint or ""),
    }  # fmt: skip


def _signals(runs: Sequence[Run], dips: Sequence[Sequence[float | None]], grid: Grid) -> dict[str, Any]:
    """Early signals, means over seeds; None for one that is not there."""
    cosines = []
    for run in runs:
        file = grid.output / run.arm.name / _SIGNALS
        if not file.exists():
            write_atomically(file, json.dumps(alignment(file.parent, grid.store)).encode())
        cosines.append(json.loads(file.read_bytes()))
    found = {key: _mean([cosine[key] for cosine in cosines]) for key in ("gradient", "hidden")}
    return found | {"dip": [_mean(window) for window in zip(*dips, strict=True)]}


def _mean(values: Sequence[float | None]) -> float | None:
    """Of those that are known."""
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def _calibrated(run: Run, measured: Measured) -> dict[str, Any]:
    """A run of bytes only."""
    return {
        "arm": BYTES, "size": run.arm.size, "width": run.arm.config.model.d_model, "seed": measured.seed,
        "raw_bytes": measured.raw, "loss": measured.loss(), "flops": measured.flops, "seconds": measured.seconds,
    }  # fmt: skip


def _distances(stability: Path | None) -> dict[str, float]:
    """By fingerprint of a codec: the share of its view that a deletion of 10 % changes."""
    if stability is None:
        return {}
    return {found["fingerprint"]: found["distance"]["deletion"] for found in read_json(stability, "stability")["rows"]}
