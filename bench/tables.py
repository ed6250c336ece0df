"""Results of `proxyc bench downstream` and `codecs`, read and put into Markdown tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from compressors.errors import InputError
from proxylm.evaluate import resampled

RESULT = "result.json"  # of a run, in its folder


def collect(output: Path) -> list[dict[str, Any]]:
    """All results below a folder, sorted by name."""
    return [json.loads(path.read_bytes()) for path in sorted(output.glob(f"*/{RESULT}"))]


def read(path: Path) -> list[dict[str, Any]]:
    """The runs in a results.json of `proxyc bench downstream`. Raises `InputError` if it is none."""
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}); give a results.json of `proxyc bench downstream`") from error
    if not isinstance(found, list) or not all(isinstance(r, dict) and "evaluation" in r for r in found):
        raise InputError(f"{path} holds no runs; give a results.json of `proxyc bench downstream`")
    return found


def runs(results: Sequence[dict[str, Any]], against: str = "") -> str:
    """Markdown: bits per byte, how that differs from the first run of its width on the same documents, what it took.

    The first is that of the arm `against`, if that is given.
    """
    lines = [
        "| run | read as | bits per byte (95 %) | against the first (95 %, paired) | FLOPs | symbols | bytes shown | bytes per symbol |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for r in results:
        low, high = r["evaluation"]["interval_95"]
        t, first = r["totals"], _first_alike(r, results, against)
        lines.append(
            f"| {r['name']} | {r['reads']} | {r['evaluation']['bits_per_byte']:.4f} ({low:.3f}-{high:.3f}) | {_against(r, first)} | "
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


def arms(results: Sequence[dict[str, Any]], against: str = "") -> str:
    """Markdown: the arms over their seeds, against the first arm of their width with the same seeds, what a run took.

    The interval is that of a bootstrap over the documents, each with the bits of all seeds.
    """
    lines = [
        "| arm | seeds | bits per byte, mean (range) | against the first (95 %, paired) | by seed | FLOPs | symbols | bytes shown | seconds |",
        "|---|---:|---:|---:|---|---:|---:|---:|---:|",
    ]
    if not results:
        return "\n".join(lines)
    by_arm: dict[str, dict[int, dict[str, Any]]] = {}
    for r in results:
        by_arm.setdefault(r["name"].rpartition("-s")[0], {})[r["config"]["train"]["seed"]] = r
    for name, runs in by_arm.items():
        rival = _first_alike(next(iter(runs.values())), results, against)["name"].rpartition("-s")[0]
        first = by_arm[rival]
        bits = [r["evaluation"]["bits_per_byte"] for r in runs.values()]
        common = [seed for seed, r in sorted(first.items()) if seed in runs and _alike(r, runs[seed], first)]
        here, there = (_summed([found[seed] for seed in common]) for found in (runs, first))
        by_seed = ", ".join(
            f"{runs[seed]['evaluation']['bits_per_byte'] / first[seed]['evaluation']['bits_per_byte'] - 1:+.1%}"
            for seed in common
        )
        took = [np.mean([r["totals"][key] for r in runs.values()]) for key in ("symbols", "bytes", "seconds")]
        lines.append(
            f"| {name} | {len(runs)} | {np.mean(bits):.4f} ({min(bits):.3f}-{max(bits):.3f}) | "
            f"{'-' if runs is first or not common else _against(here, there)} | {'-' if runs is first else by_seed} | "
            f"{next(iter(runs.values()))['totals']['flops']:.3g} | "
            + " | ".join(f"{value:,.0f}" for value in took)
            + " |"
        )
    return "\n".join(lines)


def _first_alike(run: dict[str, Any], results: Sequence[dict[str, Any]], against: str = "") -> dict[str, Any]:
    """The first of the results whose model is as wide, and whose arm is `against`; the run itself if there is none."""
    wide = (r for r in results if r["config"]["model"]["d_model"] == run["config"]["model"]["d_model"])
    return next((r for r in wide if r["name"].startswith(f"{against}-" if against else "")), run)


def _alike(one: dict[str, Any], other: dict[str, Any], first: dict[int, dict[str, Any]]) -> bool:
    """Were both scored on the documents that the first arm was scored on?"""
    documents = next(iter(first.values()))["document_bytes"]
    return bool(one["document_bytes"] == other["document_bytes"] == documents)


def _summed(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The bits of several runs on the same documents as if they were of one."""
    return {
        "document_bytes": [r["document_bytes"] for r in runs],
        "document_bits": np.sum([r["document_bits"] for r in runs], 0).tolist(),
    }


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
@click.option("--against", default="", metavar="ARM", help="Set runs against this arm, not the first.")
def main(results: tuple[Path, ...], against: str) -> None:
    """Tables of each results.json of `downstream`: runs, arms over their seeds, hours of training."""
    hours = 0.0
    for path in results:
        found = read(path)
        click.echo(runs(found, against) + "\n\n" + arms(found, against) + "\n")
        hours += sum(r["totals"]["seconds"] for r in found) / 3600
    click.echo(f"{hours:.1f} hours of training")
