"""`proxyc bench codecs`: every registered compressor and its peers on any corpus, side by side.

Each is measured in a separate process, in turns: sizes, stability and memory once, speeds in every
round (medians).
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Collection
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

import click

from bench import isolated
from bench.codecs import encoders, measure, peers, stability, table
from bench.measuring import described, timed
from bench.measuring import documents as read
from bench.output import as_json, output, write_json
from compressors import registry
from compressors.atomic import write_atomically
from compressors.cli.printing import forms, put
from compressors.cli.progress import progress
from compressors.errors import InputError, MissingExtra, ProxycError

PATH = click.Path(path_type=Path, exists=True)
SLOW = 60.0  # seconds; what takes longer than that in the first round is not measured again
# Other encoders of the ids of `bpe`
_IDS = tuple(name for name in encoders.versions() if name != "proxyc")
_OF_FILES = ("compress_s", "decompress_s", "peak_mb", "model_bytes", "document_bits_per_byte", "whole_bits_per_byte")


@click.command("codecs")
@click.argument("corpus", nargs=-1, required=True, type=PATH)
@click.option(
    "--codec", "given", multiple=True, metavar="[NAME@]CODEC", help="One more, e.g. bpe=FILE or zstd:level=19."
)
@click.option("--only", is_flag=True, help="Only those given with --codec.")
@click.option("--except", "left_out", multiple=True, metavar="NAME", help="Not these; * and ? stand for any letters.")
@click.option(
    "--measure", "sections", multiple=True, type=click.Choice(measure.SECTIONS), help="Only these; default: all."
)
@click.option(
    "--max-bytes",
    type=click.IntRange(1),
    default=5_000_000,
    show_default=True,
    help="Stop once documents with this number of bytes are read.",
)
@click.option("-T", "--threads", type=click.IntRange(1), default=1, show_default=True, help="Threads for encoding.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Times that speeds are measured.")
@forms
@output(help="Write OUTPUT.json and OUTPUT.md.", beside=(".json", ".md"))
def codecs(
    corpus: tuple[Path, ...], given: tuple[str, ...], only: bool, left_out: tuple[str, ...], sections: tuple[str, ...],
    max_bytes: int, threads: int, rounds: int, form: str | None, output: Path | None,
) -> None:  # fmt: skip
    """Ratio, speed, memory and stability of all compressors, plugins included, and of what is
    installed of their peers.
    """
    sections = sections or measure.SECTIONS
    if "stability" in sections and importlib.util.find_spec("rapidfuzz") is None:
        others = " ".join(f"--measure {name}" for name in measure.SECTIONS if name != "stability")
        raise MissingExtra(f"stability needs rapidfuzz: pip install 'proxyc[bench]'; or leave it out with {others}")
    documents = read(corpus, max_bytes)
    if not any(documents):
        raise InputError(f"no document of {', '.join(map(str, corpus))} has a byte to measure; give others")
    names = list(given) if only else [*stability.default_codecs(), *given, *(p.name for p in peers.general()), *_IDS]
    names = [name for name in names if not any(fnmatchcase(name, pattern) for pattern in left_out)]
    asked = {"corpus": [str(path) for path in corpus], "max_bytes": max_bytes, "n_threads": threads}
    rows = _measured(names, sections, rounds, asked)
    if not rows:
        raise InputError(f"nothing could be measured of {', '.join(names) or 'no codec'}; name one with --codec")
    facts = as_json(
        "codecs", rows, peers=encoders.versions(), threads=threads, rounds=rounds,
        stability=f"{measure.TEXTS} documents of up to {measure.LONGEST} characters", **described(corpus, documents),
    )  # fmt: skip
    tables = [table.one(rows)] if form == "csv" else table.codecs(rows)
    put(form, *tables, table.measured_on(facts), data=facts)
    if output:
        write_json(output.with_name(output.name + ".json"), facts)
        write_atomically(output.with_name(output.name + ".md"), (table.described(facts) + "\n").encode())


def _measured(names: list[str], sections: Collection[str], rounds: int, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each codec that can be measured.

    Files that two codecs write alike are measured of the first.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    same_files = _same_files(names) if "files" in sections else {}
    slow = set[str]()
    with progress("bench codecs", rounds * len(names), unit="measurements") as told:
        for turn, name in itertools.product(range(rounds), names):
            if turn == 0 or (name in found and name not in slow):
                told(0, f"round {turn + 1}: {name}")
                own = [section for section in sections if section != "files" or name not in same_files]
                more = asked | {"sections": own, "speed_only": turn > 0}
                row, seconds = timed(partial(_answer, name, **more))
                if isinstance(row, str):
                    told.say(f"{name}: {'left out' if turn == 0 else 'this round left out'}: {row}")
                else:
                    found.setdefault(name, []).append(row)
                slow |= {name} if seconds > SLOW else set()
            told(1)
    for name, other in same_files.items():
        if name in found and other in found:
            for row, of_other in zip(found[name], found[other], strict=False):
                row |= {key: of_other[key] for key in _OF_FILES if key in of_other}
    return [measure.finished(each[0], each) | {"rounds": len(each)} for each in found.values()]


def _answer(name: str, n_threads: int, **asked: Any) -> Any:
    """What `child` finds in a separate process, or why it found nothing."""
    return isolated.answer("bench.codecs.command:child", threads=n_threads, name=name, n_threads=n_threads, **asked)


def _same_files(names: list[str]) -> dict[str, str]:
    """Name -> an earlier one that writes the same files."""
    first: dict[str, str] = {}
    found: dict[str, str] = {}
    for name in names:
        try:
            key = measure.stream_key(registry.parse_named(name)[1])
        except ProxycError:  # a peer; or it is said when it is measured
            continue
        if first.setdefault(key, name) != name:
            found[name] = first[key]
    return found


def child(
    name: str, corpus: list[str], max_bytes: int, n_threads: int, sections: list[str], speed_only: bool
) -> dict[str, Any]:
    """The row of one compressor. Runs in a separate process."""
    documents = read([Path(path) for path in corpus], max_bytes)
    general = {coder.name: coder for coder in peers.general()}
    if name in general:
        row = measure.of_peer(general[name], documents, speed_only=speed_only)
    elif name in _IDS:
        row = measure.of_encoder(name, documents, n_threads)
    else:
        given, codec = registry.parse_named(name)
        row = measure.of_codec(codec, documents, n_threads, sections, speed_only=speed_only)
        name = given if name.startswith(f"{given}@") else name
    return {"name": name, "bytes": sum(map(len, documents))} | row
