"""The loader: symbols a second, cold and warm, what a start and a resume cost, and memory.

    proxyc bench loader STORE --view bpe:merges=256 -o bench/results/loader_speed.json

Every view is measured in a separate process on one core. "cold": the first steps of the process, with the files of the store
dropped from the system's cache, kernels loaded, shards checked and cuts made or mapped; "warm": the same steps again, planned
again. Both include planning.
"""

from __future__ import annotations

import os
import statistics
import time
from functools import partial
from pathlib import Path
from typing import Any

import click

from bench import isolated, markdown
from bench.measuring import timed
from bench.output import as_json, output, write_json
from compressors.cli.printing import forms, put
from proxylm.config import MixConfig, RunConfig, TrainConfig
from proxylm.data.loader import Loader
from proxylm.data.store import Store

ROWS, ROW_LENGTH, RUN = 8, 512, 10**6  # of a step; steps of the run
STEPS, ROUNDS = 400, 5


@click.command()
@click.argument("store", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--view", "views", multiple=True, help="A view as a run shows it, e.g. bpe:merges=256; several are allowed."
)
@forms
@output()
def loader(store: Path, views: tuple[str, ...], form: str | None, output: Path | None) -> None:
    """Symbols a second of the loader, seconds of a start and a resume, and memory."""
    rows = []
    for view in ("raw", *views):
        found = isolated.answer("bench.speed.loader:measured", threads=1, store=str(store), view=view)
        if isinstance(found, str):
            raise click.ClickException(f"{view}: {found}")
        rows.append(found)
    put(form, table(rows), data=rows)
    if output:
        opened = Store.open(store)
        facts = {"bytes": opened.n_symbols("raw"), "documents": len(opened), "shards": len(opened.manifest["shards"])}
        write_json(output, as_json("loader", rows, **facts, batch_rows=ROWS, row_length=ROW_LENGTH, steps=STEPS))


def config(view: str, steps: int, rows: int = ROWS) -> RunConfig:
    """A run that shows only this view, in chunks of a row."""
    mix = MixConfig() if view == "raw" else MixConfig(recipe="comp", view=view)
    return RunConfig(train=TrainConfig(steps=steps, rows=rows, row_length=ROW_LENGTH), mix=mix)


def measured(store: str, view: str) -> dict[str, Any]:
    """One view of a store, in a new process."""
    path = Path(store)
    drop_cached(path)
    before = memory()
    opened, open_s = timed(lambda: Store.open(path))
    made, start_s = timed(lambda: Loader(opened, config(view, RUN), RUN * ROWS))
    _, first_s = timed(lambda: made.batch(0))
    at_start = memory()
    cold, cold_s = timed(partial(_symbols, made, 1, STEPS))
    warm = []
    for _ in range(ROUNDS):
        made.planner.restart(RUN * ROWS)
        made.batch(0)
        # Seconds of this process on its core: others may want it, too.
        shown, seconds = timed(partial(_symbols, made, 1, STEPS), time.process_time)
        warm.append(shown / seconds)
    # From the first row to the last step, then the same by the cursor.
    made.planner.restart(RUN * ROWS)
    _, walk_s = timed(lambda: made.planner.scan((RUN - 1) * ROWS, (RUN - 1) * ROWS))
    cursor = made.planner.cursor
    batch, resume_s = timed(partial(_resumed, opened, view, cursor))
    return {
        "view": view, "open_s": open_s, "start_s": start_s, "first_batch_s": first_s,
        "cold_symbols_per_second": cold / cold_s, "warm_symbols_per_second": statistics.median(warm),
        "walk_s": walk_s, "resume_s": resume_s, "equal": batch.checksum == made.batch(RUN - 1).checksum,
        "own_mb": at_start[0] - before[0], "mapped_mb": at_start[1] - before[1],
    }  # fmt: skip


def _symbols(made: Loader, first: int, last: int) -> int:
    """Targets of some steps, which are made."""
    return sum(int((made.batch(step).targets >= 0).sum()) for step in range(first, last))


def _resumed(store: Store, view: str, cursor: dict[str, Any]) -> Any:
    """The last step of the run, by a loader that begins there."""
    made = Loader(store, config(view, RUN), RUN * ROWS)
    made.planner.jump(cursor)
    return made.batch(RUN - 1)


def memory() -> tuple[float, float]:
    """MB of this process that are its own, and MB of files that it has mapped."""
    lines = Path("/proc/self/status").read_text().splitlines()
    sizes = {
        key: float(value.split()[0]) / 1e3 for key, _, value in (line.partition(":") for line in lines) if "Rss" in key
    }
    return sizes["RssAnon"], sizes["RssFile"]


def drop_cached(path: Path) -> None:
    """Ask the system to forget what it holds of the files of a folder."""
    for file in path.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def table(rows: list[dict[str, Any]]) -> markdown.Table:
    """A row for each view."""
    heads = ["view", "start, s", "first step, s", "cold, M symbols/s", "warm", "resume, s", "walked, s", "memory, MB"]
    return markdown.table([*heads, "mapped, MB"], map(_cells, rows))


def _cells(r: dict[str, Any]) -> list[str]:
    """One row of `table`."""
    rates = [f"{r[f'{kind}_symbols_per_second'] / 1e6:.1f}" for kind in ("cold", "warm")]
    seconds = [f"{r[key]:.3f}" for key in ("resume_s", "walk_s")]
    start = [f"{r['open_s'] + r['start_s']:.3f}", f"{r['first_batch_s']:.3f}"]
    return [r["view"], *start, *rates, *seconds, f"{r['own_mb']:.0f}", f"{r['mapped_mb']:.0f}"]
