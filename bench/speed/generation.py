"""Bytes a second of generation: with and without cache, with and without extra heads, beside
`transformers`.

    proxyc bench generation RUN -o bench/results/generation_speed.json

RUN is a run with extra heads; without one, a small model is trained on the standard library, which
takes a minute of one core, as the rest does. It continues held-out documents in every way, in
turns, in one thread; figures are medians of the turns, seconds are those of the processor (on a
GPU: of the clock).
"""

from __future__ import annotations

import json
import operator
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch

from bench import corpora, markdown
from bench.measuring import rounds as in_turns
from bench.output import as_json, output, write_json
from compressors.cli.printing import forms, put
from compressors.cli.progress import progress
from compressors.errors import InputError
from proxylm.cli.device_options import on_a_device
from proxylm.cli.step_progress import step_progress
from proxylm.config import ModelConfig, RunConfig, TrainConfig
from proxylm.data import frame
from proxylm.data.alphabet import ALLOWED, BYTE_OFFSET
from proxylm.data.encode import encode
from proxylm.evaluation.placement import device_of, placed
from proxylm.generation import Sampling, generate
from proxylm.interop.export import export
from proxylm.model.decoder import Decoder
from proxylm.trained import open_run
from proxylm.training.run_log import records
from proxylm.training.trainer import train

# Prompt and text fit into the 254 bytes of the context
N_PROMPTS, PROMPT_BYTES, NEW_BYTES = 8, 64, 96
PEER, PLAIN, DRAWN = "transformers", "with cache", "temperature 0.8"


class Written(NamedTuple):
    """What one way made of some prompts."""

    texts: list[bytes]  # what follows each prompt
    passes: int  # forward passes over rows: one over eight rows counts eight
    guesses: int = 0  # that were read in them


Way = Callable[[Sequence[bytes]], Written]


