"""`proxyc codecs | convert | fit | doctor`: the commands on codecs themselves.

A command parses its options and prints; the work is done in `registry`, `doctor` and the codecs'
classes.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import Any

import click

from compressors import registry
from compressors.cli.options import ArtifactPath, n_bytes
from compressors.cli.printing import forms, put
from compressors.cli.progress import Progress, progress
from compressors.cli.table import Table
from compressors.corpus import Reader
from compressors.errors import InputError, InvalidConfig, PluginError, ProxycError


@click.command()
@forms
def codecs(form: str | None) -> None:
    """List the registered compressors, plugins included."""
    rows = [_row(entry) for entry in registry.entries().values()]
    table = Table(["name", "from", "what it does"], [list(row.values()) for row in rows], text=3, drops=["from"])
    put(form, table, data=rows, piped=lambda table: table.fitted(None).partition("\n")[2])  # without heads


def _row(entry: registry.Entry) -> dict[str, str]:
    """One line of the list: name, distribution, and the first line of the class's docstring."""
    try:
        cls = registry.class_of(entry)
        summary = (cls.__doc__ or "").strip().partition("\n")[0]
        summary = f"one-way view, no files: {summary}" if cls.lossless is False else summary
    except ProxycError as error:
        summary = f"BROKEN: {error}"
    return {"name": entry.name, "from": ", ".join(entry.distributions), "state": summary}


@click.command()
@click.argument("name")
@click.argument("corpus", nargs=-1, required=True, type=click.Path())
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="Artifact to write.")
@click.option("--vocab-size", type=int, help="Number of ids (bpe); short for --set vocab_size=N.")
@click.option("--pattern", help="How text is cut (bpe): gpt2, llama3 (the default), cl100k, qwen2 or o200k.")
@click.option(
    "--sample",
    metavar="SIZE",
    callback=n_bytes,
    help="Bytes of CORPUS to fit on, e.g. 100MB; chosen by hash. Default: all.",
)
@click.option("--preset", help="Size of the network (neural): fast or best; windows for no network.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=N",
    help="Setting of the codec's fit, e.g. dictionary_size=65536 (zstd).",
)
@click.option(
    "--field",
    "text_field",
    default="text",
    show_default=True,
    help="Field of records, column of .parquet files that holds the text.",
)
@click.option("--glob", default="*", show_default=True, help="Which files of a folder to read.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Files to leave out, e.g. '*.zip'.")
@click.option("-f", "--force", is_flag=True, help="Replace an existing output.")
def fit(
    name: str, corpus: tuple[str, ...], output: Path, settings: tuple[str, ...], sample: int | None, text_field: str,
    glob: str, exclude: tuple[str, ...], force: bool, **given: Any,
) -> None:  # fmt: skip
    """Fit compressor NAME (bpe, neural, zstd) on CORPUS: text files, folders, .jsonl, .parquet; paths or URLs.

    Files may be compressed (gzip, zstd, xz, bzip2, brotli). zstd and neural hold what they are fitted on in memory;
    of a large corpus give them a --sample.
    An interrupted neural fit resumes from OUTPUT.partial when the same command is given again.
    """
    cls = registry.get_class(name)
    if not hasattr(cls, "fit"):
        raise InvalidConfig(f"{name} has nothing to fit; those that have: bpe, neural, zstd (a dictionary)")
    _check_writable(output, force)  # said before the work, not after it
    chosen: dict[str, Any] = dict(_setting(text) for text in settings)
    chosen |= {key: value for key, value in given.items() if value is not None}
    # The options are those that the codec's `fit` has, so a plugin's settings work with --set.
    known = signature(cls.fit).parameters
    if sample is not None and "sample" in known:  # bpe reads all, to count what follows what
        chosen["sample"], sample = sample, None
    if unknown := set(chosen) - set(known):
        raise InvalidConfig(
            f"{name}: fit has no setting {', '.join(sorted(unknown))}; it has: {', '.join(list(known)[1:])}"
        )
    reader = Reader(corpus, text_field=text_field, pattern=glob, exclude=exclude)
    partial = output.with_name(output.name + ".partial")
    if "checkpoint" in known:
        chosen["checkpoint"] = partial
    with progress(f"fit {name}", reader.size) as reading, progress(f"train {name}", None) as training:
        if "progress" in known:
            chosen["progress"] = training.at
        documents = _counted(reader, reading) if sample is None else reader.sample(sample)
        codec = cls.fit(documents, **chosen)
    codec.save(output)
    partial.unlink(missing_ok=True)
    bad = f"; {reader.n_bad} bad records skipped" if reader.n_bad else ""
    if codec.vocab.size < chosen.get("vocab_size", 0):
        bad += f"; {chosen['vocab_size']} symbols were asked for, and the corpus has pairs for no more"
    click.echo(f"{output}: {codec.name}, {codec.vocab.size} symbols, {output.stat().st_size:,} bytes{bad}", err=True)


def _counted(reader: Reader, told: Progress) -> Iterator[bytes]:
    """The documents; `told` hears how much of the input was read with each."""
    before = 0
    for document in reader:
        yield document.data
        told(document.n_read - before, "" if document.n_read < reader.size else "all is read; making the artifact")
        before = document.n_read


def _check_writable(output: Path, force: bool) -> None:
    """Raise `InputError` before hours of work, not after them."""
    if not output.parent.is_dir() or output.is_dir():
        raise InputError(
            f"cannot write {output}: {'it is a folder' if output.is_dir() else 'its folder does not exist'}"
        )
    if output.exists() and not force:
        raise InputError(f"{output} exists already; use --force to replace it")


