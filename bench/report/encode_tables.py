"""Results of `bench.speed.encode` as the Markdown tables of README.md.

python -m bench.report.encode_tables bench/results
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click


def speed(rows: Sequence[dict[str, Any]]) -> str:
    """MB/s on text that is read for the first time, and for the second; a dash where an encoder was left out."""
    rows = [row for row in rows if "peak" not in row]
    names = list(dict.fromkeys(row["encoder"] for row in rows))
    lines = ["| corpus | MB | threads | " + " | ".join(names) + " |", "|---|---:|---:|" + "---:|" * len(names)]
    found = {(row["corpus"], row["threads"], row["encoder"]): row for row in rows}
    for corpus, threads in dict.fromkeys((row["corpus"], row["threads"]) for row in rows):
        here = [found.get((corpus, threads, name)) for name in names]
        cells = ["-" if r is None else f"{r['unseen_mb_s']:.0f} / {r['repeated_mb_s']:.0f}" for r in here]
        megabytes = next(r["bytes"] for r in here if r is not None) / 1e6
        lines.append(f"| {corpus.partition('.')[0]} | {megabytes:.0f} | {threads} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def worst(rows: Sequence[dict[str, Any]]) -> str:
    """Seconds; what happened where an encoder did not finish."""
    names = list(dict.fromkeys(row["encoder"] for row in rows))
    found = {(row["case"], row["encoder"]): row["outcome"] for row in rows}
    lines = ["| text | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for case in dict.fromkeys(row["case"] for row in rows):
        here = [found[case, name] for name in names]
        cells = [o.partition(" (")[0] if isinstance(o, str) else f"{o['s']:.3f}" for o in here]
        lines.append(f"| {case} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def tables(results: Path) -> list[str]:
    """Both, from the files of a folder."""
    read = {name: json.loads((results / f"encode_{name}.json").read_text())["rows"] for name in ("speed", "speed_large", "worst")}  # fmt: skip
    return [speed(read["speed"] + read["speed_large"]), worst(read["worst"])]


@click.command()
@click.argument("results", type=click.Path(path_type=Path, exists=True))
def main(results: Path) -> None:
    """Print the tables."""
    click.echo("\n\n".join(tables(results)))


if __name__ == "__main__":
    main()
