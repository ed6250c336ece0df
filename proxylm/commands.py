"""`proxyc train | eval | generate`: parse and print; torch is imported by the commands that need it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from compressors import registry
from compressors.documents import Reader

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("store", type=PATH)
@click.option("-o", "--output", "run", required=True, type=PATH, help="Folder of the run; an interrupted one goes on.")
@click.option("--recipe", help="raw, comp, proxy (the published schedule) or comp-then-raw.")
@click.option("--view", help="The compressed view: NAME, NAME:level=K or NAME:bags=N.")
@click.option("--steps", type=int, help="Length of the run, or:")
@click.option("--flops", type=float, help="as many steps as fit into these FLOPs.")
@click.option("--seed", type=int)
@click.option("--config", type=PATH, help="Settings as .toml or .json: sections train, model, mix.")
@click.option(
    "--set", "assignments", multiple=True, metavar="SECTION.KEY=VALUE", help="One setting, e.g. model.d_model=256."
)
@click.option("-q", "--quiet", is_flag=True)
def train(
    store: Path, run: Path, recipe: str | None, view: str | None, steps: int | None, flops: float | None, seed: int | None,
    config: Path | None, assignments: tuple[str, ...], quiet: bool,
) -> None:  # fmt: skip
    """Train on the view store STORE. Start it with `torchrun -m proxylm.cli train ...` for several processes."""
    from proxylm import config as configs
    from proxylm import train as training
    from proxylm.store import Store

    settings = configs.load(config) if config else {}
    for section, key, value in (
        ("mix", "recipe", recipe), ("mix", "view", view), ("train", "steps", steps), ("train", "flops", flops), ("train", "seed", seed),
    ):  # fmt: skip
        if value is not None:
            settings.setdefault(section, {})[key] = value
    for assignment in assignments:
        configs.override(settings, assignment)
    settings.setdefault("train", {})
    chosen = configs.from_mapping(configs.RunConfig, settings)
    with training.Place.here() as place, _training_bar(quiet or place.rank != 0) as report:
        training.train(Store.open(store), chosen, run, report=report, place=place)
    if place.rank == 0:
        done = training.totals(run)
        click.echo(f"{run}: {done['steps']} steps, {done['flops']:.3g} FLOPs, {done['bytes']:,.0f} bytes of text shown")


@contextmanager
def _training_bar(quiet: bool) -> Iterator[Any]:
    """A progress bar with ETA and loss on standard error, where that is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda record: None
        return
    state: dict[str, Any] = {}

    def report(record: dict[str, Any]) -> None:
        bar = state.get("bar")
        if bar is None:
            bar = click.progressbar(length=record["steps"], file=sys.stderr, show_pos=True, item_show_func=str)
            state["bar"] = bar.__enter__()
            bar.update(record["step"])
        bar.update(1, f"{record['loss']:.3f} bits/symbol")

    try:
        yield report
    finally:
        if "bar" in state:
            state["bar"].__exit__(None, None, None)


@click.command("eval")
@click.argument("run", type=PATH)
@click.argument("corpus", nargs=-1, required=True, type=PATH)
@click.option("--codec", help="Score the compressed view of this codec instead of raw bytes, e.g. bpe=FILE.")
@click.option("--window", type=click.IntRange(min=2), help="Context in bytes; default: what the run was trained with.")
@click.option("--max-bytes", type=click.IntRange(min=1), help="Stop after the first documents that hold so many bytes.")
@click.option(
    "--field", "text_field", default="text", show_default=True, help="Field of .jsonl records that holds the text."
)
@click.option("--glob", "pattern", default="*", show_default=True, help="Which files of a folder to read.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    run: Path, corpus: tuple[Path, ...], codec: str | None, window: int | None, max_bytes: int | None, text_field: str,
    pattern: str, as_json: bool,
) -> None:  # fmt: skip
    """Bits per byte of the model in RUN on the documents of CORPUS, with a 95 % bootstrap interval."""
    from proxylm import evaluate as evaluation
    from proxylm import train as training

    model, config = training.load_run(run)
    chosen = registry.parse(codec) if codec else None
    view = training.view_of(run, chosen) if chosen is not None else None
    reader = Reader(list(corpus), text_field=text_field, pattern=pattern)
    documents: list[bytes] = []
    size = 0
    for document in reader:
        if max_bytes is not None and size >= max_bytes:
            break
        documents.append(document.data)
        size += len(document.data)
    if reader.n_bad:
        click.echo(reader.bad_records, err=True)
    window = window or evaluation.trained_window(config)
    result = evaluation.evaluate(model, documents, window=window, codec=chosen, view=view)
    found = result.to_json()
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    low, high = found["interval_95"]
    click.echo(
        f"{found['bits_per_byte']:.4f} bits per byte [{low:.4f}, {high:.4f}] on {found['documents']} documents, {found['bytes']:,} bytes"
    )
    click.echo(f"of which the ends of the documents: {found['end_bits_per_document']:.2f} bits each")


@click.command()
@click.argument("run", type=PATH)
@click.argument("prompt")
@click.option("--max-bytes", default=200, show_default=True, type=click.IntRange(min=1))
@click.option("--temperature", default=0.8, show_default=True, type=float, help="0 is greedy.")
@click.option("--top-p", default=0.95, show_default=True, type=float)
@click.option("--seed", default=0, show_default=True, type=int)
def generate(run: Path, prompt: str, max_bytes: int, temperature: float, top_p: float, seed: int) -> None:
    """Continue PROMPT with the model in RUN; writes the prompt and what follows, as bytes."""
    from proxylm import evaluate as evaluation
    from proxylm import generate as generation
    from proxylm import train as training

    model, config = training.load_run(run)
    start = prompt.encode("utf-8", "surrogateescape")
    continuation = generation.generate(
        model, start, max_bytes=max_bytes, context=evaluation.trained_window(config),
        temperature=temperature, top_p=top_p, seed=seed,
    )  # fmt: skip
    sys.stdout.buffer.write(start)
    for byte in continuation:
        sys.stdout.buffer.write(bytes([byte]))
        sys.stdout.buffer.flush()
    sys.stdout.buffer.write(b"\n")
