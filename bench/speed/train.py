"""The trainer's speed: beside a plain loop over `transformers`, against the machine's matrix
products, and its parts.

    proxyc bench train STORE --view VIEW -o bench/results/train_speed.json

Every training is a separate process with the same rows and shapes; they take turns, and figures are
medians of steps.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import torch
import torch.nn.functional as F

from bench import isolated, markdown
from bench.measuring import rounds, timed
from bench.output import as_json, output, write_json
from bench.speed.train_parts import finish, parts_on
from compressors.cli.printing import forms, put
from compressors.cli.progress import progress
from proxylm.cli.device_options import DEVICE
from proxylm.config import MixConfig, ModelConfig, RunConfig, TrainConfig
from proxylm.data.loader import Loader
from proxylm.data.store import Store
from proxylm.evaluation.placement import device_of
from proxylm.training.distributed import Place
from proxylm.training.precision import resolved
from proxylm.training.run_plan import RunPlan
from proxylm.training.trainer import Trainer

WIDTHS = {128: 4, 256: 6, 512: 8}  # d_model -> layers
STEPS, WARM = 6, 3  # measured, after those that compile and fill caches
ROWS, ROW_LENGTH = 8, 512
DTYPES = ("fp32", "bf16")
WAYS = ("transformers", "ours", "ours, compiled")


def _config(width: int, dtype: str, compiled: bool = False) -> RunConfig:
    """Rows of raw bytes, and a model of this width.

    Without n-grams and offset keys, which Qwen3 has not.
    """
    train = TrainConfig(steps=10**6, rows=ROWS, row_length=ROW_LENGTH, dtype=dtype, compile=compiled)
    model = ModelConfig(d_model=width, n_layers=WIDTHS[width], n_heads=width // 32)
    return RunConfig(train=train, model=model, mix=MixConfig())


def _ours(store: Store, config: RunConfig, device: torch.device) -> Callable[[int], float]:
    """A function of a step: its FLOPs. The attention is the one that fits the device."""
    place = Place(device)
    trainer = Trainer(RunPlan.of(store, resolved(config, place, {})), place)
    return lambda step: float(trainer.step(step)[0]["flops"])


def _plain(store: Store, config: RunConfig, device: torch.device) -> Callable[[int], float]:
    """Qwen3 of the same shape, AdamW, the same rows; as one would write it."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    shape, loader = config.model, Loader(store, config, 10**6 * config.train.rows)
    model: torch.nn.Module = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=320, hidden_size=shape.d_model, intermediate_size=shape.ff, num_hidden_layers=shape.n_layers,
            num_attention_heads=shape.n_heads, num_key_value_heads=shape.kv_heads, head_dim=shape.d_model // shape.n_heads,
            tie_word_embeddings=False, use_cache=False,
        )
    )  # fmt: skip
    model.to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)

    def step(number: int) -> float:
        batch = loader.batch(number)
        ids, targets = (torch.from_numpy(values).to(device) for values in (batch.inputs, batch.targets))
        with torch.autocast(device.type, torch.bfloat16, enabled=config.train.dtype == "bf16"):
            logits = model(input_ids=ids).logits
            loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), ignore_index=-1)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return 0.0

    return step


