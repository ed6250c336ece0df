"""A stored view may be shown at any level of its vocabulary, with the bytes' own ids, and beside other views."""

from collections import Counter

import numpy as np
import pytest

import compressors
from compressors.corpus import Document
from compressors.errors import InvalidConfig
from proxylm.config import MixConfig, Phase, RunConfig, TrainConfig
from proxylm.data import alphabet as ids
from proxylm.data.chunks import Chunks
from proxylm.data.encode import encode
from proxylm.data.loader import Loader
from proxylm.data.row_plan import COMP_FIRST, COUNT, DOCUMENT, KIND, READING, START
from proxylm.data.store import Store, StoreError
from proxylm.data.views import Reading, Shown


@pytest.fixture(scope="module")
def texts(documents):
    return [b"", b"\0\xff", *(d[:600] for d in documents[:20])]


@pytest.fixture(scope="module")
def store(tmp_path_factory, bpe, texts):
    path = tmp_path_factory.mktemp("readings") / "s"
    views = {"bpe": bpe, "zstd": compressors.get("zstd")}
    return encode([Document(str(i), t) for i, t in enumerate(texts)], path, views)


def loader(store, mix, steps=400):
    return Loader(store, RunConfig(train=TrainConfig(steps=steps, rows=4, row_length=48), mix=mix), 4 * steps)


def shown(store, text, shared=False):
    reading = Reading.parse(text)
    mix = MixConfig(view=text, recipe="comp", shared_bytes=shared)
    return Shown.of(store, reading, loader(store, mix).alphabet)


@pytest.mark.parametrize("level", [256, 257, 300, 100_000])
def test_a_level_is_the_encoding_with_the_later_merges_undone(store, bpe, texts, level):
    found = shown(store, f"bpe:level={level}")
    assert found.lengths.tolist() == [len(found.ids(i)) for i in range(len(texts))]
    for i, text in enumerate(texts):
        symbols = found.ids(i) - ids.COMP_OFFSET
        assert (symbols < level).all()
        assert b"".join(bpe.vocab.pieces[symbol] for symbol in symbols) == text
        assert found.sizes(i).tolist() == [len(bpe.vocab.pieces[symbol]) for symbol in symbols]

        def undone(symbol):
            return [symbol] if symbol < level else [p for s in bpe.vocab.splits[symbol - 256] for p in undone(int(s))]

        assert symbols.tolist() == [part for symbol in bpe.encode(text).tolist() for part in undone(symbol)]
    assert found.head == ids.HeadSlice(ids.N_SPECIALS, 0, min(level, bpe.vocab.size))


def test_shared_symbols_of_one_byte_are_the_byte(store, bpe, texts):
    found = shown(store, "bpe", shared=True)
    for i, text in enumerate(texts):
        symbols = bpe.encode(text)
        wanted = [64 + s if s < 256 else ids.COMP_OFFSET + s - 256 for s in symbols.tolist()]
        assert found.ids(i).tolist() == wanted
    assert found.head == ids.HeadSlice(ids.RAW_SIZE, 0, bpe.vocab.size - 256)
    batch = loader(store, MixConfig(view="bpe", recipe="comp", shared_bytes=True)).rows(0, 40)
    assert batch.targets.max() < ids.RAW_SIZE + bpe.vocab.size - 256


def test_several_views_are_shown_by_their_weights_and_phases(store):
    mix = MixConfig(
        phases=(
            Phase(until=0.5, start=1.0, end=1.0, views={"bpe": 3.0, "zstd": 1.0}),
            Phase(until=0.75, start=1.0, end=1.0, views={"bpe:level=256": 1.0}),
            Phase(until=1.0, start=0.5, end=0.5, views={"bpe:bags=4": 1.0}),
        )
    )
    made = loader(store, mix, steps=2000)
    assert mix.views == ("bpe", "zstd", "bpe:level=256", "bpe:bags=4")
    plan = made.planner.plan(0, 8000)
    begun = plan[plan[:, START] == 0]
    early, later = begun[begun[:, 0] < 4000], begun[begun[:, 0] >= 6000]
    counts = Counter(early[:, READING].tolist())
    assert set(counts) == {0, 1}
    assert counts[0] / len(early) == pytest.approx(0.75, abs=0.03)
    assert set(begun[(begun[:, 0] >= 4100) & (begun[:, 0] < 6000), READING]) == {2}
    assert set(later[later[:, KIND] == 1, READING]) == {3}
    assert set(begun[:, DOCUMENT]) == set(range(len(store)))
    # Every target lies in the softmax of its mode, and the plan foresees how many each has.
    batch = made.rows(0, 8000)
    for number, head in enumerate(made.heads):
        targets = batch.targets[(batch.targets >= 0) & (batch.mode == number)]
        rows = targets - ids.COMP_OFFSET
        assert ((targets < head.common) | ((rows >= head.first) & (rows < head.last))).all()
    found = np.bincount(batch.mode[batch.targets >= 0], minlength=5)
    assert made.planner.targets(0, 8000).tolist() == found.tolist()