def _setting(text: str) -> tuple[str, int]:
    """(KEY, N) of ``--set KEY=N``."""
    key, _, value = text.partition("=")
    if not value.lstrip("-").isdigit():
        raise InvalidConfig(f"--set {text}: write KEY=NUMBER")
    return key, int(value)


@click.command()
@click.argument("source", type=ArtifactPath())
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="File to write: *.json, *.pxa, *.tiktoken or *.dict; without a suffix a folder for AutoTokenizer.",
)
@click.option(
    "--pattern",
    help="How text is cut; tiktoken's files do not say: gpt2, llama3, cl100k, qwen2, o200k, or an expression.",
)
@click.option("--special", multiple=True, metavar="TEXT=ID", help="Special token to go with tiktoken's ranks.")
@click.option(
    "--not-nfc",
    type=click.Choice(["keep", "refuse"]),
    help="Text that is not in NFC, where the tokenizer would change it: keep it as it is (the default), or refuse it.",
)
@click.option("-f", "--force", is_flag=True, help="Replace an existing output.")
def convert(
    source: Path, output: Path, pattern: str | None, special: tuple[str, ...], not_nfc: str | None, force: bool
) -> None:
    """Convert a BPE tokenizer, whose ids stay, or a dictionary of zstd.

    SOURCE: an artifact of `proxyc fit bpe`, a Hugging Face tokenizer.json, or tiktoken's ranks with --pattern; or one on the
    hub, hf://user/repo[@revision][/file].
    An OUTPUT named *.json is a tokenizer.json, *.pxa an artifact, *.tiktoken has tiktoken's ranks; one without a suffix is a
    folder that AutoTokenizer of transformers opens. A tokenizer.json has no tables for the coding of ids in files: an artifact
    made of one compresses less, and does not read the files of the first.

    \b
    proxyc convert cl100k_base.tiktoken --pattern cl100k --special '<|endoftext|>=100257' -o code.pxa
    proxyc convert code.pxa -o tokenizer.json
    proxyc convert code.pxa -o tokenizer                     for AutoTokenizer.from_pretrained("tokenizer")
    proxyc convert code.pxa -o code.tiktoken                 prints the expression and special tokens that go with it
    proxyc convert dictionary.pxa -o dictionary.dict         for zstd -D
    """
    from compressors.bpe.codec import BPE

    folder = None if output.suffix else output
    if folder is not None and folder.is_dir():
        _check_writable(folder / "tokenizer.json", force)
    else:
        _check_writable(output, force and folder is None)
    if output.suffix not in ("", ".dict", ".json", ".pxa", ".tiktoken"):
        raise InvalidConfig(
            f"-o {output}: name it *.json for a tokenizer.json, *.pxa for an artifact, *.tiktoken for ranks, "
            "*.dict for a dictionary of zstd, or give it no suffix, for a folder"
        )
    if output.suffix == ".dict":
        _convert_dictionary(source, output)
        return
    if special and pattern is None:
        raise InvalidConfig("--special goes with --pattern and tiktoken's ranks; other files hold their special tokens")
    with progress("convert", 2, unit="parts") as told:  # seconds, for 200,000 symbols
        told(0, f"reading {source.name}")
        if pattern is not None:
            codec = BPE.from_tiktoken(source, pattern=pattern, special_tokens=dict(map(_special, special)))
        else:
            codec = BPE(artifact=BPE.read_artifact(source, not_nfc=not_nfc))
        told(1)
        told(0, f"writing {output.name}")
        writers = {"": codec.save_pretrained, ".json": codec.to_tokenizer_json, ".tiktoken": codec.to_tiktoken}
        beside = writers.get(output.suffix, codec.save)(output)
    n_bytes = (output if folder is None else folder / "tokenizer.json").stat().st_size
    click.echo(f"{output}: {codec.vocab.size} symbols, {n_bytes:,} bytes", err=True)
    for key, value in (beside or {}).items():  # what a file of tiktoken's does not hold
        click.echo(f"{key} = {value!r}", err=True)
    if codec.normalizes:
        done = "refused" if codec.not_nfc == "refuse" else "kept as it is, with ids that are not the model's"
        click.echo(f"its model normalises text to NFC; text that is not is {done} (see --not-nfc)", err=True)


def _convert_dictionary(source: Path, output: Path) -> None:
    """The dictionary in an artifact of `zstd`, as a file for ``zstd -D``."""
    from compressors.atomic import write_atomically
    from compressors.zstd import Zstd

    artifact = Zstd(artifact=Zstd.read_artifact(source)).artifact
    assert artifact is not None
    write_atomically(output, artifact.arrays["dictionary"].tobytes())
    click.echo(f"{output}: {output.stat().st_size:,} bytes", err=True)


def _special(text: str) -> tuple[str, int]:
    """(TEXT, ID) of ``--special TEXT=ID``; TEXT may hold =."""
    content, _, symbol = text.rpartition("=")
    if not content or not symbol.isdecimal():
        raise InvalidConfig(f"--special {text}: write TEXT=ID")
    return content, int(symbol)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--warm", is_flag=True, help="Compile the kernels of all codecs instead, so that no first use waits.")
def doctor(as_json: bool, warm: bool) -> None:
    """Check this installation: versions, the digest of every numeric path, the laws over every codec.

    Exit code 1 if anything is wrong.
    """
    from compressors import doctor as checks

    findings = []
    with progress("doctor", None, unit="checks") as told:
        for finding in checks.warm() if warm else checks.examine():
            findings.append(finding)
            told.clear()
            if not as_json:
                click.echo(f"{'ok ' if finding.sound else 'BAD'} {finding.name:<20} {finding.detail}")
            told(1)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=1))
    if bad := [finding.name for finding in findings if not finding.sound]:
        raise PluginError(f"{len(bad)} checks failed: {', '.join(bad)}")
