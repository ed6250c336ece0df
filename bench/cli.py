"""`proxyc bench`: a lazy group."""

from __future__ import annotations

import click

from proxylm.cli.lazy import LazyGroup

COMMANDS = {
    "codecs": ("bench.codecs.command:codecs", "Ratio, speed, memory, stability of all compressors and their peers."),
    "stability": ("bench.codecs.stability:main", "What an edit of the text does to a view."),
    "encode": ("bench.speed.encode:encode", "BPE encoders side by side on the same text."),
    "files": ("bench.speed.files:files", "Whole commands on a file, beside the native tools."),
    "loader": ("bench.speed.loader:loader", "Symbols a second of the loader, start, resume, memory."),
    "scale": ("bench.speed.scale:scale", "A simulated store of a terabyte: open, plan, resume; shards through Ray."),
    "train": ("bench.speed.train:main", "Training beside `transformers`, and its parts."),
    "generation": ("bench.speed.generation:main", "Generation beside `transformers`."),
    "downstream": ("bench.downstream.grid:downstream", "Train and evaluate the grid of a recipe."),
    "exchange": ("bench.exchange.command:exchange", "What a byte shown in a view is worth, in raw bytes."),
    "rescore": ("bench.downstream.rescore:rescore", "Score finished runs on text that no run was chosen by."),
    "dedup": ("bench.downstream.dedup:dedup", "A text without the passages that an earlier document has too."),
    "copying": ("bench.downstream.copying:main", "Has a model learnt to copy from its context?"),
    "scaling": ("bench.downstream.scaling:scaling", "Fit loss against compute, arm by arm."),
    "tables": ("bench.report.tables:main", "Results of grids as Markdown."),
    "report": ("bench.report.command:report", "One page of charts of what the others found."),
    "fill-tables": ("bench.report.fill_tables:main", "Put the tables of results into Markdown files."),
}


@click.group(cls=LazyGroup, table=COMMANDS)
def bench() -> None:
    """Compare compressors, and what they do to a model."""
