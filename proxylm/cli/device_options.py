"""The options that say where a trained model computes, and in which precision: of commands and benches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

DEVICE = click.option(
    "--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, ...; auto: a GPU if there is one."
)
DTYPE = click.option(
    "--dtype",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "fp32", "bf16"]),
    help="Of the matrix products; auto: bf16 on GPUs that have units for it.",
)


def on_a_device(command: Command) -> Command:
    """Both, for `proxylm.open_run(run, device=..., dtype=...)`."""
    return DEVICE(DTYPE(command))
