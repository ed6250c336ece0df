"""How commands print: the options --wide, --json and --csv, and tables with paragraphs between them."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar

import click

from compressors.cli.table import Table

F = TypeVar("F", bound=Callable[..., Any])
_LONGEST = 120  # characters of a line of prose, however wide the terminal is


def forms(command: F) -> F:
    """The options --wide, --json and --csv of a command that prints tables; its argument `form` is one of them or None."""
    for name, meaning in (
        ("csv", "Print comma-separated values."),
        ("json", "Print JSON."),
        ("wide", "All columns, also where the terminal is too narrow for them."),
    ):
        command = click.option(f"--{name}", "form", flag_value=name, help=meaning)(command)
    return command


def put(
    form: str | None, *parts: Table | str, data: Any = None, piped: Callable[[Table], str] = str, gap: str = "\n\n"
) -> None:
    """Print tables and paragraphs in the form that is asked for.

    data: what --json prints, if it is not the rows of the tables. piped: a table where standard
    output is not a terminal, Markdown by default. gap: between two parts.
    """
    shown_parts = [part for part in parts if isinstance(part, str) or part.rows]
    tables = [part for part in shown_parts if isinstance(part, Table)]
    if form == "json":
        records = [table.records() for table in tables]
        found = data if data is not None else records[0] if len(records) == 1 else records
        click.echo(json.dumps(found, indent=1))
    elif form == "csv":
        click.echo("\n\n".join(table.csv() for table in tables))
    elif form == "wide" or on_terminal():
        width = None if form == "wide" else columns()
        text = (
            part.fitted(width, colour=colours()) if isinstance(part, Table) else paragraph(part) for part in shown_parts
        )
        click.echo(gap.join(text), color=colours())
    else:
        click.echo(gap.join(part if isinstance(part, str) else piped(part) for part in shown_parts))


def paragraph(text: str) -> str:
    """Lines of text within the width of the terminal."""
    width = min(columns(), _LONGEST)
    return "\n".join(textwrap.fill(line, width, break_on_hyphens=False) for line in text.splitlines())


def on_terminal() -> bool:
    """Whether standard output is one."""
    return sys.stdout is not None and sys.stdout.isatty()


def colours() -> bool:
    """Whether escape codes are wanted on standard output."""
    return on_terminal() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def columns() -> int:
    """Of the terminal; 80 where there is none, or it does not say."""
    return (shutil.get_terminal_size().columns or 80) if on_terminal() else 80
