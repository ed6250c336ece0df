"""`proxyc bench codecs`: every registered compressor and its peers on any corpus, side by side.

Each is measured in a process of its own, in turns: sizes, stability and memory once, speeds in every round (medians).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from bench import isolated
from bench.codecs import encoders, measure, peers, stability
from bench.measuring import OutputFile, environment
from bench.report import tables
from compressors import registry
from compressors.atomic import write_atomically
from compressors.corpus import Reader, fingerprint, take
from compressors.errors import InputError, ProxycError, in_one_line

PATH = click.Path(path_type=Path, exists=True)
_IDS = tuple(name for name in encoders.versions() if name != "proxyc")  # other encoders of the ids of `bpe`


@click.command("codecs")
@click.argument("corpus", nargs=-1, required=True, type=PATH)
@click.option(
    "--codec", "given", multiple=True, metavar="[NAME@]CODEC", help="One more, e.g. bpe=FILE or zstd:level=19."
)
@click.option("--only", is_flag=True, help="Only those given with --codec.")
@click.option(
    "--max-bytes",
    type=click.IntRange(1),
    default=5_000_000,
    show_default=True,
    help="Stop after the first documents that hold so many.",
)
@click.option("-T", "--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads for encoding.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Times that speeds are measured.")
@click.option("-o", "--output", type=OutputFile(), help="Write OUTPUT.json and OUTPUT.md.")
def command(
    corpus: tuple[Path, ...], given: tuple[str, ...], only: bool, max_bytes: int, threads: int, rounds: int, output: Path | None,
) -> None:  # fmt: skip
    """Ratio, speed, memory and stability of all compressors, plugins included, and of what is installed of their peers."""
    documents = _documents(corpus, max_bytes)
    if not any(documents):
        raise InputError(f"no document of {', '.join(map(str, corpus))} has a byte to measure; give others")
    names = list(given) if only else [*stability.default_codecs(), *given, *(p.name for p in peers.general()), *_IDS]
    arguments = ["--max-bytes", str(max_bytes), "--threads", str(threads), *map(str, corpus)]
    rows: dict[str, list[dict[str, Any]]] = {}
    for turn in range(rounds):
        for name in names if turn == 0 else rows:
            click.echo(f"round {turn + 1} of {rounds}: {name}", err=True)
            speed_only = ["--speed-only"] if turn else []
            found = isolated.answer("bench.codecs.command", name, *arguments, *speed_only, threads=threads)
            if isinstance(found, str):
                click.echo(f"{name}: {'left out' if turn == 0 else 'this round left out'}: {found}", err=True)
            else:
                rows.setdefault(name, []).append(found)
    if not rows:
        raise InputError(f"nothing could be measured of {', '.join(names) or 'no codec'}; name one with --codec")
    facts = {
        "rows": [measure.finished(found[0], found) for found in rows.values()],
        "environment": environment(),
        "peers": encoders.versions(),
        "threads": threads,
        "rounds": rounds,
        "stability": f"{measure.TEXTS} documents of up to {measure.LONGEST} characters",
        "corpus": [path.name for path in corpus],
        "documents": len(documents),
        "bytes": sum(map(len, documents)),
        "corpus_sha256": fingerprint(documents),
    }
    click.echo(tables.codecs_described(facts))
    if output:
        write_atomically(output.with_name(output.name + ".json"), (json.dumps(facts, indent=1) + "\n").encode())
        write_atomically(output.with_name(output.name + ".md"), (tables.codecs_described(facts) + "\n").encode())


def _documents(corpus: tuple[Path, ...], max_bytes: int) -> list[bytes]:
    """The first documents, until they hold `max_bytes`."""
    return [document.data for document in take(Reader(corpus), max_bytes)]


@click.command()
@click.argument("name")
@click.argument("corpus", nargs=-1, type=PATH)
@click.option("--max-bytes", type=int)
@click.option("--threads", type=int)
@click.option("--speed-only", is_flag=True)
def child(name: str, corpus: tuple[Path, ...], max_bytes: int, threads: int, speed_only: bool) -> None:
    """One compressor; prints JSON."""
    documents = _documents(corpus, max_bytes)
    general = {coder.name: coder for coder in peers.general()}
    if name in general:
        row = measure.of_peer(general[name], documents, speed_only=speed_only)
    elif name in _IDS:
        row = measure.of_encoder(name, documents, threads)
    else:
        try:
            given, codec = registry.parse_named(name)
        except ProxycError as error:
            raise click.ClickException(in_one_line(error)) from error  # its last line is what the parent passes on
        row = measure.of_codec(codec, documents, threads, speed_only=speed_only)
        name = given if name.startswith(f"{given}@") else name
    click.echo(json.dumps({"name": name, "bytes": sum(map(len, documents))} | row))


if __name__ == "__main__":
    child()
