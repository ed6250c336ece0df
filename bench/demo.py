"""`proxyc demo`: the whole product on the default corpus, in a few minutes on two cores."""

from __future__ import annotations

import itertools
import json
import time
from collections import defaultdict
from pathlib import Path

import click

import compressors
from bench import corpora, markdown, measuring
from bench.codecs import measure, stability
from bench.codecs import table as codec_tables
from bench.downstream import arms, results
from bench.downstream.curves import curves
from bench.report import vega
from bench.report.page import Report
from compressors.atomic import write_atomically
from compressors.base import Compressor, digest
from compressors.bpe.codec import BPE
from compressors.corpus import Document
from proxylm.config import MixConfig, ModelConfig, RunConfig, TrainConfig
from proxylm.data.encode import encode
from proxylm.data.store import Store
from proxylm.evaluation import perturb
from proxylm.evaluation.bits_per_byte import deltas, evaluate, trained_window
from proxylm.evaluation.translation import translate
from proxylm.generation import Sampling, complete
from proxylm.training.run_folder import load_run

FLOPS = 7e11  # per arm: half a minute on two cores
CHUNK = 254  # bytes: a row each, or some 200 steps would not keep to a schedule
VOCAB_SIZE = 2048
HELD_OUT_BYTES = 120_000  # scored, with windows that overlap by half
PROMPT = "def "
# Their default artifacts were fitted on the standard library: here they would be measured on what
# they have seen.
HAVE_SEEN_IT = ("neural", "entropy-windows")


@click.command()
@click.option(
    "-o", "--output", default="demo", show_default=True, type=click.Path(path_type=Path), help="Folder for everything."
)
@click.option("--flops", default=FLOPS, show_default=True, type=float, help="Training compute of each arm.")
@click.option("--seed", default=0, show_default=True, type=int)
def demo(output: Path, flops: float, seed: int) -> None:
    """Fit a BPE, compare codecs, train on bytes, on tokens and in two ways on both at equal FLOPs,
    and report bits per byte.

    Everything comes from the standard library of the running Python; whole packages of it are held
    out.
    """
    began = time.perf_counter()
    vega.require()  # missing, it is said now and not after the training
    output.mkdir(parents=True, exist_ok=True)
    training, held_out = corpora.standard_library()
    scored = _scored(held_out)
    _say(f"corpus: {_size(training)} to train on; {_size(held_out)} held out ({', '.join(corpora.HELD_OUT)})")
    bpe = _bpe(training, output / "bpe.pxa")
    store = encode(training, output / "store", {"bpe": bpe})
    _say(
        f"store: {len(store)} documents, {store.column('bpe').lengths.sum():,} BPE symbols; fingerprint {store.fingerprint[:16]}"
    )
    codec_table = _codec_table(_codecs(bpe), [document.data for document in held_out])
    click.echo(codec_table)
    outcomes = [
        arms.run_arm(
            arm, store, _folder(output, arm, store), {"bpe": bpe}, scored, measuring.Progress(arm.name, lines=5).step
        )
        for arm in _arms(flops, seed)
    ]
    arm_table = arms.table(outcomes)
    click.echo(arm_table)
    probes = _probed(outcomes, output, store, scored, bpe)
    click.echo(f"\n{probes}")
    best = min((o for o in outcomes if o.arm.reads == "raw"), key=lambda outcome: outcome.result.bits_per_byte)
    text = _sample(_folder(output, best.arm, store))
    click.echo(f"\nThe best model that reads bytes ({best.arm.name}), after {PROMPT!r}:\n{text}")
    _charts(output, [_result(o, _folder(output, o.arm, store), scored) for o in outcomes])
    _write(output / "report.md", codec_table, f"{arm_table}\n\n{probes}", text, scored, _finding(outcomes))
    click.echo(
        f"\n{_finding(outcomes)}\n{output / 'report.md'}; {time.perf_counter() - began:.0f} s; open {output / 'report.html'}"
    )


