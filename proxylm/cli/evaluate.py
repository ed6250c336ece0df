"""`proxyc eval | generate | export`: what is done with a trained model; torch is imported by the commands that need it."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

import click

from compressors import registry
from compressors.cli.progress import progress
from compressors.cli.shown import shown
from compressors.corpus import Reader, take
from compressors.errors import InputError, counted
from proxylm.cli.device_options import Command, on_a_device
from proxylm.evaluation.metrics import METRICS, Subject

PATH = click.Path(path_type=Path)


def of_a_run(command: Command) -> Command:
    """The argument RUN, and the options that say which of its models is used, where and in which precision."""
    for option in (
        on_a_device,
        click.option("--best", is_flag=True, help="The checkpoint that was best on the held-out documents, not the newest."),
        click.argument("run", type=PATH),
    ):  # fmt: skip
        command = option(command)
    return command


@click.command("eval")
@of_a_run
@click.argument("corpus", nargs=-1, required=True, type=click.Path())
@click.option("--codec", help="Score the compressed view of this codec instead of raw bytes, e.g. bpe=FILE.")
@click.option("--window", type=click.IntRange(min=2), help="Context in bytes; default: what the run was trained with.")
@click.option(
    "--max-bytes", type=click.IntRange(min=1), help="Stop after the first documents that hold this many bytes."
)
@click.option(
    "--field", "text_field", default="text", show_default=True, help="Field of .jsonl records that holds the text."
)
@click.option("--glob", "pattern", default="*", show_default=True, help="Which files of a folder to read.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Files to leave out, e.g. '*.zip'.")
@click.option(
    "--metric", "metrics", multiple=True, type=click.Choice(list(METRICS)),
    help="Also: perturbed (after characters are deleted, case or white space changed, names renamed); "
    "translation (how well bytes are read off the view of --codec in their context).",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    run: Path, best: bool, device: str, dtype: str, corpus: tuple[str, ...], codec: str | None, window: int | None,
    max_bytes: int | None, text_field: str, pattern: str, exclude: tuple[str, ...], metrics: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Bits per byte of the model in RUN on the documents of CORPUS, with a 95 % bootstrap interval."""
    if "translation" in metrics and codec is None:
        raise click.UsageError("--metric translation needs --codec")
    from proxylm.evaluation import bits_per_byte
    from proxylm.trained import open_run

    trained = open_run(run, best=best, device=device, dtype=dtype)
    reading = trained.reading(registry.parse(codec) if codec else None)
    documents = _documents(Reader(corpus, text_field, pattern, exclude=exclude), max_bytes)
    subject = Subject(
        model=trained.model, documents=documents, window=trained.window(window), positions=trained.config.train.row_length, **reading
    )  # fmt: skip
    with progress("eval", None, unit="symbols") as told:
        result = bits_per_byte.evaluate(trained.model, documents, window=subject.window, progress=told.at, **reading)
    figures = result.to_json()
    with progress("eval", len(metrics), unit="metrics") as told:
        for name in metrics:
            told(0, name)
            figures |= METRICS[name](subject, result)
            told(1)
    click.echo(json.dumps(figures, indent=1) if as_json else _in_words(figures))


def _documents(reader: Reader, max_bytes: int | None) -> list[bytes]:
    """The first ones that hold `max_bytes`."""
    documents = [document.data for document in take(reader, max_bytes)]
    if reader.n_bad:
        click.echo(reader.bad_records, err=True)
    return documents


_IN_WORDS = {
    "bits_per_byte", "interval_95", "end_bits_per_document", "documents", "bytes", "bytes_per_symbol",
    "perturbed", "translation", "translation_without_view",
}  # fmt: skip


def _in_words(found: dict[str, Any]) -> str:
    """The figures for people, a line each."""
    several = found["documents"] > 1  # a bootstrap over one document has nothing to draw from
    interval = " [{:.4f}, {:.4f}]".format(*found["interval_95"]) if several else ""
    lines = [
        f"{found['bits_per_byte']:.4f} bits per byte{interval} on {counted(found['documents'], 'document')}, {found['bytes']:,} bytes",
        f"of which the ends of the documents: {found['end_bits_per_document']:.2f} bits each",
    ]
    for name, after in found.get("perturbed", {}).items():
        interval = " [{:+.4f}, {:+.4f}]".format(*after["delta_interval_95"]) if several else ""
        lines.append(f"{name}: {after['bits_per_byte']:.4f}, {after['delta']:+.4f}{interval}")
    for key in ("translation", "translation_without_view"):
        if key in found:
            t = found[key]
            lines.append(
                f"{key.replace('_', ' ')}: {t['byte_accuracy']:.1%} of {t['bytes']:,} bytes, "
                f"{t['exact']:.1%} of {counted(t['documents'], 'document')}, "
                f"{t['bits_per_byte']:.4f} bits per byte"
            )
    # Figures of metrics that have no words here are shown as they are.
    lines += [f"{key}: {json.dumps(value)}" for key, value in found.items() if key not in _IN_WORDS]
    return "\n".join(lines)


