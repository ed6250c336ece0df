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

# Not what the machine does best: figures of two machines are set against each other.
SCORED_IN = click.option(
    "--dtype",
    default="fp32",
    show_default=True,
    type=click.Choice(["fp32", "bf16"]),
    help="Of the matrix products, on any device.",
)


def on_a_device(command: Command) -> Command:
    """Both, for `proxylm.open_run(run, device=..., dtype=...)`."""
    return DEVICE(DTYPE(command))


def scored_on_a_device(command: Command) -> Command:
    """Both, for results that are compared with those of other machines."""
    return DEVICE(SCORED_IN(command))
