"""One document in two views by turns: every byte once, cut where symbols end, each target under the head of its view."""

from dataclasses import replace

import numpy as np
import pytest

import compressors
from compressors.corpus import Document
from compressors.errors import InvalidConfig
from proxylm.config import MixConfig, ModelConfig, Phase, RunConfig, TrainConfig
from proxylm.data import alphabet as ids
from proxylm.data.alphabet import BYTE_OFFSET, COMP_OFFSET
from proxylm.data.encode import encode
from proxylm.data.loader import Loader
from proxylm.data.views import Reading, Shown
from proxylm.training.run_folder import records
from proxylm.training.trainer import run_flops, train

ALWAYS = (Phase(until=1.0, start=1.0, end=1.0),)


@pytest.fixture(scope="module")
def texts(documents):
    return [b"", b"\0", b"a" * 61, b"xy", *(d[:700] for d in documents[:14])]


@pytest.fixture(scope="module")
def store(tmp_path_factory, bpe, texts):
    path = tmp_path_factory.mktemp("interleave") / "s"
    views = {"bpe": bpe, "zstd": compressors.get("zstd")}
    return encode([Document(str(i), t) for i, t in enumerate(texts)], path, views, shard_bytes=3000)


def config(view="bpe:raw=20:comp=50", lanes=4, steps=400, phases=ALWAYS):
    settings = TrainConfig(steps=steps, rows=min(4, lanes), row_length=48)
    model = ModelConfig(d_model=32, n_layers=1, n_heads=2)
    mix = MixConfig(view=view, phases=phases, lanes=lanes, chunk=0)
    return RunConfig(train=settings, model=model, mix=mix)


def slow_body(bpe, text, document, sizes):
    """(ids, under the comp head?) by the definition."""
    symbols, found, of_comp, piece = bpe.encode(text).tolist(), [], document % 2, []
    held = 0
    for i, symbol in enumerate(symbols or [None]):
        if symbol is not None:
            piece.append(symbol)
            held += len(bpe.vocab.pieces[symbol])
        last = i >= len(symbols) - 1
        if held >= sizes[of_comp] or last:
            plain = b"".join(bpe.vocab.pieces[s] for s in piece)
            shown = [COMP_OFFSET + s for s in piece] if of_comp else [BYTE_OFFSET + b for b in plain]
            marks = (ids.COMP_CLOSE, ids.RAW_OPEN) if of_comp else (ids.RAW_CLOSE, ids.COMP_OPEN)
            found += [(i, of_comp) for i in (*shown, marks[0], ids.EOS if last else marks[1])]
            piece, held, of_comp = [], 0, 1 - of_comp
    return found


@pytest.mark.parametrize("sizes", [(20, 50), (1, 1), (300, 7), (10**6, 10**6)])
def test_bodies_are_those_of_the_definition(store, bpe, texts, sizes):
    reading = Reading.parse(f"bpe:raw={sizes[0]}:comp={sizes[1]}")
    assert reading.turns == sizes
    shown = Shown.of(store, reading, Loader(store, config(), 100).alphabet)
    for i, text in enumerate(texts):
        found, comp, n_bytes = shown.body(i)
        slow = slow_body(bpe, text, i, sizes)
        assert list(zip(found.tolist(), comp.tolist(), strict=True)) == slow
        assert shown.lengths[i] == len(slow) - 2
        targets = [(symbol, of_comp) for symbol, of_comp in slow if symbol not in (ids.RAW_OPEN, ids.COMP_OPEN)]
        assert shown.inner[:, i].tolist() == [sum(not c for _, c in targets), len(slow) - len(targets)]
        assert n_bytes.sum() == len(text)


def test_every_byte_of_an_epoch_is_a_target_exactly_once(store, bpe, texts):
    batch = Loader(store, config(lanes=1), 400).rows(0, 400)
    found, documents = bytearray(), []
    for target, mode in zip(batch.targets.ravel().tolist(), batch.mode.ravel().tolist(), strict=True):
        if target >= COMP_OFFSET:
            assert mode == 1
            found += bpe.vocab.pieces[target - COMP_OFFSET]
        elif target >= BYTE_OFFSET:
            assert mode == 0
            found.append(target - BYTE_OFFSET)
        assert target not in (ids.RAW_OPEN, ids.COMP_OPEN)
        if target == ids.EOS:
            documents.append(bytes(found))
            found.clear()
    assert len(documents) > len(texts)
    assert sorted(documents[: len(texts)]) == sorted(texts)
    assert sum(batch.shares.n_bytes.values()) == sum(map(len, documents)) + len(found)
    assert 0.2 < batch.shares.n_bytes["raw"] / sum(batch.shares.n_bytes.values()) < 0.45  # 20 of 70, cut at symbols
    # A segment opens with the mark of the view it begins in.
    for row in range(len(batch.inputs)):
        for segment in range(int(batch.doc[row].max()) + 1):
            where = np.flatnonzero(batch.doc[row] == segment)
            opened = ids.COMP_OPEN if batch.mode[row][where[1]] else ids.RAW_OPEN
            assert batch.inputs[row][where[:2]].tolist() == [ids.BOS, opened]


def test_rows_do_not_depend_on_the_number_of_processes_and_heads_are_counted(store):
    whole = Loader(store, config(), 1600)
    for world in (1, 2, 4):
        parts = [Loader(store, config(), 1600).batch(30, rank, world) for rank in range(world)]
        assert np.array_equal(np.concatenate([part.inputs for part in parts]), whole.batch(30).inputs)
    batch = whole.rows(0, 1600)
    found = np.bincount(batch.mode[batch.targets >= 0], minlength=2)
    assert whole.planner.targets(0, 1600) == pytest.approx(found, rel=0.002)


def test_a_run_learns_under_both_heads(store, tmp_path):
    phases = (Phase(until=0.5, start=1.0, end=1.0), Phase(until=1.0, start=0.0, end=0.0))
    short = config(steps=30, phases=phases)
    train(store, short, tmp_path / "run")
    log = records(tmp_path / "run")
    assert log[10]["raw_bits_per_symbol"] < log[0]["raw_bits_per_symbol"]
    assert log[10]["comp_bits_per_symbol"] < log[0]["comp_bits_per_symbol"]
    assert log[0]["symbols"]["raw"] > 0
    assert log[-1]["symbols"]["comp"] == 0
    assert sum(record["flops"] for record in log) == pytest.approx(run_flops(store, short, 30), rel=0.005)


@pytest.mark.parametrize(
    "view", ["bpe:raw=3", "bpe:comp=4:raw=3", "bpe:raw=0:comp=2", "raw:raw=1:comp=1", "bpe:raw=1:comp=1:bags=2"]
)
def test_what_is_no_interleaving(view):
    with pytest.raises(InvalidConfig, match="mix: view"):
        config(view)


def test_views_that_cannot_be_interleaved(store):
    with pytest.raises(InvalidConfig, match="'zstd' has no spans to cut it at; use one that aligns with bytes"):
        Loader(store, config("zstd:raw=9:comp=9"), 100)
    with pytest.raises(InvalidConfig, match="interleaved views cannot share a context with their own bytes"):
        replace(config().mix, phases=(), recipe="proxy")
