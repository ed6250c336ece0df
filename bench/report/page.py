"""`proxyc bench report`: one HTML page that needs nothing else, from the results of the other
benches; a picture, Markdown.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from bench import markdown
from bench.codecs import table as codec_tables
from bench.downstream import results
from bench.downstream.arms import curves
from bench.downstream.results import Result
from bench.figures import COSTS, ratio_against_loss
from bench.output import output, read_json
from bench.report import tables
from compressors.atomic import write_atomically
from compressors.errors import InputError
from proxylm.view_spec import RAW

_CODECS = codec_tables.FILES | codec_tables.SYMBOLS
PATH = click.Path(path_type=Path, exists=True)
# Heads of the tables; the values that stand below them are those of `_run` and `_arm`. {}: the
# rival.
_RUNS = (
    "run", "read as", "bits per byte", "low", "high", "FLOPs", "symbols", "bytes shown", "bytes per symbol", "seconds",
)  # fmt: skip
_ARMS = (
    "arm", "seeds", "bits per byte", "lowest", "highest", "% against {}", "low", "high", "seeds, low", "seeds, high",
    "FLOPs", "seconds",
)  # fmt: skip


@click.command()
@click.argument("runs", nargs=-1, required=True, type=PATH)
@click.option(
    "--codecs", "codec_table", type=PATH, help="JSON of `proxyc bench codecs`: compressors, how stable they are."
)
@click.option("--against", default="", metavar="ARM", help="Set runs against this arm, not the first.")
@output(".html", help="The page.", beside=(".html", ".png", ".md"), default="report.html", show_default=True)
def report(runs: tuple[Path, ...], codec_table: Path | None, against: str, output: Path) -> None:
    """Make a page of RUNS: folders of `proxyc bench downstream`, or its results.json.

    A .png and a .md beside it.
    """
    codecs = codec_tables.ranked(read_json(codec_table, "codecs")["rows"]) if codec_table else []
    sources = {_source(path): _read(path) for path in runs}
    if len(sources) < len(runs):
        raise InputError(
            f"{', '.join(map(str, runs))}: two have one name; rename one, so that their runs can be told apart"
        )
    for found in sources.values():
        results.check_arm(found, against)
    facts = page_data(sources, codecs, against)
    write_atomically(output, page(facts).encode())
    picture, text = output.with_suffix(".png"), output.with_suffix(".md")
    ratio_against_loss(facts["runs"], picture, "Ratio against loss", facts["curves"])
    sections = [("", f"# Ratio against loss\n\n![ratio against loss]({picture.name})")]
    sections += [(f"Runs: {name}", tables.all_of(found, against)) for name, found in sources.items()]
    sections += [("Compressors", codec_tables.codecs(codecs))] if codecs else []
    markdown.write(text, [*sections, ("Environment", facts["environment"])])
    click.echo(f"{output}, {picture}, {text}: {len(facts['runs'])} runs, {len(codecs)} compressors")


def _source(path: Path) -> str:
    """What tells the runs of a path from others': every grid calls its file results.json."""
    if path.name == "results.json":
        return path.resolve().parent.name
    return path.stem if path.is_file() else path.resolve().name


def _read(path: Path) -> list[Result]:
    """The results below a folder, each with its learning curves, or those of a JSON file.

    Raises `InputError` if there are none.
    """
    found = results.read(path)
    if path.is_file():
        return found
    return [r if "curves" in r else r | {"curves": curves(path / r["name"])} for r in found]


def page(facts: dict[str, Any]) -> str:
    """The page; `facts` become JSON in it."""
    template = Path(__file__).with_name("page.html").read_text()
    # Nothing may end the script early
    return template.replace("/*DATA*/", json.dumps(facts).replace("</", "<\\/"))


def page_data(sources: dict[str, list[Result]], codecs: Sequence[dict[str, Any]], against: str = "") -> dict[str, Any]:
    """What the page shows of the results, by the name of their source: points, curves (where a
    result has them), tables.

    The names of runs begin with that of their source where there are several.
    """
    one_processor = results.processor([r for found in sources.values() for r in found]) is not None
    named = [(f"{source}: " if len(sources) > 1 else "", found) for source, found in sources.items()]
    every = [(prefix + r["name"], r) for prefix, found in named for r in found]
    shown = [_point(name, r, codecs) for name, r in every]
    return {
        "runs": shown,
        "costs": list(COSTS),
        "curves": [{"name": name, "points": r["curves"]} for name, r in every if "curves" in r],
        "arm_columns": [title.format(tables.rival_of([r for _, r in every], against)) for title in _ARMS],
        "arm_rows": [
            _arm(prefix, row, one_processor) for prefix, found in named for row in results.arms(found, against)
        ],
        "run_columns": _RUNS,
        "run_rows": [_run(r, point, one_processor) for (_, r), point in zip(every, shown, strict=True)],
        "codec_columns": ["compressor", *_CODECS],
        "codec_rows": [[row["name"], *(row.get(key) for key, _ in _CODECS.values())] for row in codecs],
        "environment": "; ".join(sorted({r["environment"] for _, r in every})),
        "scored": tables.scored([r for _, r in every]),
    }


def _arm(prefix: str, row: dict[str, Any], one_processor: bool) -> list[Any]:
    """Its values for `_ARMS`; seconds only where all runs were made on one processor."""
    found = row["against"]
    difference = [None] * 5 if found is None else [found.ratio, found.low, found.high, *(found.seeds or (None, None))]
    per_cent = [None if value is None else 100 * value for value in difference]
    taken = row["totals"]["seconds"] if one_processor else None
    bits = (row["bits_per_byte"], row["low"], row["high"])
    return [prefix + tables.arm_name(row), row["seeds"], *bits, *per_cent, row["totals"]["flops"], taken]


def _run(result: Result, point: dict[str, Any], one_processor: bool) -> list[Any]:
    """Its values for `_RUNS`."""
    t, bits = result["totals"], (point["bits_per_byte"], point["low"], point["high"])
    taken = t["seconds"] if one_processor else None
    shown = (t["flops"], t["symbols"], t["bytes"], point["bytes_per_symbol"], taken)
    return [point["name"], result["reads"], *bits, *shown]


def _point(name: str, result: Result, codecs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A run in the chart; its colour is the stability of what made its view."""
    low, high = result["evaluation"]["interval_95"]
    shown_as = result["config"]["mix"]["view"]
    view = shown_as.partition(":")[0] if shown_as else RAW
    made_by = result.get("views", {}).get(view)
    rows = [row for row in codecs if (row["name"] == "bytes" if view == RAW else row.get("fingerprint") == made_by)]
    return {
        "name": name,
        "bits_per_byte": results.bits_per_byte(result),
        "low": low,
        "high": high,
        "bytes_per_symbol": result["totals"]["bytes"] / result["totals"]["symbols"],
        "distance": rows[0].get("distance") if rows else None,
    }
