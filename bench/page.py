"""`proxyc bench report`: one HTML page that needs nothing else, from the results of the other benches; a picture, Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench import tables
from bench.downstream import curves
from bench.report import figure, write
from compressors.atomic import write_atomically
from compressors.errors import InputError
from proxylm.plot import COSTS

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
@click.argument("runs", nargs=-1, required=True, type=PATH)
@click.option(
    "--codecs", "codec_table", type=PATH, help="JSON of `proxyc bench codecs`: compressors, and how stable they are."
)
@click.option("-o", "--output", default="report.html", show_default=True, type=click.Path(path_type=Path))
def report(runs: tuple[Path, ...], codec_table: Path | None, output: Path) -> None:
    """Make a page of RUNS: folders of `proxyc bench downstream`, or its results.json; a .png and a .md beside it."""
    codecs = json.loads(codec_table.read_bytes())["rows"] if codec_table else []
    results = [result for path in runs for result in _read(path)]
    facts = page_data(results, codecs)
    write_atomically(output, page(facts).encode())
    picture, text = output.with_suffix(".png"), output.with_suffix(".md")
    figure(facts["runs"], picture, "Ratio against loss", facts["curves"])
    sections = [("", f"# Ratio against loss\n\n![ratio against loss]({picture.name})"), ("Runs", tables.runs(results))]
    sections += [("Arms", tables.arms(results)), ("Compressors", tables.codecs(codecs))][: 1 + bool(codecs)]
    write(text, [*sections, ("Environment", facts["environment"])])
    click.echo(f"{output}, {picture}, {text}: {len(results)} runs, {len(codecs)} compressors")


def _read(path: Path) -> list[dict[str, Any]]:
    """The results below a folder, each with its learning curves, or those of a JSON file. Raises `InputError` if there are none."""
    if path.is_file():
        return tables.read(path)
    results = tables.collect(path)
    if not results:
        raise InputError(f"no finished run below {path}; make some with `proxyc bench downstream`")
    return [r if "curves" in r else r | {"curves": curves(path / r["name"])} for r in results]


def page(facts: dict[str, Any]) -> str:
    """The page; `facts` become JSON in it."""
    template = Path(__file__).with_name("page.html").read_text()
    return template.replace("/*DATA*/", json.dumps(facts).replace("</", "<\\/"))  # nothing may end the script early


def page_data(results: Sequence[dict[str, Any]], codecs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What the page shows: points, curves (where a result has them), tables."""
    distance = {row["name"]: row.get("distance") for row in codecs}
    shown = [_run(result, distance) for result in results]
    columns = list(tables.COLUMNS)
    return {
        "runs": shown,
        "costs": list(COSTS),
        "curves": [{"name": r["name"], "points": r["curves"]} for r in results if "curves" in r],
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
        "environment": "; ".join(sorted({r["environment"] for r in results})),
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
