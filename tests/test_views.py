"""A stored view may be shown whole, by its first merges, in bags, and beside other views."""

from collections import Counter

import numpy as np
import pytest

import compressors
from compressors.corpus import Document
from compressors.errors import InvalidConfig
from proxylm.config import MixConfig, Phase, RunConfig, TrainConfig, view_spec
from proxylm.data import alphabet as ids
from proxylm.data.encode import encode
from proxylm.data.layout import Layout
from proxylm.data.loader import Loader
from proxylm.data.store import Store, StoreError
from proxylm.data.views import read_chunks, views_of


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


def shown(store, text):
    return views_of(store, [view_spec(text)], loader(store, MixConfig(view=text, recipe="comp")).alphabet)[0]


class Whole:
    """A view of documents, each read as one chunk."""

    def __init__(self, store, text):
        self.view = shown(store, text)
        chunks, places = Layout.of(store, [self.view], 0).find(np.arange(len(store)))
        self.ids, self.bags, sizes = read_chunks(self.view, chunks, places[:, 0])
        self.sizes = [of_document.astype(int).tolist() for of_document in sizes]


@pytest.mark.parametrize("merges", [1, 44, 768])
def test_merges_are_the_encoding_with_the_later_ones_undone_and_the_bytes_of_the_raw_text(store, bpe, texts, merges):
    found, size = Whole(store, f"bpe:merges={merges}"), 256 + merges
    for i, text in enumerate(texts):

        def undone(symbol):
            return [symbol] if symbol < size else [p for s in bpe.vocab.splits[symbol - 256] for p in undone(int(s))]

        symbols = [part for symbol in bpe.encode(text).tolist() for part in undone(symbol)]
        wanted = [64 + s if s < 256 else ids.COMP_OFFSET + s - 256 for s in symbols]
        assert found.ids[i].tolist() == wanted
        assert found.sizes[i] == [len(bpe.vocab.pieces[symbol]) for symbol in symbols]
        assert b"".join(bpe.vocab.pieces[symbol] for symbol in symbols) == text
    assert found.view.head == ids.HeadSlice(ids.RAW_SIZE, 0, merges)


def test_merges_of_one_view_share_ids_as_prefixes_and_its_symbols_have_others(store, bpe):
    names = ("bpe:merges=700", "bpe:merges=40", "bpe")
    mix = MixConfig(phases=(Phase(until=1.0, start=1.0, end=1.0, views=dict.fromkeys(names, 1.0)),))
    made = loader(store, mix)
    assert made.alphabet == ids.Alphabet({"bpe": bpe.vocab.size}, {"bpe": bpe.vocab.size - 256})
    n_merges = bpe.vocab.size - 256
    many, few, symbols = made.heads[1:]
    assert (many, few) == (ids.HeadSlice(ids.RAW_SIZE, 0, 700), ids.HeadSlice(ids.RAW_SIZE, 0, 40))
    assert symbols == ids.HeadSlice(ids.N_SPECIALS, n_merges, n_merges + bpe.vocab.size)


def test_several_views_are_shown_by_their_weights_and_phases(store):
    mix = MixConfig(
        phases=(
            Phase(until=0.5, start=1.0, end=1.0, views={"bpe": 3.0, "zstd": 1.0}),
            Phase(until=0.75, start=1.0, end=1.0, views={"bpe:merges=9": 1.0}),
            Phase(until=1.0, start=0.5, end=0.5, views={"bpe:bags=4": 1.0}),
        )
    )
    made = loader(store, mix, steps=2000)
    assert mix.views == ("bpe", "zstd", "bpe:merges=9", "bpe:bags=4")
    plan = made.planner.plan(0, 8000)
    begun = plan[plan["start"] == 0]
    early, later = begun[begun["row"] < 4000], begun[begun["row"] >= 6000]
    counts = Counter(early["view_index"].tolist())
    assert set(counts) == {0, 1}
    assert counts[0] / len(early) == pytest.approx(0.75, abs=0.03)
    assert set(begun["view_index"][(begun["row"] >= 4100) & (begun["row"] < 6000)]) == {2}
    assert set(later["view_index"][later["kind"] == 1]) == {3}
    assert set(begun["document"]) == set(range(len(store)))
    # Every target lies in the softmax of its mode, and the plan foresees how many each has.
    batch = made.rows(0, 8000)
    for number, head in enumerate(made.heads):
        targets = batch.targets[(batch.targets >= 0) & (batch.mode == number)]
        rows = targets - ids.COMP_OFFSET
        assert ((targets < head.common) | ((rows >= head.first) & (rows < head.last))).all()
    found = np.bincount(batch.mode[batch.targets >= 0], minlength=5)
    assert made.planner.scan(0, 8000).targets.tolist() == found.tolist()


