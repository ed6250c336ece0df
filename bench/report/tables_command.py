"""`proxyc bench tables`: finished grids, printed again."""

from __future__ import annotations

from pathlib import Path

import click

from bench.downstream import results
from bench.report import tables


@click.command()
@click.argument("files", metavar="RESULTS...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--against", default="", metavar="ARM", help="Set runs against this arm, not the first.")
def main(files: tuple[Path, ...], against: str) -> None:
    """Tables of each results.json of `downstream`: runs, arms over their seeds, budgets; hours of training."""
    seconds: dict[str, float] = {}  # of each run, though several files score it
    for path in files:
        found = results.read(path)
        results.check_arm(found, against)
        click.echo(tables.all_of(found, against) + "\n")
        seconds |= {f"{r['name']} {r['totals']}": r["totals"]["seconds"] for r in found}
    click.echo(f"{sum(seconds.values()) / 3600:.1f} hours of training")
