"""Has a model learnt to copy? Random letters, and the same letters again: how many of the second are its likeliest bytes.

    proxyc bench copying RUN... [-o RESULT.json]

The loss of a small model falls steeply when it begins to copy from its context (induction heads, arXiv 2209.11895). When that
happens decides more about a short run than most recipes, so that two runs can be told apart by it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench.measuring import OutputFile
from compressors.atomic import write_atomically
from proxylm.data import frame
from proxylm.evaluation.scoring import byte_ids, score
from proxylm.model.decoder import Decoder
from proxylm.training.run_folder import load_run

N_TEXTS, N_BYTES = 64, 48


def copying(model: Decoder) -> dict[str, Any]:
    """Share of bytes that are the likeliest, and bits per byte: of random lower-case letters first, and when they come again."""
    draw = np.random.RandomState(0)
    texts = [byte_ids(draw.randint(97, 123, N_BYTES).astype(np.uint8).tobytes()) for _ in range(N_TEXTS)]
    line_end, opened = byte_ids(b"\n"), np.array(frame.opening())
    found = {}
    for name, rows in (
        ("first", [(opened, text) for text in texts]),
        ("again", [(np.concatenate([opened, text, line_end]), text) for text in texts]),
    ):
        nats, right = score(model, rows)
        n_bytes = N_TEXTS * N_BYTES
        found[name] = {"right": int(right.sum()) / n_bytes, "bits_per_byte": float(nats.sum()) / np.log(2) / n_bytes}
    return found


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", type=OutputFile(), help="JSON to write.")
def main(runs: tuple[Path, ...], output: Path | None) -> None:
    """A row for each run."""
    results = {run.name: copying(load_run(run)[0]) for run in runs}
    click.echo(table(results))
    if output:
        write_atomically(output, (json.dumps(results, indent=1) + "\n").encode())


def table(results: dict[str, Any]) -> str:
    """Markdown."""
    lines = [
        "| run | right the first time | again | bits per byte the first time | again |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {name} | {found['first']['right']:.1%} | {found['again']['right']:.1%} | {found['first']['bits_per_byte']:.2f} | "
        f"{found['again']['bits_per_byte']:.2f} |"
        for name, found in results.items()
    ]
    return "\n".join(lines)
