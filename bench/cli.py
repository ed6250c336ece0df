"""`proxyc bench`: a lazy group."""

from __future__ import annotations

import click

from proxylm.lazy import LazyGroup

COMMANDS = {
    "codecs": ("bench.compare:codecs", "Ratio, speed, memory and stability of all compressors and their peers."),
    "report": ("bench.page:report", "One page of what the others found."),
    "downstream": ("bench.grid:downstream", "Train and evaluate the grid of a recipe."),
}


@click.group(cls=LazyGroup, table=COMMANDS)
def bench() -> None:
    """Compare compressors, and what they do to a model."""