def of_positions(store, view, chunk):
    """Target, bag and mode of every position of every document's body that 1,600 rows show, and how many rows showed it."""
    made = loader(store, MixConfig(view=view, recipe="comp", chunk=chunk))
    batch, found, seen = made.rows(0, 1600), {}, Counter()
    at = row = 0
    for planned in made.planner.plan(0, 1600).tolist():
        at, row = (at, row) if planned[0] == row else (0, planned[0])
        document = planned[DOCUMENT]
        begin = planned[COMP_FIRST] + planned[START]
        for i in range(planned[COUNT]):
            here = row, at + 1 + i
            bag = () if batch.bags is None else tuple(batch.bags[here].tolist())
            shown_as = int(batch.targets[here]), bag, int(batch.mode[here])
            assert found.setdefault((document, begin + i), shown_as) == shown_as
            seen[document, begin + i] += 1
        at += planned[COUNT] + 1
    return found, seen


@pytest.mark.parametrize("view", ["bpe", "zstd", "bpe:level=300", "bpe:bags=4", "raw:bags=4"])
def test_chunks_show_what_whole_documents_show(store, view):
    whole, _ = of_positions(store, view, 0)
    chunks, seen = of_positions(store, view, 50)
    assert whole == chunks
    assert max(seen.values()) - min(seen.values()) <= 2


@pytest.mark.parametrize("view", ["bpe", "bpe:level=300", "bpe:bags=4", "bpe:bags=1", "raw:bags=4"])
def test_chunks_are_cut_at_the_same_bytes_in_every_view(store, texts, view):
    chunks = Chunks.of(store.column("raw").lengths, 50)
    found, at = shown(store, view), chunks.before.tolist()
    for i, text in enumerate(texts):
        n = max(1, -(-len(text) // 50))
        assert at[i + 1] - at[i] == n
        sizes = found.sizes(i).astype(int).tolist()
        begins = [sum(sizes[:k]) for k in range(len(sizes))]
        # A symbol that was undone, or a bag that was cut, stays in one chunk: so whole symbols are counted.
        whole = begins if view == "bpe" or view.startswith("raw") else spans_begin(store, i)
        for k, cut in enumerate(found.cuts(chunks)[at[i] : at[i + 1]].tolist()):
            wanted = next((b for b in whole if b >= len(text) * k // n), len(text))
            assert ([*begins, len(text)])[cut] == wanted


def spans_begin(store, document):
    spans = store.column("bpe").spans_of(document).astype(int)
    return (np.cumsum(spans) - spans).tolist()


@pytest.mark.parametrize(
    "text", ["", "raw", "bpe:level", "bpe:level=2", "bpe:bags=0", "bpe:bags=256", "bpe:size=4", "bpe:bags=4:level=300"]
)
def test_a_reading_that_makes_no_sense_is_refused(text):
    with pytest.raises(InvalidConfig, match="mix: view"):
        Reading.parse(text)


def test_views_that_cannot_be_read_so_are_refused(store, tmp_path, bpe):
    with pytest.raises(InvalidConfig, match="no spans"):
        shown(store, "zstd:bags=4")
    with pytest.raises(InvalidConfig, match="no levels"):
        shown(store, "zstd:level=300")
    with pytest.raises(InvalidConfig, match="not the bytes"):
        shown(store, "zstd", shared=True)
    with pytest.raises(InvalidConfig, match="positive weights"):
        MixConfig(phases=(Phase(until=1.0, start=1.0, end=1.0, views={"bpe": 0.0}),))
    encode([Document("a", b"some text")], tmp_path / "s", {"bpe": bpe})
    kept = tmp_path / "s" / "bpe.splits"
    good = kept.read_bytes()
    for bad in (b"", b"\0" * 8, bytes([good[0] ^ 1]) + good[1:]):
        kept.write_bytes(bad)
        with pytest.raises(StoreError, match=r"bpe\.splits is missing or damaged"):
            Store.open(tmp_path / "s").verify()
    encode([Document("a", b"some text")], tmp_path / "s", {"bpe": bpe})  # the remedy it names
    Store.open(tmp_path / "s").verify()
