"""A store of a terabyte, simulated: what it costs to open it, to plan and to make steps, and to resume; and shards through Ray.

    proxyc bench scale -o bench/results/scale.json

The store is made sparse in a temporary folder: 4 GB of disk for 1e12 bytes in 2e8 documents. Every line is a separate process on
one core. Then `encode` makes stores of equal shards with Ray, on a cluster of simulated workers: the time of a shard must not
depend on how many there are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from bench import isolated, markdown
from bench.measuring import timed
from bench.output import as_json, output, write_json
from bench.speed import simulated
from bench.speed.loader import ROWS, config, drop_cached, memory
from compressors.cli.printing import forms, put
from compressors.cli.progress import progress
from compressors.corpus import Document
from proxylm.data.loader import Loader
from proxylm.data.store import Store

STEPS, RESUMED = 2 * 10**6, 10**6
WIDE = 256  # rows of a large step, which every process plans
SHARD = 200_000  # bytes of a shard that Ray encodes


@click.command()
@click.option("--bytes", "n_bytes", default=10**12, show_default=True)
@click.option("--documents", default=2 * 10**8, show_default=True)
@click.option("--shards", default=20_000, show_default=True)
@click.option(
    "--ray-shards", default="10,100,1000", show_default=True, help="Sizes of the stores that Ray makes; '' for none."
)
@click.option("--workers", default=4, show_default=True, help="Of the simulated cluster.")
@click.option(
    "--folder", type=click.Path(path_type=Path, exists=True), help="Where there is room; default: the system's."
)
@forms
@output()
def scale(
    n_bytes: int,
    documents: int,
    shards: int,
    ray_shards: str,
    workers: int,
    folder: Path | None,
    form: str | None,
    output: Path | None,
) -> None:
    """Open, plan and resume a simulated store; encode more and more shards with Ray."""
    rows: list[dict[str, Any]] = []
    with progress("scale", 5, unit="parts") as told, tempfile.TemporaryDirectory(dir=folder) as temporary:
        path = Path(temporary) / "store"
        told(0, "writing the store")
        simulated.write(path, n_bytes, documents, shards)
        drop_cached(path)
        told(1)
        asked = [(view, first) for view in ("raw", f"{simulated.VIEW}:merges=1") for first in (True, False)]
        for view, first in asked:
            told(0, f"{view}, {'first' if first else 'second'} start")
            rows.append({"view": view, "first": first} | _child("measured", 1, store=str(path), view=view))
            told(1)
    encoded = []
    for n_shards in map(int, filter(None, ray_shards.split(","))):
        encoded.append(_child("encoded", workers, n_shards=n_shards, workers=workers))
    put(form, table(rows), ray_table({"ray": encoded}), data={"rows": rows, "ray": encoded})
    if output:
        facts = {"bytes": n_bytes, "documents": documents, "shards": shards, "ray": encoded, "resumed_step": RESUMED}
        write_json(output, as_json("scale", rows, **facts))


def _child(function: str, threads: int, **asked: Any) -> dict[str, Any]:
    """What `measured` or `encoded` finds in a new process."""
    found = isolated.answer(f"bench.speed.scale:{function}", threads=threads, **asked)
    if isinstance(found, str):
        raise click.ClickException(f"{', '.join(map(str, asked.values()))}: {found}")
    return found


def measured(store: str, view: str) -> dict[str, Any]:
    """Seconds of everything up to the first steps, and MB; then those of a step far on.

    The cursor of that step is made up: rows that wait for a chunk. One that was walked to costs the same.
    """
    before, path = memory(), Path(store)
    opened, open_s = timed(lambda: Store.open(path))
    made, start_s = timed(lambda: Loader(opened, config(view, STEPS), STEPS * ROWS))
    at_start = memory()
    _, plan_s = timed(lambda: made.planner.plan(0, ROWS))
    _, batch_s = timed(lambda: made.batch(0))
    row = RESUMED * ROWS
    cursor = {"row": row, "dealt": row, "lanes": [None] * ROWS}
    _, resume_s = timed(lambda: made.planner.jump(cursor))
    _, resumed_plan_s = timed(lambda: made.planner.plan(row, row + ROWS))
    peak = isolated.peak_mb() or 0.0
    wide = Loader(opened, config(view, STEPS, WIDE), STEPS * WIDE)
    _, wide_s = timed(lambda: wide.planner.plan(0, WIDE))
    at_end = memory()
    return {
        "open_s": open_s, "start_s": start_s, "plan_s": plan_s, "batch_s": batch_s, "resume_s": resume_s + resumed_plan_s,
        "wide_plan_s": wide_s,
        "own_mb": at_start[0] - before[0], "mapped_mb": at_start[1] - before[1], "end_own_mb": at_end[0] - before[0], "peak_mb": peak,
    }  # fmt: skip


def encoded(n_shards: int, workers: int) -> dict[str, Any]:
    """Seconds of a shard, of a store of that many, made by tasks of Ray; the start of the cluster is not counted."""
    import ray

    from compressors.zstd import Zstd
    from proxylm.data.encode import encode
    from proxylm.data.encode_on_ray import on_ray

    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False, logging_level="error")
    with tempfile.TemporaryDirectory() as folder:
        for name, n in (("warm", workers), ("store", n_shards)):
            path = Path(folder) / name
            _, seconds = timed(
                lambda n=n, path=path: encode(_texts(n), path, {"zstd": Zstd()}, shard_bytes=SHARD, engine=on_ray)  # type: ignore[misc]  # of a lambda with defaults
            )
    ray.shutdown()
    return {
        "shards": n_shards,
        "workers": workers,
        "shard_bytes": SHARD,
        "seconds": seconds,
        "seconds_per_shard": seconds / n_shards,
    }


def _texts(n_shards: int) -> Iterator[Document]:
    """One document fills a shard."""
    for number in range(n_shards):
        line = f"line of the text {number}, which is like the others\n".encode()
        yield Document(str(number), (line * (SHARD // len(line) + 1))[:SHARD])


def table(rows: list[dict[str, Any]]) -> markdown.Table:
    """A row for each view and start."""
    heads = [
        "view",
        "start",
        "open, s",
        "loader, s",
        "first plan, s",
        "first rows, s",
        "resume, s",
        f"{WIDE} rows, s",
        "memory, MB",
        "mapped, MB",
    ]
    return markdown.table(heads, map(_cells, rows), text=2)


def _cells(r: dict[str, Any]) -> list[str]:
    """One row of `table`."""
    seconds = [f"{r[key]:.2f}" for key in ("open_s", "start_s", "plan_s", "batch_s", "resume_s", "wide_plan_s")]
    return [r["view"], "first" if r["first"] else "second", *seconds, f"{r['own_mb']:.0f}", f"{r['mapped_mb']:.0f}"]


def ray_table(found: dict[str, Any]) -> markdown.Table:
    """The time of a shard, by their number; `found`: what a file of results holds."""
    rows = [[f"{r['shards']:,}", f"{r['seconds']:.1f}", f"{r['seconds_per_shard'] * 1e3:.1f}"] for r in found["ray"]]
    return markdown.table(["shards", "seconds", "ms a shard"], rows, text=0)