def _codecs(bpe: Compressor) -> dict[str, Compressor]:
    """By name: all registered compressors that work without settings, plugins included.

    Zstd at level 19, and `bpe`.
    """
    _say(f"left out: {', '.join(HAVE_SEEN_IT)}: the default artifact was fitted on this corpus")
    fair = [name for name in stability.default_codecs() if name.partition(":")[0] not in HAVE_SEEN_IT]
    return {name: compressors.parse(name) for name in (*fair, "zstd:level=19")} | {"bpe": bpe}


def _codec_table(made: dict[str, Compressor], documents: list[bytes]) -> str:
    """As of `proxyc bench codecs`, in this process and one round."""
    n_bytes, rows = sum(map(len, documents)), []
    for name, codec in made.items():
        row = {"name": name, "bytes": n_bytes} | measure.of_codec(codec, documents)
        # Memory needs a separate process. A one-way codec has no files.
        timed = {key: value for key, value in row.items() if key not in ("peak_mb", "symbols_peak_mb")}
        rows.append(measure.finished(timed, [timed]))
    return codec_tables.codecs(rows)


def _bpe(training: list[Document], path: Path) -> BPE:
    """The BPE of this corpus; fitted once, and read again when the demo is resumed."""
    if not path.exists():
        BPE.fit([document.data for document in training], vocab_size=VOCAB_SIZE).save(path)
    codec = compressors.load(path)
    assert isinstance(codec, BPE)
    return codec


def _arms(flops: float, seed: int) -> list[arms.Arm]:
    """Bytes only, tokens only, the published proxy recipe, and few merges first: one model shape
    and one budget.
    """
    # Many small steps of a small model: at this budget they beat fewer steps of twice the batch.
    train = TrainConfig(flops=flops, rows=4, row_length=256, seed=seed, checkpoint_every=50)
    shape = ModelConfig(d_model=96, n_layers=3, hash_ngrams=4, ngram_rows=1 << 14, partial_key_offset=True)
    mixes = {
        "bytes": MixConfig(recipe="raw", chunk=CHUNK),
        "tokens": MixConfig(recipe="comp", view="bpe", chunk=CHUNK),
        "proxy": MixConfig(recipe="proxy", view="bpe", chunk=CHUNK),
        "merges": MixConfig(recipe="merges", view="bpe:merges=256", chunk=CHUNK),
    }
    return [
        arms.Arm(name, RunConfig(train=train, model=shape, mix=mix), "bpe" if name == "tokens" else "raw")
        for name, mix in mixes.items()
    ]


def _folder(output: Path, arm: arms.Arm, store: Store) -> Path:
    """A folder for each configuration and store, so that a changed demo never meets an old run."""
    views = {spec.view for spec in arm.config.mix.specs}
    key = digest([arm.config.to_json(), store.fingerprint_of(*sorted(views))])[:12]
    return output / "runs" / f"{arm.name}-{key}"


def _scored(held_out: list[Document]) -> list[bytes]:
    """Documents of at most 12 kB up to HELD_OUT_BYTES, from each held-out package in turn.

    Many small ones tell more than few.
    """
    by_package: dict[str, list[bytes]] = defaultdict(list)
    for document in held_out:
        if len(document.data) <= 12_000:
            by_package[document.id.partition("/")[0]].append(document.data)
    in_turn = [data for turn in itertools.zip_longest(*by_package.values()) for data in turn if data is not None]
    sizes = itertools.accumulate(map(len, in_turn))
    return [data for data, size in zip(in_turn, sizes, strict=True) if size <= HELD_OUT_BYTES]


def _sample(folder: Path) -> str:
    """What a model writes after `PROMPT`, with bytes that are not text replaced."""
    model, config = load_run(folder)
    sampling = Sampling(max_bytes=240, temperature=0.7, top_p=0.9)
    (text,) = complete(model, [PROMPT.encode()], sampling, context=trained_window(config))
    return (PROMPT.encode() + text).decode("utf-8", "replace")


