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
from compressors.corpus import Reader, take
from compressors.errors import InputError

PATH = click.Path(path_type=Path)
BEST = click.option(
    "--best", is_flag=True, help="The checkpoint that was best on the held-out documents, not the newest."
)


@click.command("eval")
@click.argument("run", type=PATH)
@BEST
@click.argument("corpus", nargs=-1, required=True, type=click.Path())
@click.option("--codec", help="Score the compressed view of this codec instead of raw bytes, e.g. bpe=FILE.")
@click.option("--window", type=click.IntRange(min=2), help="Context in bytes; default: what the run was trained with.")
@click.option("--max-bytes", type=click.IntRange(min=1), help="Stop after the first documents that hold so many bytes.")
@click.option(
    "--field", "text_field", default="text", show_default=True, help="Field of .jsonl records that holds the text."
)
@click.option("--glob", "pattern", default="*", show_default=True, help="Which files of a folder to read.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Files to leave out, e.g. '*.zip'.")
@click.option(
    "--perturb", is_flag=True, help="Also after characters are deleted, case or white space changed, names renamed."
)
@click.option(
    "--translate", is_flag=True, help="Also how well bytes are read off the view of --codec in their context."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    run: Path, best: bool, corpus: tuple[str, ...], codec: str | None, window: int | None, max_bytes: int | None, text_field: str,
    pattern: str, exclude: tuple[str, ...], perturb: bool, translate: bool, as_json: bool,
) -> None:  # fmt: skip
    """Bits per byte of the model in RUN on the documents of CORPUS, with a 95 % bootstrap interval."""
    if translate and codec is None:
        raise click.UsageError("--translate needs --codec")
    from proxylm.evaluation import bits_per_byte as evaluation
    from proxylm.training import run_folder

    model, config = run_folder.load_run(run, best=best)
    chosen = registry.parse(codec) if codec else None
    if chosen is None:
        run_folder.warn_if_raw_is_new(run, config)
    view = evaluation.trained_spec(config, run_folder.view_of(run, chosen)) if chosen is not None else None
    documents = _documents(Reader(corpus, text_field, pattern, exclude=exclude), max_bytes)
    window = window or evaluation.trained_window(config)
    result = evaluation.evaluate(model, documents, window=window, codec=chosen, view=view)
    found = result.to_json()
    if perturb:
        found["perturbed"] = evaluation.deltas(model, documents, result, window=window, codec=chosen, view=view)
    if translate and chosen is not None:
        from proxylm.evaluation.translation import translate as translated

        scores = translated(model, documents, chosen, view, positions=config.train.row_length)
        found["translation"], found["translation_without_view"] = (score.to_json() for score in scores)
    click.echo(json.dumps(found, indent=1) if as_json else _in_words(found))


def _documents(reader: Reader, max_bytes: int | None) -> list[bytes]:
    """The first ones that hold `max_bytes`."""
    documents = [document.data for document in take(reader, max_bytes)]
    if reader.n_bad:
        click.echo(reader.bad_records, err=True)
    return documents


def _in_words(found: dict[str, Any]) -> str:
    several = found["documents"] > 1  # a bootstrap over one document has nothing to draw from
    interval = " [{:.4f}, {:.4f}]".format(*found["interval_95"]) if several else ""
    lines = [
        f"{found['bits_per_byte']:.4f} bits per byte{interval} on {found['documents']} documents, {found['bytes']:,} bytes",
        f"of which the ends of the documents: {found['end_bits_per_document']:.2f} bits each",
    ]
    for name, after in found.get("perturbed", {}).items():
        interval = " [{:+.4f}, {:+.4f}]".format(*after["delta_interval_95"]) if several else ""
        lines.append(f"{name}: {after['bits_per_byte']:.4f}, {after['delta']:+.4f}{interval}")
    for key in ("translation", "translation_without_view"):
        if key in found:
            t = found[key]
            lines.append(
                f"{key.replace('_', ' ')}: {t['byte_accuracy']:.1%} of {t['bytes']:,} bytes, {t['exact']:.1%} of {t['documents']} documents, "
                f"{t['bits_per_byte']:.4f} bits per byte"
            )
    return "\n".join(lines)


@click.command()
@click.argument("run", type=PATH)
@BEST
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
@click.option("--bytes", "as_bytes", is_flag=True, help="Write bytes as they are, also where they are no UTF-8.")
def generate(
    run: Path, best: bool, prompt: str | None, prompts: TextIO | None, max_bytes: int, temperature: float, top_p: float, min_p: float,
    stop: tuple[str, ...], seed: int, as_bytes: bool,
) -> None:  # fmt: skip
    """Continue PROMPT with the model in RUN; writes the prompt and what follows, each character once it is whole.

    With --prompts all are continued side by side, and a line of JSON is written for each.
    """
    if (prompt is None) == (prompts is None):
        raise click.UsageError("give either PROMPT or --prompts")
    starts = [_bytes(prompt)] if prompt is not None else [_bytes(text) for text in _prompts(prompts)]
    from proxylm import generation as generation
    from proxylm.evaluation import bits_per_byte as evaluation
    from proxylm.training import run_folder

    model, config = run_folder.load_run(run, best=best)
    run_folder.warn_if_raw_is_new(run, config)
    sampling = generation.Sampling(
        max_bytes=max_bytes, temperature=temperature, top_p=top_p, min_p=min_p, seed=seed, stop=tuple(map(_bytes, stop))
    )
    context = evaluation.trained_window(config)
    if prompts is not None:
        found = generation.complete(model, starts, sampling, context=context)
        for start, text in zip(starts, found, strict=True):
            click.echo(json.dumps({"prompt": start.decode(), "completion": text.decode("utf-8", "replace")}))
        return
    stream = generation.generate(model, starts, sampling, context=context)
    pieces = itertools.chain(starts, (more for _, more in stream), [b"\n"])
    for piece in pieces if as_bytes else map(str.encode, generation.as_text(pieces)):
        sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()


def _bytes(text: str) -> bytes:
    """An argument as the bytes that the caller gave."""
    return text.encode("utf-8", "surrogateescape")


def _prompts(lines: Iterable[str] | None) -> Iterator[str]:
    for number, line in enumerate(lines or (), 1):
        try:
            record = json.loads(line)
            if not isinstance(record, dict) or not isinstance(record.get("prompt"), str):
                raise ValueError('expected an object with a text "prompt"')
            record["prompt"].encode()
        except ValueError as error:
            raise InputError(f"--prompts, line {number}: {error}") from error
        yield record["prompt"]


@click.command()
@click.argument("run", type=PATH)
@BEST
@click.argument("folder", metavar="DIR", type=PATH)
def export(run: Path, best: bool, folder: Path) -> None:
    """Write the model in RUN to DIR as a Hugging Face checkpoint that knows raw bytes only (Qwen3ForCausalLM).

    `AutoModelForCausalLM.from_pretrained(DIR)` gives the same logits, `AutoTokenizer.from_pretrained(DIR)` the bytes' ids.
    """
    from proxylm.interop import hf as exporting
    from proxylm.training import run_folder

    model, config = run_folder.load_run(run, best=best)
    n_parameters = exporting.export(model, folder, context=config.train.row_length)
    click.echo(f"{folder}: {n_parameters:,} parameters, bytes only, context {config.train.row_length}")