@click.command()
@of_a_run
@click.argument("prompt", required=False)
@click.option(
    "--prompts", type=click.File(), help='Many prompts: a .jsonl file, or - for stdin, with a "prompt" a line.'
)
@click.option("--max-bytes", default=200, show_default=True, type=click.IntRange(min=1))
@click.option("--temperature", default=0.8, show_default=True, type=float, help="0 is greedy.")
@click.option("--top-p", default=0.95, show_default=True, type=float, help="Keep the likeliest bytes up to this sum.")
@click.option(
    "--min-p", default=0.0, show_default=True, type=float, help="Drop bytes below this share of the likeliest."
)
@click.option("--stop", multiple=True, metavar="TEXT", help="End before this text; may be given several times.")
@click.option("--seed", default=0, show_default=True, type=int)
@click.option("--bytes", "as_bytes", is_flag=True, help="Write bytes as they are, also where they are not UTF-8.")
def generate(
    run: Path, best: bool, device: str, dtype: str, prompt: str | None, prompts: TextIO | None, max_bytes: int, temperature: float,
    top_p: float, min_p: float, stop: tuple[str, ...], seed: int, as_bytes: bool,
) -> None:  # fmt: skip
    """Continue PROMPT with the model in RUN; writes the prompt and what follows, each character once it is whole.

    With --prompts all are continued side by side, and for each a line of JSON is written: its record with "completion" and
    "finish_reason", which is stop or length.
    """
    if (prompt is None) == (prompts is None):
        raise click.UsageError("give either PROMPT or --prompts")
    records = list(_records(prompts)) if prompts is not None else []
    from proxylm import generation
    from proxylm.trained import open_run

    sampling = generation.Sampling(
        max_bytes=max_bytes, temperature=temperature, top_p=top_p, min_p=min_p, seed=seed, stop=tuple(map(_bytes, stop))
    )
    trained = open_run(run, best=best, device=device, dtype=dtype)
    trained.warn_without_bytes()
    context = trained.window()
    if prompt is None:
        starts = [record["prompt"].encode() for record in records]
        ends = generation.completions(trained.model, starts, sampling, context=context)
        for record, end in zip(records, ends, strict=True):
            click.echo(json.dumps(record | {"completion": end.text, "finish_reason": end.finish_reason}))
        return
    stream = generation.generate(trained.model, [_bytes(prompt)], sampling, context=context)
    pieces = itertools.chain([_bytes(prompt)], (more for _, more in stream), [b"\n"])
    # A terminal obeys control characters: it gets them spelled out.
    keep = "\n\t" if sys.stdout.isatty() else None
    texts = (text if keep is None else shown(text, keep=keep) for text in generation.as_text(pieces))
    for piece in pieces if as_bytes else map(str.encode, texts):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


def _bytes(text: str) -> bytes:
    """An argument as the bytes that the caller gave."""
    return text.encode("utf-8", "surrogateescape")


def _records(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The records of --prompts, each with a text "prompt"; blank lines are none."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            if not isinstance(record, dict) or not isinstance(record.get("prompt"), str):
                raise ValueError('expected an object with a text "prompt"')
            record["prompt"].encode()
        except ValueError as error:
            raise InputError(f"--prompts, line {number}: {error}") from error
        yield record


@click.command()
@of_a_run
@click.argument("folder", metavar="DIR", type=PATH)
@click.option(
    "--extra-heads", is_flag=True, help="Keep heads for the bytes after the next one, where the model has any."
)
@click.option(
    "--check", is_flag=True, help="Open the export in transformers and compare its logits before DIR is made."
)
def export(run: Path, best: bool, device: str, dtype: str, folder: Path, extra_heads: bool, check: bool) -> None:
    """Write the model in RUN to DIR for Hugging Face transformers; it reads and writes raw bytes.

    Without n-grams, offset keys and --extra-heads it is a stock Qwen3ForCausalLM. Else DIR has a modelling file, too,
    and is opened with `trust_remote_code=True`. `AutoModelForCausalLM` gives the same logits, `AutoTokenizer` the bytes' ids.
    --device and --dtype are those of --check; what is written is fp32.
    """
    from proxylm.interop import cards
    from proxylm.interop.export import export as write
    from proxylm.trained import open_run

    trained = open_run(run, best=best, device=device, dtype=dtype)
    trained.warn_without_bytes()
    context = trained.config.train.row_length
    n_parameters = write(
        trained.model,
        folder,
        context=context,
        extra_heads=extra_heads,
        check=check,
        card=lambda n, needs_code: cards.of_model(trained, n, needs_code=needs_code),
    )
    click.echo(f"{folder}: {n_parameters:,} parameters, bytes only, context {context}")