def _probed(outcomes: list[arms.Outcome], output: Path, store: Store, scored: list[bytes], bpe: Compressor) -> str:
    """What changed text costs the bytes-only and the proxy model, and whether the latter knows that
    both views are one text.
    """
    rows = []
    for outcome in outcomes:
        if outcome.arm.name in ("bytes", "proxy"):
            model, config = load_run(_folder(output, outcome.arm, store))
            window = trained_window(config)
            found = deltas(model, scored[:20], evaluate(model, scored[:20], window=window), window=window)
            rows.append([outcome.arm.name, *(f"{after['delta']:+.3f}" for after in found.values())])
            if outcome.arm.name == "proxy":
                within, without = translate(model, scored, bpe, positions=config.train.row_length)
    table = markdown.table(["trained on", *perturb.CHANGES], rows)
    return (
        f"Bits per byte more on changed text:\n\n{table}\n\nBytes that the proxy model finds likeliest with the symbols of the "
        f"same text before them: {within.right / within.n_bytes:.1%}, without: {without.right / without.n_bytes:.1%}."
    )


def _finding(outcomes: list[arms.Outcome]) -> str:
    """The result in one paragraph. It also says what a budget this small cannot show."""
    of = {outcome.arm.name: outcome.result.bits_per_byte for outcome in outcomes}
    against = [
        f"{name} reads at {of[name]:.3f} ({of[name] / of['bytes'] - 1:+.1%} against only bytes)"
        for name in ("proxy", "merges")
    ]
    return (
        f"At {outcomes[0].totals['flops']:.2g} FLOPs each, reading raw bytes, the model trained only on bytes has {of['bytes']:.3f} bits per "
        f"byte; {'; '.join(against)}; the token model reads at {of['tokens']:.3f}. The published recipe (proxy) is reported to lose at "
        "small scale and to win above 1.5 billion parameters; RESULTS.md tells what the first merges of BPE (merges) do "
        "with ten times the compute and more."
    )


def _result(o: arms.Outcome, folder: Path, scored: list[bytes]) -> results.Result:
    """An outcome as `proxyc bench downstream` writes them: `proxyc report` reads these."""
    documents = [Document(str(number), data) for number, data in enumerate(scored)]
    return {
        "name": o.arm.name, "arm": o.arm.name, "size": "", "rival": "bytes", "reads": o.arm.reads,
        "config": json.loads(o.arm.config.to_json()), "totals": o.totals, "environment": measuring.environment(),
        "processor": measuring.processor(), "curves": curves(folder),
    } | arms.scores(o.result, documents, [])  # fmt: skip


def _charts(output: Path, found: list[results.Result]) -> None:
    """The page and the picture of the report, and the results they are made from."""
    results.write(output / "results.json", found)
    report = Report({"demo": found})
    write_atomically(output / "report.html", report.page().encode())
    vega.save(report.picture(), output / "report.png")


def _write(path: Path, codec_table: str, arm_table: str, text: str, scored: list[bytes], finding: str) -> None:
    """The report: a Markdown file beside its picture."""
    markdown.write(
        path,
        [
            ("", f"# Ratio against loss: the demo\n\n{finding}\n\n![ratio against loss](report.png)"),
            ("Codecs, on all held-out documents", codec_table + "\n\nOne thread, measured once."),
            (
                "One model trained four ways at equal compute",
                f"{arm_table}\n\nHeld-out: {len(scored)} documents, {sum(map(len, scored)):,} bytes; one seed. Bits per byte: every "
                "byte scored once, the same context in bytes, the end of each document charged. The figure for tokens is an upper bound.",
            ),
            ("What the best model that reads bytes writes", f"```\n{text}\n```"),
            ("Environment", measuring.environment()),
        ],
    )


def _size(documents: list[Document]) -> str:
    """Number and size of documents, in words."""
    return f"{len(documents)} files, {sum(len(d.data) for d in documents) / 1e6:.1f} MB"


def _say(text: str) -> None:
    """Progress goes to standard error; only results go to standard output."""
    click.echo(text, err=True)
