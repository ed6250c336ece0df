"""Has a model learnt to copy? Random letters, and the same letters again: how many of the second
are its likeliest bytes.

    proxyc bench copying RUN... [-o RESULT.json]

The loss of a small model falls steeply when it begins to copy from its context (induction heads,
arXiv 2209.11895). When that happens decides more about a short run than most recipes, so that two
runs can be told apart by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from bench import markdown
from bench.output import as_json, output, write_json
from compressors.cli.printing import forms, put
from proxylm.cli.device_options import scored_on_a_device
from proxylm.data import frame
from proxylm.evaluation.scoring import byte_ids, score
from proxylm.model.decoder import Decoder
from proxylm.trained import open_run

N_TEXTS, N_BYTES = 64, 48


def copying(model: Decoder) -> dict[str, Any]:
    """What a model does with `N_TEXTS` random texts of `N_BYTES` lower-case letters.

    Each text is read once after the opening (`first`), and once after itself and a line end
    (`again`). Of both: `right`, the share of bytes that were the likeliest, and `bits_per_byte`.
    Chance is 1/26 and log2(26) = 4.7.
    """
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
@scored_on_a_device
@forms
@output()
def main(runs: tuple[Path, ...], device: str, dtype: str, form: str | None, output: Path | None) -> None:
    """A row for each run."""
    rows = [{"run": run.name} | copying(open_run(run, device=device, dtype=dtype).model) for run in runs]
    put(form, table(rows), data=rows)
    if output:
        write_json(output, as_json("copying", rows, texts=N_TEXTS, bytes_each=N_BYTES))


def table(rows: Sequence[dict[str, Any]]) -> markdown.Table:
    """A row for each run."""
    heads = ["run", "right the first time", "again", "bits per byte the first time", "again"]
    return markdown.table(heads, map(_cells, rows))


def _cells(row: dict[str, Any]) -> list[str]:
    """One row of `table`."""
    both = (row["first"], row["again"])
    return [
        row["run"],
        *(f"{found['right']:.1%}" for found in both),
        *(f"{found['bits_per_byte']:.2f}" for found in both),
    ]
