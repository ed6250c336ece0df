"""Put tables into Markdown files, from the JSON in bench/results.

    proxyc bench fill-tables RESULTS.md docs/results/*.md

A table stands between `<!-- KIND FILE... [only=PATTERN,...] [against=ARM] -->` and `<!-- end -->`;
FILE is a name in the folder of results without its suffix, PATTERNs the names of the runs that are
shown (* stands for any letters). Of kinds `texts` and `differences`, every FILE is a column: the
same runs on another text, named in titles=TITLE,...; FILE+FILE is one column of both.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bench.downstream import results
from bench.markdown import Table
from bench.report import tables
from compressors.atomic import write_atomically
from compressors.errors import InputError

RESULTS = Path(__file__).parent.parent / "results"
_PLACE = re.compile(r"(<!-- (\w+) ([^>]*?) ?-->\n).*?(<!-- end -->)", re.DOTALL)
_OF_RUNS: dict[str, Callable[[list[results.Result], str], Table]] = {
    "runs": tables.runs,
    "arms": tables.arms,
    "widths": tables.widths,
    "budgets": tables.budgets,
    "scaling": lambda found, against: _renderer("bench.downstream.scaling:table")(found, against=against),
}
_OF_TEXTS = {"texts": tables.texts, "differences": tables.differences}
# Kind -> (what renders it, whether it takes the rows only). By name: some of these benches import
# torch.
_OF_FACTS = {
    "exchange": ("bench.exchange.table:table", True),
    "copying": ("bench.downstream.copying:table", True),
    "codecs": ("bench.codecs.table:described", False),
    "stability": ("bench.codecs.stability:table", True),
    "files": ("bench.speed.files:table", True),
    "encode": ("bench.speed.encode:table", True),
    "decode": ("bench.speed.encode:decode_table", True),
    "train": ("bench.speed.train:table", True),
    "loader": ("bench.speed.loader:table", True),
    "scale": ("bench.speed.scale:table", True),
    "ray": ("bench.speed.scale:ray_table", False),
    "generation": ("bench.speed.generation:table", True),
}


def _renderer(name: str) -> Callable[..., Any]:
    """The function named "module:function"; its module is imported now."""
    module, _, function = name.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found


def filled(text: str, folder: Path | None = None) -> str:
    """The text with every table as the results in `folder` (those of the repository) have it now.

    Raises `InputError` on a kind that is not known.
    """
    folder = folder or RESULTS
    if text.count("<!-- ") != 2 * text.count("<!-- end -->"):
        raise InputError("a place for a table lacks its <!-- end -->, or there is one too many")
    return _PLACE.sub(lambda place: f"{place[1]}\n{_table(place[2], place[3], folder)}\n\n{place[4]}", text)


def _table(kind: str, asked: str, folder: Path) -> str:
    """The Markdown of one place. kind, asked: the two parts of its comment.

    Raises `InputError` on a kind or option that is not known.
    """
    words = asked.split()
    if unknown := {word.partition("=")[0] for word in words if "=" in word} - {"only", "against", "titles"}:
        raise InputError(f"{asked}: no option {', '.join(sorted(unknown))}; known: only, against, titles")
    options = dict(word.split("=", 1) for word in words if "=" in word)
    columns = [[folder / f"{name}.json" for name in word.split("+")] for word in words if "=" not in word]
    if kind in _OF_FACTS:
        name, rows_only = _OF_FACTS[kind]
        (facts,) = ([json.loads(file.read_bytes()) for file in files] for files in columns)
        return str(_renderer(name)([row for found in facts for row in found["rows"]] if rows_only else facts[0]))
    if kind not in _OF_RUNS | _OF_TEXTS:
        raise InputError(f"no table of kind {kind}; known: {', '.join([*_OF_RUNS, *_OF_TEXTS, *_OF_FACTS])}")
    return _of_runs(kind, columns, options)


def _of_runs(kind: str, columns: list[list[Path]], options: dict[str, str]) -> str:
    """A table of runs of `proxyc bench downstream`.

    columns: the files of each column. Tables of one text join all columns; those of several texts
    show them side by side.
    """
    against = options.get("against", "")
    found = [[r for file in files for r in results.read(file)] for files in columns]
    names = results.matching([r["name"] for its in found for r in its], options.get("only", "*").split(","))
    shown = [[r for r in its if r["name"] in names] for its in found]
    every = [r for its in shown for r in its]
    results.check_arm(every, against)
    if kind in _OF_TEXTS:
        titles = options.get("titles", ",".join("+".join(file.stem for file in files) for files in columns)).split(",")
        return str(_OF_TEXTS[kind](dict(zip(titles, shown, strict=True)), against))
    return str(_OF_RUNS[kind](every, against))


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def main(files: tuple[Path, ...]) -> None:
    """Fill in the tables of FILES."""
    for file in files:
        write_atomically(file, filled(file.read_text()).encode())
