"""`proxyc bench report`: one HTML page that needs nothing else, from the results of the other benches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from bench import tables
from bench.report import environment
from compressors.atomic import write_atomically
from compressors.errors import InputError
from proxylm.plot import COSTS, curve
from proxylm.runs import records

PATH = click.Path(path_type=Path, exists=True)
_RUNS = (
    "run",
    "read as",
    "bits per byte",
    "low",
    "high",
    "FLOPs",
    "symbols",
    "bytes shown",
    "bytes per symbol",
    "seconds",
)


@click.command()
@click.argument("runs", type=PATH)
@click.option(
    "--codecs", "codec_table", type=PATH, help="JSON of `proxyc bench codecs`: compressors, and how stable they are."
)
@click.option("-o", "--output", default="report.html", show_default=True, type=click.Path(path_type=Path))
def report(runs: Path, codec_table: Path | None, output: Path) -> None:
    """Make a page of the runs of `proxyc bench downstream` below RUNS."""
    codecs = json.loads(codec_table.read_bytes())["rows"] if codec_table else []
    facts = page_data(runs, codecs)
    write_atomically(output, page(facts).encode())
    click.echo(f"{output}: {len(facts['runs'])} runs, {len(codecs)} compressors")


def page(facts: dict[str, Any]) -> str:
    """The page; `facts` become JSON in it."""
    template = Path(__file__).with_name("page.html").read_text()
    return template.replace("/*DATA*/", json.dumps(facts).replace("</", "<\\/"))  # nothing may end the script early


def page_data(runs: Path, codecs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the page shows: points, curves, tables."""
    results = tables.collect(runs)
    if not results:
        raise InputError(f"no finished run below {runs}; make some with `proxyc bench downstream`")
    distance = {row["name"]: row.get("distance") for row in codecs}
    shown = [_run(result, distance) for result in results]
    columns = list(tables.COLUMNS)
    return {
        "runs": shown,
        "costs": list(COSTS),
        "curves": [{"name": r["name"], "points": _curves(runs / r["name"])} for r in results],
        "run_columns": _RUNS,
        "run_rows": [
            [
                r["name"], r["reads"], s["bits_per_byte"], s["low"], s["high"], r["totals"]["flops"], r["totals"]["symbols"],
                r["totals"]["bytes"], s["bytes_per_symbol"], r["totals"]["seconds"],
            ]
            for r, s in zip(results, shown, strict=True)
        ],
        "codec_columns": ["compressor", *columns],
        "codec_rows": [[row["name"], *(row.get(tables.COLUMNS[name][0]) for name in columns)] for row in codecs],
        "environment": environment(),
    }  # fmt: skip


def _run(result: dict[str, Any], distance: dict[str, Any]) -> dict[str, Any]:
    """A point: the view's stability is that of the codec it is named after."""
    low, high = result["evaluation"]["interval_95"]
    view = (result["config"]["mix"]["view"] or "bytes").partition(":")[0]
    return {
        "name": result["name"],
        "bits_per_byte": result["evaluation"]["bits_per_byte"],
        "low": low,
        "high": high,
        "bytes_per_symbol": result["totals"]["bytes"] / result["totals"]["symbols"],
        "distance": distance.get(view),
    }


def _curves(run: Path) -> dict[str, list[tuple[float, float]]]:
    """For each cost: what was spent and the loss at 50 places or fewer; the loss in bytes where there is one."""
    log = records(run)
    loss = "raw_bits_per_symbol" if any(r["raw_bits_per_symbol"] is not None for r in log) else "comp_bits_per_symbol"
    found = {cost: curve(log, cost, loss, 0.02) for cost in COSTS}
    return {cost: list(zip(at.tolist(), bits.tolist(), strict=True)) for cost, (at, bits) in found.items()}
