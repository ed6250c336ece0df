"""`proxyc demo`: the whole product on the default corpus, in a few minutes on two cores."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import click

import compressors
from bench import corpora, demo_files, markdown
from bench import demo_story as story
from bench.codecs import measure, stability
from bench.codecs import table as codec_tables
from bench.downstream import arms
from bench.markdown import Table
from bench.report import vega
from compressors.base import Compressor, digest
from compressors.bpe.codec import BPE
from compressors.cli.printing import colours, put
from compressors.cli.progress import progress
from compressors.cli.shown import shown
from compressors.corpus import Document
from proxylm.cli.step_progress import step_progress
from proxylm.config import MixConfig, ModelConfig, RunConfig, TrainConfig
from proxylm.data.encode import encode
from proxylm.data.store import Store
from proxylm.evaluation import perturb
from proxylm.evaluation.bits_per_byte import deltas, evaluate
from proxylm.evaluation.translation import translate
from proxylm.generation import Sampling, complete
from proxylm.trained import open_run

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
    """A story in four parts: what views are, what each costs, what models learn from them, what one writes.

    Everything comes from the standard library of the running Python; whole packages of it are held
    out. It takes about five minutes on two cores, and resumes where it stopped.
    """
    began = time.perf_counter()
    vega.require()  # missing, it is said now and not after the training
    output.mkdir(parents=True, exist_ok=True)
    training, held_out = corpora.standard_library()
    texts, scored = [document.data for document in held_out], _scored(held_out)
    story.say(
        f"The text: the standard library of your Python. {_size(training)} to train on; {_size(held_out)} are held out "
        f"({', '.join(corpora.HELD_OUT)})."
    )
    bpe = _bpe(training, output / "bpe.pxa")
    with progress("encode", None) as told:
        store = encode(
            training, output / "store", {"bpe": bpe}, progress=lambda documents, n_bytes, n_read: told(n_bytes)
        )

    story.chapter(1, "What a view is")
    story.say(story.WHAT)
    line = story.line_of(texts)
    click.echo(story.views(bpe, line), color=colours())

    story.chapter(2, "What each view costs")
    story.say(story.COSTS)
    tables = _codec_tables(_codecs(bpe), texts)
    put(None, *tables)

    story.chapter(3, "What the models learnt")
    story.say(story.LEARNT)
    outcomes = [_trained(arm, store, output, bpe, scored) for arm in _arms(flops, seed)]
    arm_table, finding = arms.table(outcomes), story.headline({o.arm.name: o.result for o in outcomes})
    put(None, arm_table, finding)
    probes = _probed(outcomes, output, store, scored, bpe)
    click.echo()
    put(None, *probes)

    best = min((o for o in outcomes if o.arm.reads == "raw"), key=lambda outcome: outcome.result.bits_per_byte)
    story.chapter(4, f"What the best of them ({best.arm.name}) writes after {PROMPT!r}")
    text = _sample(_folder(output, best.arm, store))
    click.echo(shown(text, keep="\n"))
    demo_files.charts(output, [demo_files.result(o, _folder(output, o.arm, store), scored) for o in outcomes])
    parts: dict[str, Sequence[str | Table]] = {
        "What a view is": (story.WHAT, f"```\n{story.views(bpe, line, colour=False, width=100)}\n```"),
        "What each view costs": (story.COSTS, *tables, "All held-out documents, one thread, measured once."),
        "What the models learnt": (story.LEARNT, arm_table, *probes, demo_files.scored_on(scored)),
        f"What the best of them ({best.arm.name}) writes": (f"```\n{text}\n```",),
    }
    demo_files.text(output / "report.md", finding, parts)
    click.echo(
        f"\n{time.perf_counter() - began:.0f} s. The same as text: {output / 'report.md'}. With charts, in a browser:"
    )
    click.echo(output / "report.html")


def _trained(arm: arms.Arm, store: Store, output: Path, bpe: Compressor, scored: list[bytes]) -> arms.Outcome:
    """One model, trained and read."""
    with step_progress(f"train {arm.name}") as report:
        return arms.run_arm(arm, store, _folder(output, arm, store), {"bpe": bpe}, scored, report)


def _codecs(bpe: Compressor) -> dict[str, Compressor]:
    """By name: all registered compressors that work without settings, plugins included.

    Zstd at level 19, and `bpe`.
    """
    click.echo(f"left out: {', '.join(HAVE_SEEN_IT)}: the default artifact was fitted on this corpus", err=True)
    fair = [name for name in stability.default_codecs() if name.partition(":")[0] not in HAVE_SEEN_IT]
    return {name: compressors.parse(name) for name in (*fair, "zstd:level=19")} | {"bpe": bpe}


def _codec_tables(made: dict[str, Compressor], documents: list[bytes]) -> list[Table]:
    """As of `proxyc bench codecs`, in this process and one round."""
    n_bytes, rows = sum(map(len, documents)), []
    with progress("codecs", len(made), unit="codecs") as told:
        for name, codec in made.items():
            told(0, name)
            row = {"name": name, "bytes": n_bytes} | measure.of_codec(codec, documents)
            # Memory needs a separate process. A one-way codec has no files.
            timed = {key: value for key, value in row.items() if key not in ("peak_mb", "symbols_peak_mb")}
            rows.append(measure.finished(timed, [timed]))
            told(1)
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
    run = open_run(folder)
    sampling = Sampling(max_bytes=240, temperature=0.7, top_p=0.9)
    (text,) = complete(run.model, [PROMPT.encode()], sampling, context=run.window())
    return (PROMPT.encode() + text).decode("utf-8", "replace")


def _probed(
    outcomes: list[arms.Outcome], output: Path, store: Store, scored: list[bytes], bpe: Compressor
) -> list[str | Table]:
    """What changed text costs the bytes-only and the proxy model, and whether the latter knows that
    both views are one text.
    """
    rows = []
    for outcome in outcomes:
        if outcome.arm.name in ("bytes", "proxy"):
            run = open_run(_folder(output, outcome.arm, store))
            model, window = run.model, run.window()
            found = deltas(model, scored[:20], evaluate(model, scored[:20], window=window), window=window)
            rows.append([outcome.arm.name, *(f"{after['delta']:+.3f}" for after in found.values())])
            if outcome.arm.name == "proxy":
                within, without = translate(model, scored, bpe, positions=run.config.train.row_length)
    table = markdown.table(["trained on", *perturb.CHANGES], rows)
    return [
        "How many bits per byte more the models need when the text is changed:",
        table,
        "Does the proxy model know that both views are one text? Of the bytes of a text it finds "
        f"{within.right / within.n_bytes:.1%} likeliest with the symbols of the same text before them, "
        f"{without.right / without.n_bytes:.1%} without.",
    ]


def _size(documents: list[Document]) -> str:
    """Number and size of documents, in words."""
    return f"{len(documents)} files, {sum(len(d.data) for d in documents) / 1e6:.1f} MB"