@click.command()
@click.argument("run", required=False, type=click.Path(path_type=Path, exists=True))
@click.option("--rounds", default=3, show_default=True)
@on_a_device
@forms
@output()
def main(run: Path | None, rounds: int, device: str, dtype: str, form: str | None, output: Path | None) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    there = device_of(device)  # a wrong one is said before anything is trained
    # While a GPU computes, the processor may rest: its seconds would be too few.
    clock = time.process_time if there.type == "cpu" else time.perf_counter
    with tempfile.TemporaryDirectory() as temporary:
        run = run or _trained(Path(temporary))
        trained = open_run(run, device=device, dtype=dtype)
        if trained.model.heads.ahead is None:
            raise InputError(f"{run} has no extra heads; train it with --set model.n_ahead=4")
        ways = _ways(trained.model, trained.window(), Path(temporary) / "hf", device, dtype)
        prompts = _prompts()
        with progress("write", 2 * len(ways) * (rounds + 1), unit="turns") as told:
            rows = measure(ways, prompts[: N_PROMPTS // 2], 1, rounds, told, clock)
            rows += measure(ways, prompts, N_PROMPTS, rounds, told, clock)
        last = records(run)[-100:]
    losses = {"next": statistics.mean(r["loss"] for r in last)} | {
        head: statistics.mean(r["ahead_bits_per_symbol"][head] for r in last)
        for head in last[0]["ahead_bits_per_symbol"]
    }
    facts = {
        "rounds": rounds, "threads": 1, "device": str(there), "dtype": dtype,
        "prompts": N_PROMPTS, "prompt_bytes": PROMPT_BYTES, "new_bytes": NEW_BYTES,
        "config": json.loads(trained.config.to_json()), "training_bits_per_byte": losses,
        "transformers": version("transformers"),
    }  # fmt: skip
    words = ", ".join(f"{head}: {bits:.3f}" for head, bits in losses.items()) + " bits per byte, last 100 steps"
    put(form, table(rows), words, data=rows)
    if output:
        write_json(output, as_json("generation", rows, **facts))


def _trained(folder: Path) -> Path:
    """A minute of one core: 2.4 bits per byte."""
    train_config = TrainConfig(steps=250, rows=4, row_length=256, checkpoint_every=250)
    config = RunConfig(train=train_config, model=ModelConfig(n_ahead=4))
    with step_progress("train") as report:
        train(encode(corpora.standard_library()[0], folder / "store", {}), config, folder / "run", report=report)
    return folder / "run"


def _prompts() -> list[bytes]:
    """From held-out documents, evenly spread."""
    long = [document.data for document in corpora.standard_library()[1] if len(document.data) > 4 * PROMPT_BYTES]
    return [data[2 * PROMPT_BYTES : 3 * PROMPT_BYTES] for data in long[:: len(long) // N_PROMPTS][:N_PROMPTS]]


def _ways(model: Decoder, context: int, folder: Path, device: str = "cpu", dtype: str = "fp32") -> dict[str, Way]:
    """Greedy, and drawn at temperature 0.8.

    Without extra heads it is the same model with these taken away. device, dtype: those that `model`
    was opened with.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    export(model, folder, context=context + 2)
    peer = placed(AutoModelForCausalLM.from_pretrained(folder), device, dtype)
    plain = Decoder(model.config, model.alphabet)
    plain.load_state_dict(model.state_dict(), strict=False)
    plain.heads.ahead = None
    plain = placed(plain, device, dtype)
    greedy, drawn = (Sampling(max_bytes=NEW_BYTES, temperature=temperature) for temperature in (0.0, 0.8))
    return {
        PEER: lambda prompts: _of_transformers(peer, prompts),
        "without cache": lambda prompts: _without_cache(plain, prompts),
        PLAIN: lambda prompts: _ours(plain, prompts, greedy, context),
        f"{PLAIN}, extra heads": lambda prompts: _ours(model, prompts, greedy, context),
        DRAWN: lambda prompts: _ours(plain, prompts, drawn, context),
        f"{DRAWN}, extra heads": lambda prompts: _ours(model, prompts, drawn, context),
    }


def _ours(model: Decoder, prompts: Sequence[bytes], sampling: Sampling, context: int) -> Written:
    """Our generation. A pass gives one byte of a row, or several with extra heads."""
    texts, passes, guesses = [b""] * len(prompts), 0, 0

    def count(_: Any, ids: tuple[torch.Tensor]) -> None:
        """Before each forward pass, which reads one byte of each row and the guesses; those over prompts are longer."""
        nonlocal guesses
        if ids[0].shape[1] <= 1 + model.config.n_ahead:
            guesses += ids[0][:, 1:].numel()

    hook = model.register_forward_pre_hook(count)
    for number, more in generate(model, prompts, sampling, context=context):
        texts[number] += more
        passes += 1
    hook.remove()
    return Written(texts, passes, guesses)


def _ids(prompts: Sequence[bytes], device: torch.device) -> torch.Tensor:
    """(prompts, positions) int64: the opening of a document, then bytes.

    All prompts have one length.
    """
    rows = [[*frame.opening(), *(byte + BYTE_OFFSET for byte in prompt)] for prompt in prompts]
    return torch.tensor(rows, device=device)


def _text(ids: list[int]) -> bytes:
    """The bytes of ids, up to the end of the document."""
    return bytes(i - BYTE_OFFSET for i in (ids[: ids.index(frame.END)] if frame.END in ids else ids))


def _of_transformers(peer: Any, prompts: Sequence[bytes]) -> Written:
    """Greedy generation with the cache of `transformers`: a pass for each byte."""
    ids = _ids(prompts, peer.device)
    found = peer.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW_BYTES, do_sample=False)
    texts = [_text(row) for row in found[:, ids.shape[1] :].tolist()]
    return Written(texts, sum(map(len, texts)))


@torch.no_grad()
def _without_cache(model: Decoder, prompts: Sequence[bytes]) -> Written:
    """Everything is read again for each byte."""
    device = model.embedding.weight.device
    ids, allowed = _ids(prompts, device), torch.tensor(ALLOWED, device=device)
    for _ in range(NEW_BYTES):
        chosen = allowed[model.heads.raw_logits(model(ids)[:, -1])[:, allowed].argmax(1)]
        ids = torch.cat([ids, chosen[:, None]], 1)
    texts = [_text(row) for row in ids[:, -NEW_BYTES:].tolist()]
    return Written(texts, sum(map(len, texts)))


def measure(
    ways: dict[str, Way],
    prompts: list[bytes],
    batch: int,
    rounds: int,
    told: Callable[[int], None] = lambda n: None,
    clock: Callable[[], float] = time.process_time,
) -> list[dict[str, Any]]:
    """A row for each way: `batch` prompts side by side, all prompts in each round.

    A round before warms up. told: called after each turn of a way.
    """
    written: dict[str, Written] = {}

    def write(way: str) -> None:
        """Write all prompts in one way; keeps what came of it for the comparison."""
        found = [ways[way](prompts[first : first + batch]) for first in range(0, len(prompts), batch)]
        texts = [text for part in found for text in part.texts]
        written[way] = Written(texts, sum(part.passes for part in found), sum(part.guesses for part in found))
        told(1)

    seconds = in_turns({way: partial(write, way) for way in ways}, rounds, warm=1, clock=clock)
    texts = {way: written[way].texts for way in ways}
    sizes = {way: sum(map(len, texts[way])) for way in ways}
    return [
        {
            "batch": batch,
            "way": way,
            "bytes": sizes[way],
            "bytes_per_second": sizes[way] / statistics.median(seconds[way]),
            "over_transformers": statistics.median(
                sizes[way] / s / (sizes[PEER] / of_peer) for s, of_peer in zip(seconds[way], seconds[PEER], strict=True)
            ),
            "bytes_per_pass": sizes[way] / written[way].passes,
            "guesses_per_pass": written[way].guesses / written[way].passes,
            "same_texts": sum(map(operator.eq, texts[way], texts[DRAWN if way.startswith(DRAWN) else PLAIN])),
            "texts": len(prompts),
        }
        for way in ways
    ]


def table(rows: list[dict[str, Any]]) -> markdown.Table:
    """A row for each way and number of texts."""
    heads = [
        "side by side", "", "bytes/s", "over transformers", "guesses read a pass", "bytes a pass",
        "same text as without extra heads",
    ]  # fmt: skip
    return markdown.table(heads, map(_cells, rows), text=2)


def _cells(r: dict[str, Any]) -> list[str]:
    """One row of `table`; guesses are 0 where reading them would not pay. Results of before do not say."""
    guesses = f"{r['guesses_per_pass']:.2f}" if "guesses_per_pass" in r else "-"
    rates = [f"{r['bytes_per_second']:,.0f}", f"{r['over_transformers']:.2f}", guesses, f"{r['bytes_per_pass']:.2f}"]
    return [str(r["batch"]), r["way"], *rates, f"{r['same_texts']} of {r['texts']}"]
