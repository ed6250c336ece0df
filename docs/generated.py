"""Pages that are made from the code: every command with its options, every setting with its type, default and meaning."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

HERE = Path(__file__).parent


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    """Every command below `group` with the words that call it, in the order of `--help`."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        elif not command.hidden:
            yield f"{path} {name}", command


def command_page(words: str, command: click.Command) -> str:
    """A section: usage, help text, options, as `--help` prints them."""
    context = click.Context(command, info_name=words, max_content_width=88, terminal_width=88)
    return f"## {words}\n\n```text\n{command.get_help(context)}\n```\n"


def cli_reference() -> str:
    from proxylm.cli.main import proxyc

    parts = ["# Commands\n\nEvery command prints this with `--help`.\n"]
    return "\n".join(parts + [command_page(words, command) for words, command in commands(proxyc, "proxyc")])


def settings_table(section: str, cls: type) -> str:
    """A table of the fields of one config class."""
    from proxylm.config_files import settings_of

    head = [f"## {section}", "", inspect.getdoc(cls) or "", "", "| setting | type | default | |", "|---|---|---|---|"]
    rows = []
    for name, kind, default, meaning in settings_of(cls):
        kind, meaning = kind.replace("|", "or"), meaning.replace("|", "\\|")  # a bar would end the cell
        rows.append(f"| `{section}.{name}` | {kind} | `{default}` | {meaning} |")
    return "\n".join(head + rows) + "\n"


def settings_reference() -> str:
    from proxylm.config_files import SECTIONS

    intro = (
        "# Settings of a run\n\nGive one with `--set section.key=value`, or many in a `.toml` or `.json` file with "
        "`--config FILE`. `proxyc train --settings` prints this list.\n"
    )
    return "\n".join([intro, *(settings_table(name, cls) for name, cls in SECTIONS.items())])


PAGES = {"reference/commands.md": cli_reference, "reference/settings.md": settings_reference}


def write_pages(_: object) -> None:
    """Write the pages beside the others; they are not committed."""
    for name, make in PAGES.items():
        text = make()
        path = HERE / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists() or path.read_text() != text:  # else everything would be built again
            path.write_text(text)


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}
