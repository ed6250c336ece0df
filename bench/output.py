"""Files that benches write: the option `-o`, and the one form of their JSON.

{"bench": NAME, "schema": 1, "environment": ..., "processor": ..., facts of the bench, "rows": [...]}
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from bench.measuring import environment, processor
from compressors.atomic import write_atomically
from compressors.errors import InputError

SCHEMA = 1
_FORCE = "bench.output.force"
F = TypeVar("F", bound=Callable[..., Any])


class OutputFile(click.Path):
    """A file to write. What keeps it from being written is said before anything is measured: hours
    would have nowhere to go.
    """

    def __init__(self, *suffixes: str, beside: Sequence[str] = ()) -> None:
        """`suffixes`: those it may have, any if none is given.

        `beside`: it is written with each of these in their place.
        """
        super().__init__(path_type=Path, dir_okay=False)
        self._suffixes, self._beside = suffixes, beside

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, if it can be written; else a usage error that says what to do."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not path.parent.is_dir():
            self.fail(f"{path}: the folder {path.parent} is missing; make it first", param, ctx)
        if self._suffixes and path.suffix not in self._suffixes:
            self.fail(f"{path}: expected a name that ends in {' or '.join(self._suffixes)}", param, ctx)
        for target in self.targets(path):
            if target.exists() and not (ctx and ctx.meta.get(_FORCE)):
                self.fail(f"{target} exists already; use --force to replace it", param, ctx)
        return path

    def targets(self, path: Path) -> list[Path]:
        """All files that are written."""
        stem = path.with_suffix("") if self._suffixes else path
        return [stem.with_name(stem.name + suffix) for suffix in self._beside] or [path]


def output(
    *suffixes: str, help: str = "JSON to write.", beside: Sequence[str] = (), **settings: Any
) -> Callable[[F], F]:
    """The options `-o FILE` and `--force` of a bench; without `--force` no file is replaced."""

    def forced(ctx: click.Context, param: click.Parameter, value: bool) -> None:
        """Eager, so that it is known before `-o` is checked."""
        ctx.meta[_FORCE] = value

    def decorate(command: F) -> F:
        """Adds both options; `--force` reaches the command only through `OutputFile`."""
        force = click.option(
            "-f", "--force", is_flag=True, is_eager=True, expose_value=False, callback=forced,
            help="Replace what -o names if it is there.",
        )  # fmt: skip
        kind = OutputFile(*suffixes, beside=beside)
        return force(click.option("-o", "--output", type=kind, help=help, **settings)(command))

    return decorate


def as_json(bench: str, rows: Any, **facts: Any) -> dict[str, Any]:
    """What a bench found, in the form of all of them; `rows` is what its table shows."""
    head = {"bench": bench, "schema": SCHEMA, "environment": environment(), "processor": processor()}
    return head | facts | {"rows": rows}


def write_json(path: Path, found: Any) -> None:
    """Write what `as_json` returned."""
    write_atomically(path, (json.dumps(found, indent=1) + "\n").encode())


def read_json(path: Path, bench: str) -> dict[str, Any]:
    """The result of a bench; one from before the schema has no `bench` and is taken as it is.

    Raises `InputError`.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        other = found.get("bench", bench) != bench or found.get("schema", SCHEMA) > SCHEMA
        found["rows"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} holds no result ({error!r}); make one with `proxyc bench {bench} -o`") from error
    if other:
        known = f"{found.get('bench')}, schema {found.get('schema')}"
        raise InputError(f"{path} is a result of {known}; expected {bench}, schema {SCHEMA} at most")
    return found
