"""`proxyc bench tables`: finished grids, printed again."""

from __future__ import annotations

from pathlib import Path

import click

from bench import results, tables


@click.command()
@click.argument("files", metavar="RESULTS...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--against", default="", metavar="ARM", help="Set runs against this arm, not the first.")
def main(files: tuple[Path, ...], against: str) -> None:
    """Tables of each results.json of `downstream`: runs, arms over their seeds, budgets; hours of training."""
    hours = 0.0
    for path in files:
        found = results.read(path)
        results.check_arm(found, against)
        click.echo(tables.all_of(found, against) + "\n")
        hours += sum(r["totals"]["seconds"] for r in found) / 3600
    click.echo(f"{hours:.1f} hours of training")
