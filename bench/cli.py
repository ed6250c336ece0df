"""`proxyc bench`: a lazy group."""

from __future__ import annotations

import click

from proxylm.cli.lazy import LazyGroup

COMMANDS = {
    "codecs": (
        "bench.codecs.command:command",
        "Ratio, speed, memory and stability of all compressors and their peers.",
    ),
    "report": ("bench.report.page:report", "One page of what the others found."),
    "downstream": ("bench.downstream.grid:downstream", "Train and evaluate the grid of a recipe."),
    "tables": ("bench.report.tables_command:main", "Results of grids as Markdown."),
    "final": ("bench.downstream.rescore:final", "Score finished runs on text that no run was chosen by."),
    "copying": ("bench.downstream.copying:main", "Has a model learnt to copy from its context?"),
    "scaling": ("bench.downstream.scaling:scaling", "Fit loss against compute, arm by arm."),
    "transfer": ("bench.downstream.transfer:transfer", "Stability of views beside the loss of bytes."),
}


@click.group(cls=LazyGroup, table=COMMANDS)
def bench() -> None:
    """Compare compressors, and what they do to a model."""
