"""The trainer's speed: beside a plain loop over `transformers`, against the machine's matrix products, and its parts.

python -m bench.speed.train STORE --view VIEW -o bench/results/train_speed.json

Every training is a process of its own with the same rows and shapes; they take turns, and figures are medians of steps.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import torch
import torch.nn.functional as F

from bench.measuring import OutputFile, environment
from bench.speed.train_parts import PARTS
from compressors.atomic import write_atomically
from proxylm.config import MixConfig, ModelConfig, RunConfig, TrainConfig
from proxylm.data.loader import Loader
from proxylm.data.store import Store
from proxylm.training.distributed import Place
from proxylm.training.run_plan import RunPlan
from proxylm.training.trainer import Trainer

WIDTHS = {128: 4, 256: 6, 512: 8}  # d_model -> layers
STEPS, WARM = 6, 3  # measured, after those that compile and fill caches
WAYS = ("transformers", "ours", "ours, compiled")


def _config(width: int, dtype: str, compiled: bool = False) -> RunConfig:
    attention = "bands" if compiled else "sdpa"
    train = TrainConfig(steps=10**6, rows=8, row_length=512, dtype=dtype, compile=compiled, attention=attention)
    model = ModelConfig(d_model=width, n_layers=WIDTHS[width], n_heads=width // 32)
    return RunConfig(train=train, model=model, mix=MixConfig())


def _ours(store: Store, config: RunConfig) -> Callable[[int], float]:
    """A function of a step: its FLOPs."""
    trainer = Trainer(RunPlan.of(store, config), Place(torch.device("cpu")))
    return lambda step: float(trainer.step(step)[0]["flops"])


def _plain(store: Store, config: RunConfig) -> Callable[[int], float]:
    """Qwen3 of the same shape, AdamW, the same rows; as one would write it."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    shape, loader = config.model, Loader(store, config, 10**6 * config.train.rows)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=320, hidden_size=shape.d_model, intermediate_size=shape.ff, num_hidden_layers=shape.n_layers,
            num_attention_heads=shape.n_heads, num_key_value_heads=shape.kv_heads, head_dim=shape.d_model // shape.n_heads,
            tie_word_embeddings=False, use_cache=False,
        )
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def step(number: int) -> float:
        batch = loader.batch(number)
        ids, targets = torch.from_numpy(batch.inputs), torch.from_numpy(batch.targets)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.train.dtype == "bf16"):
            logits = model(input_ids=ids).logits
            loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=-1)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return 0.0

    return step


@click.group()
def main() -> None:
    """Training speed."""


@main.command("run")
@click.argument("store", type=click.Path(path_type=Path, exists=True))
@click.option("--view", required=True, help="A view with a large vocabulary, for the heads.")
@click.option("--rounds", default=3, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("-o", "--output", type=OutputFile(), help="JSON to write.")
def run(store: Path, view: str, rounds: int, threads: int, output: Path | None) -> None:
    """Everything, in turns."""
    steps: list[dict[str, Any]] = []
    for width in WIDTHS:
        for dtype in ("fp32", "bf16"):
            for turn in range(rounds):
                for way in WAYS:
                    found = _child(threads, "step", str(store), str(width), dtype, way)
                    steps.append({"width": width, "dtype": dtype, "way": way, "round": turn} | found)
            click.echo(table(summary(steps)).splitlines()[-1], err=True)
    parts = {name: _child(threads, "part", str(store), view, name) for name in PARTS}
    facts = {
        "threads": threads,
        "rounds": rounds,
        "steps": summary(steps),
        "parts": parts,
        "environment": environment(),
    }
    facts |= {"transformers": version("transformers"), "rows": 8, "row_length": 512}
    click.echo(table(summary(steps)))
    for name, found in parts.items():
        click.echo(f"{name}: {', '.join(f'{key} {value:,.4g}' for key, value in found.items())}")
    if output:
        write_atomically(output, (json.dumps(facts, indent=1) + "\n").encode())


def summary(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each width and type: medians over the rounds."""
    rows = []
    for width, dtype in dict.fromkeys((s["width"], s["dtype"]) for s in steps):
        here = [s for s in steps if (s["width"], s["dtype"]) == (width, dtype)]
        row: dict[str, Any] = {"width": width, "layers": WIDTHS[width], "dtype": dtype}
        for way in WAYS:
            row[way] = statistics.median(s["symbols_per_second"] for s in here if s["way"] == way)
        compiled = [s for s in here if s["way"] == "ours, compiled"]
        row["product_flops"] = statistics.median(s["product_flops"] for s in here)
        row["share"] = statistics.median(s["flops_per_second"] for s in compiled) / row["product_flops"]
        rows.append(row)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "| d | layers | type | transformers, symbols/s | ours | ours, compiled | compiled over transformers | share of the product rate |",
        "|---:|---:|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {r['width']} | {r['layers']} | {r['dtype']} | {r['transformers']:,.0f} | {r['ours']:,.0f} | {r['ours, compiled']:,.0f} | "
        f"{r['ours, compiled'] / r['transformers']:.2f} | {r['share']:.0%} |"
        for r in rows
    ]
    return "\n".join(lines)


def _child(threads: int, *arguments: str) -> dict[str, Any]:
    cores = sorted(os.sched_getaffinity(0))[:threads]
    done = subprocess.run(
        [sys.executable, "-m", "bench.speed.train", *arguments], stdout=subprocess.PIPE, check=True,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)}, preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@main.command("step", hidden=True)
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("width", type=int)
@click.argument("dtype")
@click.argument("way", type=click.Choice(WAYS))
def step(store: Path, width: int, dtype: str, way: str) -> None:
    """Symbols a second of one way to train, and the rate of matrix products in the same process."""
    config, opened = _config(width, dtype, way == WAYS[2]), Store.open(store)
    one = (_plain if way == WAYS[0] else _ours)(opened, config)
    for number in range(WARM):
        one(number)
    seconds, flops = [], 0.0
    for number in range(WARM, WARM + STEPS):
        began = time.perf_counter()
        flops = one(number)
        seconds.append(time.perf_counter() - began)
    middle = statistics.median(seconds)
    found = {"symbols_per_second": 8 * 512 / middle, "flops_per_second": flops / middle}
    click.echo(json.dumps(found | {"product_flops": _product_rate(width, config.model.ff, dtype)}))


def _product_rate(width: int, ff: int, dtype: str) -> float:
    """FLOP/s of the model's own largest product, (rows x length, d) by (d, ff), alone."""
    kind = torch.bfloat16 if dtype == "bf16" else torch.float32
    x, w = torch.randn(8 * 512, width, dtype=kind), torch.randn(width, ff, dtype=kind)
    times = []
    for _ in range(30):
        began = time.perf_counter()
        x @ w
        times.append(time.perf_counter() - began)
    return 2.0 * 8 * 512 * width * ff / statistics.median(times)


@main.command("part", hidden=True)
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("view")
@click.argument("name", type=click.Choice(list(PARTS)))
def part(store: Path, view: str, name: str) -> None:
    """One of the parts."""
    torch.manual_seed(0)
    click.echo(json.dumps(PARTS[name](Store.open(store), view)))


if __name__ == "__main__":
    main()
