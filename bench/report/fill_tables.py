"""Put tables into Markdown files, from the JSON in bench/results.

    python -m bench.report.fill_tables README.md RESULTS.md bench/results/*.md

A table stands between `<!-- KIND FILE... [only=PATTERN,...] [against=ARM] -->` and `<!-- end -->`; FILE is a name in the folder
of results without its suffix, PATTERNs the names of the runs that are shown (* stands for any letters). Of kinds `texts` and
`differences`, every FILE is a column: the same runs on another text, named in titles=TITLE,...; FILE+FILE is one column of both.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bench.downstream import copying, results, scaling, transfer
from bench.report import tables
from compressors.atomic import write_atomically
from compressors.errors import InputError, ProxycError, in_one_line

RESULTS = Path(__file__).parent.parent / "results"
_PLACE = re.compile(r"(<!-- (\w+) ([^>]*?) ?-->\n).*?(<!-- end -->)", re.DOTALL)
_OF_RUNS: dict[str, Callable[[list[results.Result], str], str]] = {
    "runs": tables.runs,
    "arms": tables.arms,
    "budgets": tables.budgets,
    "scaling": lambda found, against: scaling.table(found, against=against),
    "sizes": lambda found, against: tables.sizes(found),
}
_OF_TEXTS = {"texts": tables.texts, "differences": tables.differences}
_OF_FACTS: dict[str, Callable[[Any], str]] = {
    "copying": copying.table,
    "transfer": transfer.table,
    "codecs": tables.codecs_described,
}


def filled(text: str, folder: Path | None = None) -> str:
    """The text with every table as the results in `folder` (those of the repository) have it now. Raises `InputError` on a kind that is not known."""
    folder = folder or RESULTS
    if text.count("<!-- ") != 2 * text.count("<!-- end -->"):
        raise InputError("a place for a table lacks its <!-- end -->, or there is one too many")
    return _PLACE.sub(lambda place: f"{place[1]}\n{_table(place[2], place[3], folder)}\n\n{place[4]}", text)


def _table(kind: str, asked: str, folder: Path) -> str:
    words = asked.split()
    if unknown := {word.partition("=")[0] for word in words if "=" in word} - {"only", "against", "titles"}:
        raise InputError(f"{asked}: no option {', '.join(sorted(unknown))}; known: only, against, titles")
    options = dict(word.split("=", 1) for word in words if "=" in word)
    columns = [[folder / f"{name}.json" for name in word.split("+")] for word in words if "=" not in word]
    if kind in _OF_FACTS:
        ((file,),) = columns
        return _OF_FACTS[kind](json.loads(file.read_bytes()))
    if kind not in _OF_RUNS | _OF_TEXTS:
        raise InputError(f"no table of kind {kind}; known: {', '.join([*_OF_RUNS, *_OF_TEXTS, *_OF_FACTS])}")
    against, found = (
        options.get("against", ""),
        [[r for file in files for r in results.read(file)] for files in columns],
    )
    names = results.matching([r["name"] for its in found for r in its], options.get("only", "*").split(","))
    shown = [[r for r in its if r["name"] in names] for its in found]
    every = [r for its in shown for r in its]
    results.check_arm(every, against)
    if kind in _OF_TEXTS:
        titles = options.get("titles", ",".join("+".join(file.stem for file in files) for files in columns)).split(",")
        return _OF_TEXTS[kind](dict(zip(titles, shown, strict=True)), against)
    return _OF_RUNS[kind](every, against)


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def main(files: tuple[Path, ...]) -> None:
    """Fill in the tables of FILES."""
    try:
        for file in files:
            write_atomically(file, filled(file.read_text()).encode())
    except (ProxycError, OSError) as error:
        raise click.ClickException(in_one_line(error)) from error


if __name__ == "__main__":
    main()
