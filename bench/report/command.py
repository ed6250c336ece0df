"""`proxyc report`: one HTML page that needs nothing else, from results of the other benches or from
runs; pictures.
"""

from __future__ import annotations

from pathlib import Path

import click

from bench.codecs import table as codec_tables
from bench.downstream.results import Result
from bench.exchange.pool import pooled
from bench.output import OutputFile, output, read_json
from bench.report import rows, vega
from bench.report.page import CHARTS, Report
from compressors.atomic import write_atomically
from compressors.errors import InputError, counted

PATH = click.Path(path_type=Path, exists=True)


@click.command()
@click.argument("results", nargs=-1, required=True, type=PATH)
@click.option(
    "--codecs", "codec_table", type=PATH, help="JSON of `proxyc bench codecs`: compressors, how stable they are."
)
@click.option("--against", default="", metavar="ARM", help="Set runs against this arm, not the first.")
@click.option("--png", type=OutputFile(".png"), help="Also a picture.")
@click.option("--svg", type=OutputFile(".svg"), help="Also a picture.")
@click.option(
    "--chart",
    "charts",
    multiple=True,
    type=click.Choice(list(CHARTS)),
    help="Only this chart in the pictures; repeat it for others.",
)
@output(".html", help="The page.  [default: report.html, if no picture is asked for]")
def report(
    results: tuple[Path, ...], codec_table: Path | None, against: str, png: Path | None, svg: Path | None,
    charts: tuple[str, ...], output: Path | None,
) -> None:  # fmt: skip
    """Make a page, or pictures, of RESULTS.

    RESULTS: a results.json or folder of `proxyc bench downstream`, JSON of `proxyc bench exchange`,
    folders of `proxyc train`.
    """
    vega.require()
    if output is None and png is None and svg is None:
        output = OutputFile(".html").convert("report.html", None, click.get_current_context())
    made = _report(results, codec_table, against)
    written = [path for path in (output, png, svg) if path is not None]
    if output is not None:
        write_atomically(output, made.page().encode())
    for path in (png, svg):
        if path is not None:
            vega.save(made.picture(charts), path)
    click.echo(f"{', '.join(map(str, written))}: {counted(len(made.runs), 'run')}; charts: {', '.join(made.names())}")


def _report(paths: tuple[Path, ...], codec_table: Path | None, against: str) -> Report:
    """Everything that was named, read. Raises `InputError`."""
    codecs = codec_tables.ranked(read_json(codec_table, "codecs")["rows"]) if codec_table else []
    rates = {path: rows.exchange_rates(path) for path in paths}
    exchange = pooled([row for found in rates.values() for row in found or ()])
    of_runs = [path for path, found in rates.items() if found is None]
    sources: dict[str, list[Result]] = {_source(path): rows.read(path) for path in of_runs}
    if len(sources) < len(paths) - len([found for found in rates.values() if found is not None]):
        raise InputError(
            f"{', '.join(map(str, paths))}: two have one name; rename one, so that their runs can be told apart"
        )
    return Report(sources, against, codecs, exchange)


def _source(path: Path) -> str:
    """What tells the runs of a path from others': every grid calls its file results.json."""
    if path.name == "results.json":
        return path.resolve().parent.name
    return path.stem if path.is_file() else path.resolve().name
