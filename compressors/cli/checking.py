"""`proxyc test | inspect`: the commands on files that write none."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from compressors import files
from compressors.artifact import ASSETS, FORMAT, Artifact
from compressors.cli.files import CODEC, LONG, MAX_OUTPUT, QUIET, RECURSIVE, SOURCES, THREADS, n_threads, reader
from compressors.cli.many_files import Say, despite_errors, side_by_side, taken
from compressors.cli.options import ArtifactPath
from compressors.cli.printing import columns, on_terminal
from compressors.cli.progress import progress
from compressors.cli.shown import shown


@click.command()
@SOURCES
@CODEC
@LONG
@MAX_OUTPUT
@RECURSIVE
@THREADS
@QUIET
def test(
    source: tuple[Path, ...], codec: str | None, window: int | None, max_output: int | None, recursive: bool,
    threads: int, quiet: bool,
) -> None:  # fmt: skip
    """Decompress each SOURCE to nowhere and check every checksum.

    Exit codes: 0 all sound, 1 one is not (the others are still tested), 2 wrong usage.
    """
    chosen = reader(codec, window)

    def one(path: Path, bar: files.Progress | None, of_file: int) -> None:
        size = path.stat().st_size if path.is_file() else None
        with nullcontext(bar) if bar else progress(path.name, size, quiet=quiet) as told:
            size = files.check_file(path, codec=chosen, threads=of_file, max_output=max_output, progress=told)
        if not quiet:
            click.echo(shown(f"{path}: sound, {size:,} bytes"))

    paths, skipped = taken(source, recursive, files.is_compressed)
    failed = side_by_side(one, paths, n_threads(threads), quiet=quiet)
    Say(quiet, False, packs=False).total(skipped)
    if failed:
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("source", nargs=-1, required=True, type=ArtifactPath())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(source: tuple[Path, ...], as_json: bool) -> None:
    """What each SOURCE says of itself. Decodes nothing.

    Of a compressed file the format, of .pxc also codec, configuration, blocks; of an artifact (.pxa) its card: what it
    was fitted on. An artifact may be on the hub: hf://user/repo.
    """

    def one(path: Path) -> None:
        found = artifact_facts(path) if path.suffix == ".pxa" else files.inspect(path)
        facts = {"file": str(path)} | found if len(source) > 1 else found
        if as_json:
            click.echo(json.dumps(facts, indent=1))
            return
        card = facts.pop("card", None)
        _print(facts)
        if card is not None:
            click.echo("what it was fitted on:" if card else "what it was fitted on is not recorded")
            _print(card, "  ")

    if despite_errors(one, source):
        raise click.exceptions.Exit(1)


def artifact_facts(path: Path) -> dict[str, Any]:
    """Codec, fingerprint and sizes of an artifact, and its card; of one that comes with the package also how many
    packages it was fitted on. Raises `InputError`, `InvalidConfig`.
    """
    artifact = Artifact.load(path)
    card, ours = dict(artifact.card), ASSETS / path.name
    if ours.exists() and Artifact.packaged(path.stem) == artifact:
        listed = (ASSETS / "sources.tsv").read_text(encoding="utf-8").splitlines()
        card |= {"packages": len(listed) - 1, "list_of_packages": f"{ASSETS / 'sources.tsv'}, with their licences"}
    return {
        "format": f"artifact, version {FORMAT}",
        "codec": artifact.codec,
        "fingerprint": artifact.fingerprint,
        "file_bytes": path.stat().st_size,
        "arrays": len(artifact.arrays),
        "array_bytes": sum(array.nbytes for array in artifact.arrays.values()),
        "card": card,
    }


def _print(facts: Mapping[str, Any], indent: str = "") -> None:
    """A line for each fact; long ones continue below themselves on a terminal."""
    for key, value in facts.items():
        label = f"{indent}{key:<16} "
        text = f"{value:,}" if isinstance(value, int) else shown(value)
        lines = (
            textwrap.wrap(text, max(20, columns() - len(label)), break_on_hyphens=False, break_long_words=False)
            if on_terminal()
            else [text]
        )
        click.echo(label + f"\n{' ' * len(label)}".join(lines or [""]))
