"""`proxyc show`: parses and prints; cutting is done in `compressors.show`."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from compressors import registry
from compressors.atomic import write_atomically
from compressors.errors import InputError, InvalidConfig, counted
from compressors.show import Cut

_VIEWS = ("bpe", "neural", "zstd")
_WITH_MERGES = re.compile(r"(?P<codec>.+?)(?P<mark>[:,])merges=(?P<merges>\d+)")


@click.command()
@click.argument("source")
@click.option(
    "--view",
    "views",
    multiple=True,
    metavar="CODEC",
    help="View to show: NAME, NAME=FILE, NAME:merges=K. Default: bpe, neural, zstd.",
)
@click.option(
    "--edit",
    is_flag=False,
    flag_value="",
    metavar="OLD=>NEW",
    help="Mark what an edit changes; without OLD=>NEW: one character less.",
)
@click.option("--bits", is_flag=True, help="What each byte costs under the neural codec.")
@click.option("--run", type=click.Path(path_type=Path), help="What each byte costs under the model of a training run.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="Write an offline page (.html) or a picture (.svg) instead."
)
@click.option("-f", "--force", is_flag=True, help="Replace an existing page.")
@click.option(
    "--max-bytes",
    default=2000,
    show_default=True,
    type=click.IntRange(min=1),
    help="How much of the text the terminal shows.",
)
@click.option("--width", type=click.IntRange(min=20), help="Columns. Default: those of the terminal.")
def show(
    source: str, views: tuple[str, ...], edit: str | None, bits: bool, run: Path | None, output: Path | None, force: bool,
    max_bytes: int, width: int | None,
) -> None:  # fmt: skip
    """What a view does to SOURCE: a file, - for standard input, or the text itself.

    \b
    proxyc show 'def f(x): return x'                pieces in alternating colours
    proxyc show a.py --view bpe:merges=256 --edit   what changes if one character goes
    proxyc show a.py --run run -o page.html         views side by side, and which bytes cost what
    proxyc show 'a text' -o picture.svg             the picture of a terminal
    """
    from compressors.show.cut import edited, visible
    from compressors.show.terminal import drawn

    data = _text(source)
    cuts = [_cut(view, data) for view in views or _VIEWS]
    after = None if edit is None else edited(data, edit)
    edits = [] if after is None else [_cut(view, after) for view in views or _VIEWS]
    costs = _costs(data, neural=bits or (output is not None and output.suffix == ".html"), run=run)
    if output is not None:
        _write(output, force, cuts, edits, costs)
        return
    if edit == "" and after is not None:
        at = next((i for i, (old, new) in enumerate(zip(data, after, strict=False)) if old != new), len(after))
        click.echo(f"--edit takes out {visible(data[at : at + len(data) - len(after)])}, byte {at:,}", err=True)
    if sys.stdout is None:
        raise InputError("standard output is closed; write a page with -o page.html")
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    # A terminal that reports no columns has 80.
    columns = width or (shutil.get_terminal_size().columns if sys.stdout.isatty() else 80)
    click.echo(drawn(cuts, edits, costs, width=columns, colour=colour, most=max_bytes), nl=False, color=colour)


def _text(source: str) -> bytes:
    """The bytes of a file or of standard input, or the argument itself. Raises `InputError`."""
    if source == "-":
        return sys.stdin.buffer.read()
    if not os.path.exists(source):
        # A name with a suffix and no white space was meant as a file, and is not there.
        if re.fullmatch(r"[\w./-]+\.\w{1,5}", source):
            raise InputError(
                f"{source}: there is no such file; to show a text give it with a blank or by standard input (-)"
            )
        return os.fsencode(source)
    if os.path.isdir(source):
        raise InputError(f"{source} is a folder; name one file of it")
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {source}: {error.strerror}") from error


def _cut(view: str, data: bytes) -> Cut:
    """A text as a view cuts it: a codec's spec, with merges=K as the view of a store has it."""
    match = _WITH_MERGES.fullmatch(view)
    if match is None and re.search(r":bags=\d+$", view):
        raise InvalidConfig(
            f"--view {view}: show draws the pieces of a codec, and of the ways to read a view only NAME:merges=K"
        )
    cut = Cut.of(registry.parse(match["codec"] if match else view), data, match["codec"] if match else view)
    return cut.with_merges(int(match["merges"])) if match else cut


def _costs(data: bytes, *, neural: bool, run: Path | None) -> list[tuple[str, Any]]:
    """Name and (n,) bits of each byte: under the neural codec, and under a run's model."""
    costs = []
    if neural:
        codec: Any = registry.get("neural")
        costs.append(("neural codec", codec.costs(data)))
    if run is not None:
        from proxylm.evaluation.byte_costs import byte_costs
        from proxylm.trained import open_run

        trained = open_run(run)
        trained.warn_without_bytes()
        costs.append((str(run), byte_costs(trained.model, trained.config, data)))
    return costs


def _write(output: Path, force: bool, cuts: list[Cut], edits: list[Cut], costs: list[tuple[str, Any]]) -> None:
    """Write the page or the picture. Raises `InputError` if it is there already, `InvalidConfig` for another suffix."""
    from compressors.show.page import page
    from compressors.show.terminal import picture

    if not output.parent.is_dir():
        raise InputError(f"cannot write {output}: its folder does not exist; make it first")
    if output.exists() and not force:
        raise InputError(f"{output} exists already; use --force to replace it")
    drawing = {".html": page, ".svg": picture}.get(output.suffix)
    if drawing is None:
        raise InvalidConfig(f"-o {output}: name it *.html for a page, *.svg for a picture")
    write_atomically(output, drawing(cuts, edits, costs).encode())
    click.echo(
        f"{output}: {counted(len(cuts), 'view')} of {counted(len(cuts[0].data), 'byte')}; open it in a browser",
        err=True,
    )
