"""What a compressor does to a model: the same model and compute, trained on different views, read in bits per byte."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compressors.base import Compressor
from proxylm.config import RunConfig
from proxylm.evaluate import Result, evaluate, trained_window
from proxylm.store import Store
from proxylm.train import load_run, train


@dataclass(frozen=True)
class Arm:
    """One way to train, and the view it is read in."""

    name: str
    config: RunConfig
    reads: str  # "raw", or the compressed view of the store


@dataclass(frozen=True)
class Outcome:
    """What came of an arm."""

    arm: Arm
    result: Result
    flops: float
    symbols: int
    n_bytes: float  # of text shown in training
    steps: int
    seconds: float


def run_arm(
    arm: Arm,
    store: Store,
    folder: Path,
    codecs: dict[str, Compressor],
    documents: Sequence[bytes],
    report: Callable[[dict[str, Any]], None],
) -> Outcome:
    """Train the arm (or go on with it) and evaluate it on `documents`."""
    train(store, arm.config, folder, report=report)
    model, config = load_run(folder)
    codec = codecs[arm.reads] if arm.reads != "raw" else None
    result = evaluate(model, documents, window=trained_window(config), codec=codec)
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return Outcome(
        arm,
        result,
        flops=sum(r["flops"] for r in records),
        symbols=sum(sum(r["symbols"].values()) for r in records),
        n_bytes=sum(sum(r["bytes"].values()) for r in records),
        steps=len(records),
        seconds=sum(r["seconds"] for r in records),
    )


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as a Markdown table."""
    lines = [
        "| trained on | read as | bits per byte (95 %) | FLOPs | bytes shown | bytes per symbol | steps | seconds |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for o in outcomes:
        low, high = o.result.interval()
        lines.append(
            f"| {o.arm.name} | {o.arm.reads} | {o.result.bits_per_byte:.3f} ({low:.3f}-{high:.3f}) | {o.flops:.3g} | "
            f"{o.n_bytes:,.0f} | {o.n_bytes / o.symbols:.2f} | {o.steps} | {o.seconds:.0f} |"
        )
    return "\n".join(lines)