@click.command()
@click.argument("store", type=click.Path(path_type=Path, exists=True))
@click.option("--view", required=True, help="A view with a large vocabulary, for the heads.")
@click.option("--rounds", "n_rounds", default=3, show_default=True)
@click.option("--threads", default=2, show_default=True)
@DEVICE
@click.option("--dtype", type=click.Choice(DTYPES), help="Of the matrix products; default: one after the other.")
@forms
@output()
def main(
    store: Path, view: str, n_rounds: int, threads: int, device: str, dtype: str | None, form: str | None, output: Path | None
) -> None:  # fmt: skip
    """Everything, in turns."""
    there = device_of(device)
    work = list(itertools.product(WIDTHS, (dtype,) if dtype else DTYPES, range(n_rounds), WAYS))
    steps, names = list[dict[str, Any]](), list(parts_on(there))
    parts = {}
    with progress("train", len(work) + len(names), unit="measurements") as told:
        for width, kind, turn, way in work:
            told(0, f"d = {width}, {kind}, {way}")
            asked = {"store": str(store), "width": width, "dtype": kind, "way": way, "device": str(there)}
            steps.append(asked | {"round": turn} | _child("step", threads, **asked))
            told(1)
        for name in names:
            told(0, name)
            parts[name] = _child("part", threads, store=str(store), view=view, name=name, device=str(there))
            told(1)
    rows = summary(steps)
    words = [
        f"{name}: {', '.join(f'{key} {value:,.4g}' for key, value in found.items())}" for name, found in parts.items()
    ]
    put(form, table(rows), "\n".join(words), data=rows)
    if output:
        facts = {"threads": threads, "device": str(there), "rounds": n_rounds, "parts": parts}
        facts |= {"transformers": version("transformers")}
        write_json(output, as_json("train", rows, **facts, batch_rows=ROWS, row_length=ROW_LENGTH))


def _child(function: str, threads: int, **asked: Any) -> dict[str, Any]:
    """What `step` or `part` finds in a new process.

    An error ends the bench: the table would have a hole.
    """
    found = isolated.answer(f"bench.speed.train:{function}", threads=threads, **asked)
    if isinstance(found, str):
        raise click.ClickException(f"{', '.join(map(str, asked.values()))}: {found}")
    return found


def summary(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each width and type, of medians over the rounds.

    Symbols a second of every way; `product_flops`, the FLOP/s of the model's largest product;
    `share`, how much of that rate the compiled trainer reaches.
    """
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


def table(rows: list[dict[str, Any]]) -> markdown.Table:
    """A row for each width and type."""
    heads = ["d", "layers", "type", "transformers, symbols/s", "ours", "ours, compiled", "compiled over transformers"]
    return markdown.table([*heads, "share of the product rate"], map(_cells, rows), text=3)


def _cells(r: dict[str, Any]) -> list[str]:
    """One row of `table`."""
    ratio, share = f"{r['ours, compiled'] / r['transformers']:.2f}", f"{r['share']:.0%}"
    return [str(r["width"]), str(r["layers"]), r["dtype"], *(f"{r[way]:,.0f}" for way in WAYS), ratio, share]


def step(store: str, width: int, dtype: str, way: str, device: str) -> dict[str, float]:
    """Symbols a second of one way to train, and the rate of matrix products in the same process."""
    config, opened = _config(width, dtype, way == WAYS[2]), Store.open(Path(store))
    there, flops = torch.device(device), 0.0
    train_one = (_plain if way == WAYS[0] else _ours)(opened, config, there)

    def one(number: int) -> float:
        """A whole step."""
        done = train_one(number)
        finish(there)
        return done

    for number in range(WARM):
        one(number)
    seconds = []
    for number in range(WARM, WARM + STEPS):
        flops, taken = timed(partial(one, number))
        seconds.append(taken)
    middle = statistics.median(seconds)
    found = {"symbols_per_second": ROWS * ROW_LENGTH / middle, "flops_per_second": flops / middle}
    return found | {"product_flops": _product_rate(width, config.model.ff, dtype, there)}


def _product_rate(width: int, ff: int, dtype: str, device: torch.device) -> float:
    """FLOP/s of the model's own largest product, (rows x length, d) by (d, ff), alone."""
    kind = torch.bfloat16 if dtype == "bf16" else torch.float32
    x, w = (torch.randn(shape, dtype=kind, device=device) for shape in ((ROWS * ROW_LENGTH, width), (width, ff)))

    def product() -> None:
        """A whole one."""
        torch.matmul(x, w)
        finish(device)

    seconds = rounds({"product": product}, 30)["product"]
    return 2.0 * ROWS * ROW_LENGTH * width * ff / statistics.median(seconds)


def part(store: str, view: str, name: str, device: str) -> dict[str, float]:
    """One of `parts_on` the device, on a store. Its keys are what it measured: seconds, symbols a second, MB."""
    torch.manual_seed(0)
    return parts_on(torch.device(device))[name](Store.open(Path(store)), view)
