"""Our data pipeline beside that of the authors of proxy compression: the same documents, view, rate and row length.

    git clone https://github.com/LZhengisme/proxy-compression CHECKOUT     # needs sentencepiece and transformers
    python -m bench.speed.pipelines CHECKOUT CORPUS -o RESULT.json

Theirs (`lingua/data.py`) compresses and packs documents each time they are read; ours reads a store that was encoded once.
One process, no thread of its own, gzip as the compressed view of nine documents in ten, rows of 512, steps of 8 rows.
"""

from __future__ import annotations

import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy.typing as npt

import compressors
from bench.measuring import OutputFile, environment
from compressors.atomic import write_atomically
from compressors.corpus import Document, Reader
from proxylm.config import MixConfig, Phase, RunConfig, TrainConfig
from proxylm.data.encode import encode
from proxylm.data.loader import Loader

ROWS, ROW_LENGTH, RATE, LEVEL = 8, 512, 0.9, 9  # 9: the level of gzip.compress
PATH = click.Path(path_type=Path, exists=True)


@click.command()
@click.argument("checkout", type=PATH)
@click.argument("corpus", type=PATH)
@click.option("--megabytes", default=20, show_default=True, help="Of the corpus.")
@click.option("--rounds", default=5, show_default=True)
@click.option("-o", "--output", type=OutputFile(), required=True)
def pipelines(checkout: Path, corpus: Path, megabytes: int, rounds: int, output: Path) -> None:
    """Symbols a second of both, in turn; medians."""
    documents = list(_first(Reader([corpus]), megabytes * 1_000_000))
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        ours = _ours(documents, Path(folder) / "store")
        encoding = time.perf_counter() - began
        theirs = _theirs(documents, Path(folder) / "jsonl", checkout)
        rates: dict[str, list[float]] = {"theirs": [], "ours": []}
        for _ in range(rounds):
            rates["theirs"].append(_rate(theirs, 300))
            rates["ours"].append(_rate(ours, 3000))
    found = {name: statistics.median(several) for name, several in rates.items()}
    result = {
        "megabytes": megabytes, "documents": len(documents), "rounds": rounds, "symbols_per_second": found,
        "ratio": found["ours"] / found["theirs"], "seconds_to_encode_once": encoding, "environment": environment(),
    }  # fmt: skip
    write_atomically(output, (json.dumps(result, indent=1) + "\n").encode())
    click.echo(
        f"symbols a second: theirs {found['theirs']:,.0f}, ours {found['ours']:,.0f} ({result['ratio']:.1f} times), "
        f"after encoding once in {encoding:.1f} s"
    )


def _first(documents: Reader, n_bytes: int) -> Iterator[Document]:
    for document in documents:
        if n_bytes <= 0:
            return
        n_bytes -= len(document.data)
        yield document


def _rate(batch: Callable[[], npt.NDArray[Any]], times: int) -> float:
    began = time.perf_counter()
    symbols = sum(batch().size for _ in range(times))
    return symbols / (time.perf_counter() - began)


def _ours(documents: list[Document], path: Path) -> Callable[[], npt.NDArray[Any]]:
    store = encode(documents, path, {"gzip": compressors.get("gzip", level=LEVEL)})
    mix = MixConfig(view="gzip", phases=(Phase(until=1.0, start=RATE, end=RATE),))
    config = RunConfig(train=TrainConfig(steps=10**6, rows=ROWS, row_length=ROW_LENGTH), mix=mix)
    loader, steps = Loader(store, config, 10**6 * ROWS), itertools.count()
    return lambda: loader.batch(next(steps)).inputs


def _theirs(documents: list[Document], path: Path, checkout: Path) -> Callable[[], npt.NDArray[Any]]:
    (path / "texts").mkdir(parents=True)
    with open(path / "texts" / "texts.chunk.00.jsonl", "w") as lines:
        lines.writelines(json.dumps({"text": document.data.decode()}) + "\n" for document in documents)
    sys.path.insert(0, str(checkout))
    from lingua import data, tokenizer  # type: ignore[import-not-found] # in the checkout alone

    # Of the Hugging Face tokenizer that theirs loads, only these ids are used; it does not load with newer transformers.
    ids = tokenizer.HFTokenizer.__new__(tokenizer.HFTokenizer)
    ids.bos_id, ids.eos_id, ids.offset, ids.compressed_offset = 1, 2, 64, 320
    ids.raw_sentinel_id_start, ids.raw_sentinel_id_end = 12, 13
    ids.compressed_sentinel_id_start, ids.compressed_sentinel_id_end = 14, 15
    data.build_tokenizer = lambda **_: ids
    args = data.DataArgs(
        root_dir=str(path), sources={"texts": 1.0}, batch_size=ROWS, seq_len=ROW_LENGTH, load_async=False,
        compression_sampling_rate=RATE, raw_compression_mix_option="sentinel", compression_alg_config="gzip_no_mtime",
    )  # fmt: skip
    batches = data.build_dataloader_from_args(args, data.init_dataloader_state_from_args(args, 0, 1)).__enter__()
    return lambda: next(batches)[0][:, :, 0]


if __name__ == "__main__":
    pipelines()
