"""Rows are a pure function of (store, config, seed, k), and lose nothing."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest

import compressors
from compressors.corpus import Document
from compressors.errors import InputError, InvalidConfig
from proxylm.config import MixConfig, Phase, RunConfig, TrainConfig
from proxylm.data import alphabet as ids
from proxylm.data import mixture
from proxylm.data.chunks import Chunks
from proxylm.data.encode import encode
from proxylm.data.layout import Layout
from proxylm.data.loader import Loader
from proxylm.data.row_plan import COMP, COMP_RAW, RAW, RAW_COMP, RowPlanner

N = 37


@pytest.fixture(scope="module")
def store(tmp_path_factory, bpe):
    # Lengths around the row length of 32, an empty document, one of a NUL, one longer than many rows.
    texts = [b"", b"\0", b"x" * 28, b"y" * 29, b"z" * 30, b"w" * 31, b"long text, many rows " * 60]
    texts += [bytes([65 + i]) * (i * 7) + b"\0" * (i % 3) for i in range(N - len(texts))]
    return encode(
        [Document(str(i), t) for i, t in enumerate(texts)], tmp_path_factory.mktemp("rows") / "s", {"bpe": bpe}
    )


def loader(store, *, view="bpe", recipe="raw", phases=(), seed=0, rows=4, chunk=0):
    steps = 1600 // rows
    mix = MixConfig(view=view, recipe=recipe, phases=phases, chunk=chunk)
    config = RunConfig(train=TrainConfig(steps=steps, rows=rows, row_length=32, seed=seed), mix=mix)
    return Loader(store, config, steps * rows)


def shown(batch, documents_in_view, offset):
    """Symbols of every segment in order, put together to documents by reading what the batch holds."""
    pieces = []
    for row in range(len(batch.inputs)):
        for segment in range(int(batch.doc[row].max()) + 1):
            where = batch.doc[row] == segment
            targets = batch.targets[row][where]
            assert targets[0] == -1  # bos predicts nothing
            assert batch.inputs[row][where][0] == ids.BOS
            assert batch.inputs[row][where][1] in (ids.RAW_OPEN, ids.COMP_OPEN)
            assert np.array_equal(batch.inputs[row][where][2:], targets[1:-1])
            pieces.append(targets[1:])
    return pieces


@pytest.mark.parametrize(
    ("recipe", "view", "offset", "close"), [("raw", "raw", 64, ids.RAW_CLOSE), ("comp", "bpe", 320, ids.COMP_CLOSE)]
)
def test_every_symbol_of_an_epoch_is_a_target_exactly_once(store, recipe, view, offset, close):
    # One row reads document after document, so the targets in row order are the documents one after the other.
    batch = loader(store, recipe=recipe, rows=1).rows(0, 400)
    stream = np.concatenate(shown(batch, store.column(view), offset))
    documents = np.split(stream, np.flatnonzero(stream == ids.EOS) + 1)[:N]
    column = store.column(view)
    expected = Counter((*(column[i].astype(int) + offset), close, ids.EOS) for i in range(N))
    assert Counter(tuple(d.tolist()) for d in documents) == expected


def test_many_rows_lose_nothing_either(store):
    batch = loader(store).rows(0, 1600)
    count = Counter(batch.targets[batch.targets >= 0].tolist())
    everything = Counter(np.concatenate([store.column("raw")[i].astype(int) + 64 for i in range(N)]).tolist())
    whole_epochs = count[ids.EOS] // N
    assert whole_epochs >= 2
    assert all(count[symbol] >= (whole_epochs - 1) * n for symbol, n in everything.items())


def test_a_pair_holds_both_views_and_its_second_mark_is_no_target(store):
    batch = loader(store, phases=(Phase(until=1.0, start=0.5, end=0.5, pair=True),), rows=1).rows(0, 300)
    kinds = Counter()
    for row in range(300):
        for target, mode in zip(batch.targets[row], batch.mode[row], strict=True):
            if target >= 64:
                assert mode == (target >= 320)  # bytes under the raw head, symbols under the comp head
            kinds[int(target)] += 1
    assert kinds[ids.RAW_OPEN] == kinds[ids.COMP_OPEN] == 0
    assert abs(kinds[ids.RAW_CLOSE] - kinds[ids.COMP_CLOSE]) <= 1
    assert abs(kinds[ids.RAW_CLOSE] - kinds[ids.EOS]) <= 1
    marks = batch.inputs == ids.COMP_OPEN
    assert marks.any()


def dealt(made, last):
    """The targets of each chunk in the order in which one row reads them: [((document, chunk), kind, targets)]."""
    batch, found, at, row = made.rows(0, last), [], 0, -1
    for planned in made.planner.plan(0, last):
        at, row = (at, row) if planned["row"] == row else (0, planned["row"])
        here = batch.targets[row, at + 1 : at + 1 + planned["length"]].tolist()
        at += planned["length"] + 1
        if planned["start"] == 0:
            found.append(((int(planned["document"]), int(planned["chunk"])), int(planned["kind"]), here))
        else:
            found[-1][2].extend(here)
    return found[:-1]  # the last may be cut


@pytest.mark.parametrize("chunk", [7, 40, 10_000])
@pytest.mark.parametrize(("recipe", "view", "close"), [("raw", "raw", ids.RAW_CLOSE), ("comp", "bpe", ids.COMP_CLOSE)])
def test_the_chunks_of_an_epoch_make_every_document_once(store, recipe, view, close, chunk):
    column, offset = store.column(view), {"raw": 64, "bpe": 320}[view]
    chunks = [max(1, -(-int(n) // chunk)) for n in store.column("raw").lengths]
    found = dealt(loader(store, recipe=recipe, chunk=chunk, rows=1), 1600)
    epoch = len({chunk for chunk, _, _ in found})  # all have been read, some twice
    of_document = {}
    for (document, i), _, targets in sorted(found[:epoch]):
        assert i < chunks[document]
        of_document.setdefault(document, []).extend(targets)
    assert of_document == {i: [*(column[i].astype(int) + offset).tolist(), close, ids.EOS] for i in range(N)}
    if chunk < 100:  # chunks of the long document are apart
        order = [i for (document, i), _, _ in found[:epoch] if document == 6]
        assert len(order) == chunks[6] > 10
        assert order != sorted(order)


def test_a_chunk_is_the_same_bytes_in_both_views(store):
    pairs = (Phase(until=1.0, start=0.5, end=0.5, pair=True),)
    raw, bpe = store.column("raw"), store.column("bpe")
    seen = Counter()
    for (document, i), kind, targets in dealt(loader(store, phases=pairs, rows=1, chunk=100), 1600):
        n = max(1, -(-int(raw.lengths[document]) // 100))
        views = {}
        first, last = (int(raw.lengths[document]) * k // n for k in (i, i + 1))
        views["raw"] = (raw[document][first:last].astype(int) + 64).tolist()
        begins = np.cumsum(bpe.spans_of(document), dtype=int) - bpe.spans_of(document)
        inside = (begins >= first) & (begins < last)
        views["bpe"] = (bpe[document][inside].astype(int) + 320).tolist()
        marks = {"raw": ids.RAW_CLOSE, "bpe": ids.COMP_CLOSE}
        first, second = ("raw", "bpe") if kind == RAW_COMP else ("bpe", "raw")
        end = [marks[second], ids.EOS] if i == n - 1 else []
        assert targets == [*views[first], marks[first], -1, *views[second], *end]
        seen[kind, n > 1, i == n - 1] += 1
    assert {(kind, *rest) for kind in (RAW_COMP, COMP_RAW) for rest in ((True, True), (True, False))} < set(seen)


@pytest.mark.parametrize("pair", [False, True])
def test_a_chunk_may_have_no_symbol(tmp_path, pair):
    store = encode([Document("a", b"a" * 3000)], tmp_path / "s", {"zstd": compressors.get("zstd")})
    symbols = store.column("zstd")[0].astype(int) + 320
    assert len(symbols) < 3000 / 17
    made = loader(store, view="zstd", phases=(Phase(until=1.0, start=0.5, end=0.5, pair=pair),), rows=1, chunk=17)
    batch, found = made.rows(0, 1600), dealt(made, 1600)
    assert (
        made.planner.scan(0, 1600).targets.tolist() == np.bincount(batch.mode[batch.targets >= 0], minlength=2).tolist()
    )
    comp = [targets for _, kind, targets in found if kind == COMP]
    if pair:
        assert [ids.RAW_CLOSE, -1] in [targets[-2:] for _, kind, targets in found if kind == RAW_COMP]
    else:
        assert len(comp) < len(found) / 10  # half of those that have been dealt
        assert {*np.concatenate(comp)} == {*symbols, ids.COMP_CLOSE, ids.EOS}


@pytest.mark.parametrize("chunk", [0, 30])
def test_any_row_any_order_any_number_of_processes(store, chunk):
    whole = loader(store, recipe="proxy", chunk=chunk).rows(0, 200)
    other = loader(store, recipe="proxy", chunk=chunk)
    for k in (150, 3, 199, 0, 4):
        row = other.rows(k, k + 1)
        for name in ("inputs", "targets", "doc", "mode"):
            assert np.array_equal(getattr(row, name)[0], getattr(whole, name)[k])
    for world in (1, 2, 4):
        parts = [loader(store, recipe="proxy", chunk=chunk).batch(7, rank, world) for rank in range(world)]
        assert np.array_equal(np.concatenate([p.inputs for p in parts]), whole.inputs[28:32])
        assert sum(p.checksum for p in parts) == loader(store, recipe="proxy", chunk=chunk).batch(7).checksum


def test_seed_changes_rows_and_equal_seeds_do_not(store):
    a, b, c = (loader(store, recipe="proxy", seed=seed).rows(0, 50).inputs for seed in (0, 0, 1))
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_rows_of_a_step_come_from_different_documents(store):
    segments = loader(store, rows=8).planner.plan(80, 88)
    first = {int(row): int(document) for row, document in reversed(segments[["row", "document"]].tolist())}
    assert len(set(first.values())) == len(first) == 8


def planner(lengths, schedule, total_rows, rows, seed):
    """Of documents that are dealt whole."""
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    raw = SimpleNamespace(firsts=np.array([0, len(lengths)]), shard=lambda number: SimpleNamespace(offsets=offsets))
    layout = Layout(Chunks.of(raw, 0), [])
    return RowPlanner(layout, mixture.table(schedule), total_rows=total_rows, row_length=64, rows=rows, seed=seed)


def _shares(schedule, n=20000):
    segments = planner(np.full(100, 10), schedule, n, 16, 0).plan(0, n)
    begun = segments[segments["start"] == 0]
    return begun, Counter(begun["kind"].tolist())


@pytest.mark.parametrize("rate", [0.3, 0.5, 0.7, 0.9])
@pytest.mark.parametrize("pair", [False, True])
def test_share_of_comp_views_is_the_rate(rate, pair):
    _, kinds = _shares((Phase(until=1.0, start=rate, end=rate, pair=pair),))
    pairs = kinds[RAW_COMP] + kinds[COMP_RAW]
    raw, comp = kinds[RAW] + pairs, kinds[COMP] + pairs
    assert comp / (raw + comp) == pytest.approx(rate, abs=0.01)
    assert (pairs > 0) == pair
    if pair:
        assert kinds[RAW if rate > 0.5 else COMP] == 0
        assert kinds[RAW_COMP] / pairs == pytest.approx(0.5, abs=0.03)


def test_schedule_is_read_at_the_row_where_a_document_begins():
    schedule = (Phase(until=0.25, start=0.0, end=0.0), Phase(until=1.0, start=1.0, end=1.0))
    begun, _ = _shares(schedule)
    assert set(begun["kind"][begun["row"] < 5000]) == {RAW}
    assert set(begun["kind"][begun["row"] >= 5000]) == {COMP}


def test_a_chunk_is_shown_to_its_end_in_the_view_it_was_begun_in(store):
    phases = (Phase(until=0.25, start=0.0, end=0.0), Phase(until=1.0, start=1.0, end=1.0))
    rows = loader(store, phases=phases, chunk=90).planner.plan(0, 1600)
    last = rows["row"][rows["kind"] == RAW].max() // 4  # the step
    assert 100 < last <= 100 + 3  # rows of a chunk


def test_row_i_of_a_step_continues_row_i_of_the_step_before(store):
    rows = loader(store, chunk=90).planner.plan(0, 1600)
    continued = rows[rows["start"] > 0]
    assert len(continued) > 100
    for row, document, chunk in continued[["row", "document", "chunk"]].tolist():
        before = rows[rows["row"] == row - 4][-1]
        assert (before["document"], before["chunk"]) == (document, chunk)


def test_paper_schedule_rises_then_stays():
    table = mixture.table(MixConfig(view="v", recipe="proxy").schedule, steps=1000)
    assert table[0].tolist() == pytest.approx([1 - 0.4 / 0.6, 1 - 0.4 / 0.6, 1])  # rate 0.4: raw only, or a pair
    assert table[199, 0] == 0
    assert table[200].tolist() == pytest.approx([0.1, 1.0, 1.0])
    assert table[999].tolist() == pytest.approx([0.1, 1.0, 1.0])


def test_epochs_are_permutations_and_differ():
    made = planner(np.full(103, 5), (Phase(until=1.0, start=0, end=0),), 1000, 1, 3)
    segments = made.plan(0, 60)
    begun = segments[segments["start"] == 0]
    assert made.scan(0, 60).passes == len(begun) / 103
    order = begun["document"]
    assert sorted(order[:103]) == sorted(order[103:206]) == list(range(103))
    assert order[:103].tolist() != order[103:206].tolist()


def test_steps_and_processes_that_a_run_has_not_are_refused(store):
    made = loader(store, rows=8)
    with pytest.raises(InvalidConfig, match=r"train.rows 8 cannot be shared by 3 processes; use a multiple"):
        made.batch(0, 0, 3)
    with pytest.raises(InputError, match="step 200 is not in this run; it has 200 steps"):
        made.batch(200)


@pytest.mark.parametrize("chunk", [0, 30])
def test_planned_targets_equal_those_of_the_batches(store, chunk):
    made = loader(store, recipe="proxy", chunk=chunk)
    batch = made.rows(0, 300)
    found = np.bincount(batch.mode[batch.targets >= 0], minlength=2)
    assert loader(store, recipe="proxy", chunk=chunk).planner.scan(0, 300).targets.tolist() == found.tolist()


def test_shares_count_what_was_shown(store):
    batch = loader(store, recipe="comp", rows=1).rows(0, 400)
    epochs = batch.shares.documents["comp"] / N
    total = int(store.column("raw").lengths.sum())
    assert batch.shares.n_bytes["comp"] == pytest.approx(epochs * total, rel=0.2)
    assert batch.shares.symbols["raw"] == 0
    raw = loader(store).rows(0, 100)
    assert raw.shares.n_bytes["raw"] == raw.shares.symbols["raw"] == (raw.targets >= 64).sum()
