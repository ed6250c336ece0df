"""Pages that are made from the code: every command with its options, every setting with its type, default and meaning."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import typing
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


def field_docs(cls: type) -> dict[str, str]:
    """The docstring under each field of a dataclass."""
    tree = ast.parse(inspect.getsource(inspect.getmodule(cls)))  # type: ignore[arg-type] # a module it has
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls.__name__)
    found = {}
    for node, after in itertools.pairwise(body):
        if isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[node.target.id] = inspect.cleandoc(str(after.value.value))  # type: ignore[union-attr] # a name
    return found


def settings_of(section: str, cls: type) -> str:
    """A table of the fields of one config class."""
    docs, hints = field_docs(cls), typing.get_type_hints(cls)
    lines = [
        f"## {section}",
        "",
        (inspect.getdoc(cls) or ""),
        "",
        "| setting | type | default | |",
        "|---|---|---|---|",
    ]
    for field in dataclasses.fields(cls):
        kind = getattr(hints[field.name], "__name__", str(hints[field.name])).replace("|", "or")
        text = " ".join(docs.get(field.name, "").split()).replace("|", "\\|")
        lines.append(f"| `{section}.{field.name}` | {kind} | `{_default(field)}` | {text} |")
    return "\n".join(lines) + "\n"


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return repr(field.default)
    return "{}" if field.default_factory is dict else "()" if field.default_factory is tuple else "required"


def settings_reference() -> str:
    from proxylm.config import MixConfig, ModelConfig, Phase, TrainConfig

    intro = (
        "# Settings of a run\n\nGive one with `--set section.key=value`, or many in a `.toml` or `.json` file with "
        "`--config FILE`. `proxyc train --settings` prints this list.\n"
    )
    sections = (("train", TrainConfig), ("model", ModelConfig), ("mix", MixConfig), ("phase", Phase))
    return "\n".join([intro, *(settings_of(name, cls) for name, cls in sections)])


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