def of_positions(store, view, chunk):
    """Target, bag and mode of every position of every document's body that 1,600 rows show, and how many rows showed it."""
    made = loader(store, MixConfig(view=view, recipe="comp", chunk=chunk))
    batch, found, seen = made.rows(0, 1600), {}, Counter()
    at = row = 0
    for planned in made.planner.plan(0, 1600):
        at, row = (at, row) if planned["row"] == row else (0, int(planned["row"]))
        document = int(planned["document"])
        begin = int(planned["view_first"] + planned["start"])
        for i in range(planned["length"]):
            here = row, at + 1 + i
            bag = () if batch.bags is None else tuple(batch.bags[here].tolist())
            shown_as = int(batch.targets[here]), bag, int(batch.mode[here])
            assert found.setdefault((document, begin + i), shown_as) == shown_as
            seen[document, begin + i] += 1
        at += int(planned["length"]) + 1
    return found, seen


@pytest.mark.parametrize("view", ["bpe", "zstd", "bpe:merges=44", "bpe:bags=4", "raw:bags=4"])
def test_chunks_show_what_whole_documents_show(store, view):
    whole, _ = of_positions(store, view, 0)
    chunks, seen = of_positions(store, view, 50)
    assert whole == chunks
    assert max(seen.values()) - min(seen.values()) <= 2


@pytest.mark.parametrize("view", ["bpe", "bpe:merges=44", "bpe:bags=4", "bpe:bags=1", "raw:bags=4"])
def test_chunks_are_cut_at_the_same_bytes_in_every_view(store, texts, view):
    whole_documents, at = Whole(store, view), 0
    layout = Layout.of(store, [whole_documents.view], 50)
    found = layout.find(np.arange(layout.n_chunks))
    firsts = np.flatnonzero(found[0]["chunk"] == 0).tolist()
    assert layout.chunks.first_of(np.arange(len(texts))[::-1]).tolist() == firsts[::-1]
    for i, text in enumerate(texts):
        n = max(1, -(-len(text) // 50))
        own, places = found[0][at : at + n], found[1][at : at + n, 0]
        at += n
        assert own["document"].tolist() == [i] * n
        sizes = whole_documents.sizes[i]
        begins = [sum(sizes[:k]) for k in range(len(sizes))]
        # A symbol that was undone, or a bag that was cut, stays in one chunk: so whole symbols are counted.
        whole = begins if view == "bpe" or view.startswith("raw") else spans_begin(store, i)
        for k, cut in enumerate(places["first"].tolist()):
            wanted = next((b for b in whole if b >= len(text) * k // n), len(text))
            assert ([*begins, len(text)])[cut] == wanted
        assert places["stop"].tolist() == [*places["first"][1:].tolist(), len(sizes)]


def spans_begin(store, document):
    spans = store.column("bpe").spans_of(document).astype(int)
    return (np.cumsum(spans) - spans).tolist()


@pytest.mark.parametrize(
    "text",
    ["", "raw", "raw:merges=4", "bpe:", "bpe:merges", "bpe:merges=0", "bpe:bags=0", "bpe:bags=256", "bpe:level=512", "bpe:bags=4,merges=9",
     "bpe:bags=4,bags=4", "bpe:bags=4:merges=9", "bpe:bags=-1"],
)  # fmt: skip
def test_a_view_that_makes_no_sense_is_refused(text):
    with pytest.raises(InvalidConfig, match=r"^mix: view [^\n]*$"):
        view_spec(text)


@pytest.mark.parametrize("text", ["bpe", "bpe:merges=256", "bpe:bags=16", "raw:bags=4"])
def test_a_view_is_its_text(text):
    assert str(view_spec(text)) == text


def test_views_that_cannot_be_read_so_are_refused(store, tmp_path, bpe):
    for text, match in (
        ("zstd:bags=4", "no spans"),
        ("zstd:merges=44", "not refinable"),
        ("bpe:merges=769", r"'bpe' has 768 merges; ask for at most those"),
    ):
        with pytest.raises(InvalidConfig, match=match):
            shown(store, text)
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
