"""README.md of what leaves for the hub: the YAML block that the hub reads, and what a person wants to know."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from compressors.artifact import Artifact
from compressors.base import Compressor
from compressors.errors import InvalidConfig
from compressors.hub import ARTIFACT, PREFIX

if TYPE_CHECKING:  # the card of an artifact needs no torch
    from proxylm.trained import Trained

UNNAMED = "USER/NAME"  # stands for the repository until there is one
UNKNOWN = "unknown"  # the hub's word for a licence that nobody has named


def of_artifact(
    codec: Compressor, artifact: Artifact, repo: str, *, licence: str = UNKNOWN, bytes_per_symbol: float | None = None
) -> str:
    """The card of a fitted codec; bytes_per_symbol: measured on some text, else what its fit recorded."""
    tags = ["proxyc", "compression", "tokenizer", codec.name]
    measured = artifact.card.get("bytes_per_symbol") if bytes_per_symbol is None else bytes_per_symbol
    libraries = {"proxyc": version("proxyc"), **codec.library_versions()}
    facts = {
        "codec": codec.name,
        "symbols": f"{codec.vocab.size:,}",
        "bytes per symbol": "not measured" if measured is None else f"{measured:.3f}",
        "fingerprint": codec.fingerprint,
        "versions": ", ".join(f"{name} {number}" for name, number in libraries.items()),
    }
    load = [f'codec = compressors.load("{PREFIX}{repo}")', 'symbols = codec.encode(b"any bytes")']
    load += ['assert codec.decode(symbols) == b"any bytes"'] if codec.lossless else []
    parts = [
        _front("proxyc", licence, tags),
        f"# {repo.partition('/')[2]}: a fitted `{codec.name}` of proxyc",
        "A codec turns bytes into symbols. " + _use(codec),
        _table(facts),
        "## What it was fitted on",
        _table(artifact.card) if artifact.card else "Nothing is recorded.",
        "## How to load it",
        _code(["import compressors", "", *load]),
    ]
    if codec.name == "bpe":
        parts.append("The same ids from `transformers`, without proxyc:")
        parts.append(_code(["from transformers import AutoTokenizer", "", f'AutoTokenizer.from_pretrained("{repo}")']))
    parts.append(f"`{ARTIFACT}` holds arrays and JSON (safetensors), no code.")
    return "\n\n".join(parts) + "\n"


def of_model(trained: Trained, n_parameters: int, *, needs_code: bool) -> str:
    """The card of an exported model. It names `UNNAMED` as its repository, and no licence: `proxyc push` does."""
    from proxylm.training import run_folder, run_log

    config, totals, log = trained.config, run_log.totals(trained.run), run_log.records(trained.run)
    scores = [record["held_out_bits_per_byte"] for record in log if "held_out_bits_per_byte" in record]
    views = run_folder.views_of(trained.run)
    facts = {
        "parameters": f"{n_parameters:,}",
        "context": f"{config.train.row_length:,} bytes",
        "recipe": config.mix.recipe,
        "views it was trained on": ", ".join(f"{name} ({digits[:16]})" for name, digits in views.items())
        or "none: raw bytes",
        "store": run_folder.store_of(trained.run),
        "training": f"{totals['steps']:,} steps, {round(totals['bytes']):,} bytes of text, {totals['flops']:.3g} FLOPs",
        "bits per byte of held-out text": f"{scores[-1]:.4f}, at the last evaluation" if scores else "not measured",
        "versions": f"proxyc {version('proxyc')}",
    }
    trust = ", trust_remote_code=True" if needs_code else ""
    load = [
        "from transformers import AutoModelForCausalLM, AutoTokenizer", "",
        f'tokenizer = AutoTokenizer.from_pretrained("{UNNAMED}"{trust})',
        f'model = AutoModelForCausalLM.from_pretrained("{UNNAMED}"{trust})',
        'ids = tokenizer("def ", return_tensors="pt")',
        "print(tokenizer.decode(model.generate(**ids, max_new_tokens=50)[0], skip_special_tokens=True))",
    ]  # fmt: skip
    parts = [
        _front("transformers", UNKNOWN, ["proxyc", "byte-level", "text-generation"], "text-generation"),
        f"# {UNNAMED.partition('/')[2]}: a language model of bytes",
        "It reads and writes raw bytes: no tokenizer was fitted. It continues text; it was not taught to follow instructions, "
        "and what it writes may be wrong or unwanted.",
        _table(facts),
        "## How to load it",
        _code(load),
    ]
    return "\n\n".join(parts) + "\n"


def named(card: str, repo: str, licence: str | None) -> str:
    """A model's card with the name of its repository, and a licence if one is given. What people wrote into it stays."""
    card = card.replace(UNNAMED, repo).replace(f"# {UNNAMED.partition('/')[2]}:", f"# {repo.partition('/')[2]}:")
    return card if licence is None else re.sub(r"(?m)^license: .*$", f"license: {checked(licence)}", card, count=1)


def checked(licence: str) -> str:
    """A licence as the hub writes it. Raises `InvalidConfig`."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", licence):
        raise InvalidConfig(f"--license {licence!r}: write an identifier of the hub, e.g. apache-2.0, mit, other")
    return licence


def _use(codec: Compressor) -> str:
    if not codec.lossless:
        return "This one is a one-way view: symbols to train on, which do not decode."
    return (
        "This one is lossless on all bytes. It is meant for text like that it was fitted on; other bytes come back as well, and "
        "take more symbols."
    )


def _front(library: str, licence: str, tags: Sequence[str], pipeline: str | None = None) -> str:
    """The YAML block."""
    lines = [f"library_name: {library}", f"license: {checked(licence)}"]
    lines += [f"pipeline_tag: {pipeline}"] if pipeline else []
    return "\n".join(["---", *lines, "tags:", *(f"- {tag}" for tag in tags), "---"])


def _table(facts: Mapping[str, Any]) -> str:
    """Two columns; values that are not text as JSON."""
    rows = [(key, value if isinstance(value, str) else json.dumps(value)) for key, value in facts.items()]
    cells = [f"| {key.replace('_', ' ')} | {value} |" for key, value in (map(_cell, row) for row in rows)]
    return "\n".join(["| | |", "|---|---|", *cells])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _code(lines: Sequence[str]) -> str:
    return "\n".join(["```python", *lines, "```"])
