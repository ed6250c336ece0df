"""What a compressor does to a model: the same model and compute, trained on different views, read
in bits per byte.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from bench import markdown
from compressors.base import Compressor
from compressors.corpus import Document, Reader, fingerprint
from compressors.errors import InputError
from proxylm.config import RunConfig
from proxylm.data.store import Store
from proxylm.evaluation.bits_per_byte import evaluate, trained_spec
from proxylm.evaluation.result import Result
from proxylm.trained import open_run
from proxylm.training.run_log import totals
from proxylm.training.trainer import train
from proxylm.view_spec import RAW

MAX_BYTES = click.option(
    "--max-bytes",
    type=click.IntRange(1),
    default=400_000,
    show_default=True,
    help="Held-out bytes that are scored, in documents of at most a fortieth of that.",
)


@dataclass(frozen=True)
class Arm:
    """One way to train, and the view it is read in."""

    name: str  # of the run: the arm, its size and seed
    config: RunConfig
    reads: str  # "raw", or the compressed view of the store
    arm: str = ""
    size: str = ""
    first: str = ""  # the first arm of the recipe, which the others are set against
    equal: str = "flops"  # what it gets as much of as its rival (see `bench.downstream.budgets`)
    rival: Arm | None = None  # where that is not the FLOPs of the configuration
    at_flops: str = ""  # then: the name of this arm's run with those


@dataclass(frozen=True)
class Outcome:
    """What came of an arm."""

    arm: Arm
    result: Result
    totals: dict[str, float]  # steps, flops, symbols, bytes of text shown, seconds

    @property
    def bytes_per_symbol(self) -> float:
        """Of what was shown in training."""
        return self.totals["bytes"] / self.totals["symbols"]


def run_arm(
    arm: Arm,
    store: Store,
    folder: Path,
    codecs: dict[str, Compressor],
    documents: Sequence[bytes],
    report: Callable[[dict[str, Any]], None],
) -> Outcome:
    """Train the arm in `folder` (or resume it) and evaluate it on `documents`.

    codecs: by name of a view, what made it; needed for the view that the arm is read in. report:
    gets the log's record of each step. Raises `FingerprintMismatch` if the codec did not make the
    view of the store.
    """
    codec = codecs[arm.reads] if arm.reads != RAW else None
    if codec is not None:
        store.check_codec(arm.reads, codec)
    train(store, arm.config, folder, report=report)
    return Outcome(arm, read_run(folder, arm.reads, codec, documents), totals(folder))


def read_run(
    folder: Path, reads: str, codec: Compressor | None, documents: Sequence[bytes], *, device: str = "auto", dtype: str = "fp32"
) -> Result:  # fmt: skip
    """Score the newest checkpoint of a run on `documents`: raw bytes, or with `codec` the view
    `reads`.

    The context is that of the training, in bytes. device, dtype: as of `open_run`, but fp32 on a GPU, too: results of two machines
    are compared. Raises as that.
    """
    run = open_run(folder, device=device, dtype=dtype)
    view = trained_spec(run.config, reads) if codec else None
    return evaluate(run.model, documents, window=run.window(), codec=codec, view=view)


def scored(paths: tuple[Path, ...], max_bytes: int, say: Callable[[str], None] = lambda text: None) -> list[Document]:
    """Documents of at most a fortieth of `max_bytes`, in order, until that is full: many small ones
    tell more than few.

    say: is told how many of how many these are. Raises `InputError` if there are none.
    """
    found: list[Document] = []
    size, empty, reader = 0, True, Reader(list(paths))
    n_documents = n_bytes = 0
    for document in reader:
        empty = empty and not document.data
        n_documents, n_bytes = n_documents + 1, n_bytes + len(document.data)
        if len(document.data) <= max_bytes // 40 and size + len(document.data) <= max_bytes:
            found.append(document)
            size += len(document.data)
    if reader.n_bad:
        warnings.warn(reader.bad_records, stacklevel=2)
    if empty:
        raise InputError(f"all documents of {', '.join(map(str, paths))} are empty; give some with text")
    if not size:
        raise InputError(
            f"no document of {', '.join(map(str, paths))} has 1 to {max_bytes // 40:,} bytes, a fortieth of what is scored; "
            "give a larger --max-bytes"
        )
    say(
        f"scored: {len(found):,} of {n_documents:,} documents, {size:,} of {n_bytes:,} bytes: the first of at most "
        f"{max_bytes // 40:,} bytes each that fit into --max-bytes {max_bytes:,}"
    )
    return found


def package(document: Document, paths: Sequence[Path]) -> str:
    """The package of a document from `paths`: its first folder below one of these.

    The digest of its bytes if there is none: results name no path of a machine. Documents of a package are alike, so that an
    interval must draw whole packages.
    """
    name = document.id
    for path in paths:
        name = name.removeprefix(f"{str(path).rstrip('/')}/")
    return name.partition("/")[0] if name != document.id and "/" in name else fingerprint([document.data])[:16]


def digest(documents: Sequence[Document]) -> str:
    """Of scored documents, as results keep it."""
    return fingerprint(document.data for document in documents)


def scores(result: Result, documents: Sequence[Document], paths: Sequence[Path]) -> dict[str, Any]:
    """What a result keeps of an evaluation: the text, the bits of every document, the package it is
    of.
    """
    return {
        "held_out_sha256": digest(documents),
        "evaluation": result.to_json(),
        "document_bytes": result.n_bytes.tolist(),
        "document_bits": (result.text_bits + result.end_bits).tolist(),
        "document_packages": [package(document, paths) for document in documents],
    }


def asked_codec(view: str) -> str:
    """What to do where a run is read in a view, and nothing says what made it."""
    return f"say what made that view with --codec {view}@CODEC, such as {view}@bpe or {view}@bpe=FILE"


def table(outcomes: Sequence[Outcome]) -> markdown.Table:
    """The outcomes, a row an arm."""
    heads = ["trained on", "read as", "bits per byte (95 %)", "FLOPs", "bytes shown", "bytes per symbol"]
    drops, best = ["FLOPs", "steps", "seconds", "bytes per symbol", "bytes shown"], {heads[2]: min}
    return markdown.table([*heads, "steps", "seconds"], map(_cells, outcomes), text=2, drops=drops, best=best)


def _cells(o: Outcome) -> list[str]:
    """One row of `table`."""
    low, high = o.result.interval()
    scores = f"{o.result.bits_per_byte:.3f} ({low:.3f}-{high:.3f})"
    shown = (f"{o.totals['flops']:.3g}", f"{o.totals['bytes']:,.0f}", f"{o.bytes_per_symbol:.2f}")
    return [o.arm.name, o.arm.reads, scores, *shown, str(o.totals["steps"]), f"{o.totals['seconds']:.0f}"]
