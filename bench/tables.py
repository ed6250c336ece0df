"""Results of `proxyc bench downstream` and `codecs`, read and put into Markdown tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from proxylm.evaluate import resampled

RESULT = "result.json"  # of a run, in its folder


def collect(output: Path) -> list[dict[str, Any]]:
    """All results below a folder, sorted by name."""
    return [json.loads(path.read_bytes()) for path in sorted(output.glob(f"*/{RESULT}"))]


def runs(results: Sequence[dict[str, Any]]) -> str:
    """Markdown: bits per byte, how that differs from the first run's on the same documents, and what it took."""
    lines = [
        "| run | read as | bits per byte (95 %) | against the first (95 %, paired) | FLOPs | symbols | bytes shown | bytes per symbol |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for r in results:
        low, high = r["evaluation"]["interval_95"]
        t = r["totals"]
        lines.append(
            f"| {r['name']} | {r['reads']} | {r['evaluation']['bits_per_byte']:.4f} ({low:.3f}-{high:.3f}) | {_against(r, results[0])} | "
            f"{t['flops']:.3g} | {t['symbols']:,.0f} | {t['bytes']:,.0f} | {t['bytes'] / t['symbols']:.2f} |"
        )
    return "\n".join(lines)


def _against(run: dict[str, Any], first: dict[str, Any]) -> str:
    """Bits per byte over those of the first run, with the interval of a bootstrap over the documents of both."""
    if run is first or run["document_bytes"] != first["document_bytes"]:
        return "-"
    bits, others = np.array(run["document_bits"]), np.array(first["document_bits"])
    ratios = [(bits @ times) / (others @ times) - 1 for times in resampled(len(bits))]
    low, high = np.percentile(ratios, [2.5, 97.5])
    return f"{bits.sum() / others.sum() - 1:+.1%} ({low:+.1%} to {high:+.1%})"


COLUMNS = {
    "bits per byte, each document": ("document_bits_per_byte", ".3f"),
    "all in blocks": ("whole_bits_per_byte", ".3f"),
    "with the model": ("with_model", ".3f"),
    "bytes per symbol": ("bytes_per_symbol", ".2f"),
    "vocabulary": ("vocabulary", ",d"),
    "unigram bits per symbol": ("unigram_bits_per_symbol", ".2f"),
    "encode MB/s": ("encode_mb_s", ",.1f"),
    "decode MB/s": ("decode_mb_s", ",.1f"),
    "peak MB": ("peak_mb", ",.0f"),
    "model bytes": ("model_bytes", ",d"),
    "distance at 10 % deletion": ("distance", ".3f"),
    "colliding chunks": ("colliding", ".0%"),
}


def codecs(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table; a dash where a measure does not apply."""
    lines = ["| compressor | " + " | ".join(COLUMNS) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for row in rows:
        values = dict(row)
        if "document_bits_per_byte" in row:
            values["with_model"] = row["document_bits_per_byte"] + 8 * row["model_bytes"] / row["bytes"]
        cells = ["-" if values.get(key) is None else format(values[key], spec) for key, spec in COLUMNS.values()]
        lines.append(f"| {row['name']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


@click.command()
@click.argument("results", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def main(results: tuple[Path, ...]) -> None:
    """Print the table of each results.json of `proxyc bench downstream`."""
    for path in results:
        click.echo(runs(json.loads(path.read_bytes())) + "\n")


if __name__ == "__main__":
    main()
