"""Numbers kept beside a store are made once, and again when they are damaged, of something else, or cannot be kept."""

import numpy as np
import pytest

from compressors.corpus import Document
from proxylm.config import MixConfig, RunConfig, TrainConfig
from proxylm.data import cuts, derived
from proxylm.data.derived import Derived
from proxylm.data.encode import encode
from proxylm.data.loader import Loader
from proxylm.data.store import Store


@pytest.fixture
def asked(tmp_path):
    kept, made = Derived(tmp_path / "derived"), []

    def numbers(source="a", cost=derived.WORTH):
        return kept.numbers("x/y", source, cost, lambda: made.append(1) or np.arange(5, dtype=np.uint32))

    return numbers, made


def test_numbers_are_made_once_and_mapped(asked, tmp_path):
    numbers, made = asked
    for _ in range(3):
        found = numbers()
        assert found.tolist() == [0, 1, 2, 3, 4]
        assert found.dtype == np.uint32
    assert len(made) == 1
    assert not found.flags.owndata
    assert [file.name for file in (tmp_path / "derived/x").iterdir()] == ["y"]


@pytest.mark.parametrize("damage", ["cut", "empty", "flip", "key", "type"])
def test_damaged_numbers_and_those_of_another_source_are_made_again(asked, tmp_path, damage):
    numbers, made = asked
    numbers()
    file = tmp_path / "derived/x/y"
    data = bytearray(file.read_bytes())
    if damage == "key":
        numbers("b")
    else:
        file.unlink()  # not cut in place: it is mapped
        data[{"flip": 75, "type": 65}.get(damage, 0)] ^= 1
        file.write_bytes({"cut": bytes(data[:-2]), "empty": b""}.get(damage, bytes(data)))
        numbers("b" if damage == "key" else "a")
    assert len(made) == 2
    assert numbers("b" if damage == "key" else "a").tolist() == [0, 1, 2, 3, 4]
    assert len(made) == 2


def test_what_is_computed_fast_or_cannot_be_kept_stays_in_memory(asked, tmp_path):
    numbers, made = asked
    assert numbers(cost=derived.WORTH - 1).tolist() == [0, 1, 2, 3, 4]
    assert not (tmp_path / "derived").exists()
    (tmp_path / "derived").write_text("a file where the folder would be")
    assert numbers().tolist() == [0, 1, 2, 3, 4]
    assert len(made) == 2


def test_a_start_reads_no_symbols_and_a_second_one_derives_none(tmp_path, bpe, documents, monkeypatch):
    monkeypatch.setattr(derived, "WORTH", 0)
    monkeypatch.setattr(cuts, "WORTH", 0)
    monkeypatch.setattr(cuts, "_SINGLY", 0.0)
    texts = [Document(str(i), text) for i, text in enumerate(documents[:60])]
    store = encode(texts, tmp_path / "s", {"bpe": bpe}, shard_bytes=4000)
    fingerprint, n_shards = store.fingerprint, len(store.manifest["shards"])
    assert n_shards > 8
    cut, calls = cuts._cut, []
    monkeypatch.setattr(cuts, "_cut", lambda *arrays: (calls.append(1), cut(*arrays))[1])
    config = RunConfig(
        train=TrainConfig(steps=500, rows=2, row_length=64), mix=MixConfig(recipe="comp", view="bpe:merges=44")
    )
    made = Loader(Store.open(store.path), config, 1000)
    column = made._views[0]._column
    assert not any(shard._maps for shard in column.shards)
    assert not calls
    monkeypatch.setattr(made.planner, "_ahead", 1)
    made.planner.plan(0, 2)
    assert 0 < len(calls) < n_shards  # of the shards that the step deals
    rows = [made.batch(step).checksum for step in range(0, 500, 50)]
    assert len(calls) == n_shards
    again = Loader(Store.open(store.path), config, 1000)
    assert [again.batch(step).checksum for step in range(0, 500, 50)] == rows
    assert len(calls) == n_shards
    (file,) = (store.path / "derived" / "bpe:merges=44-62").glob("00001")
    file.write_bytes(b"damaged")
    assert [Loader(Store.open(store.path), config, 1000).batch(step).checksum for step in range(0, 500, 50)] == rows
    assert len(calls) == n_shards + 1
    assert Store.open(store.path).fingerprint == fingerprint
    assert np.fromfile(file, "<u4", offset=72).dtype == np.uint32  # not eight bytes each
    Store.open(store.path).verify()


@pytest.mark.parametrize("view", ["bpe", "bpe:merges=44", "bpe:bags=3"])
def test_chunks_that_are_placed_singly_lie_where_the_cuts_are(tmp_path, bpe, documents, monkeypatch, view):
    texts = [Document(str(i), text) for i, text in enumerate([b"", b"\0", *documents[:60]])]
    store = encode(texts, tmp_path / "s", {"bpe": bpe}, shard_bytes=4000)
    config = RunConfig(
        train=TrainConfig(steps=9, rows=2, row_length=64), mix=MixConfig(recipe="comp", view=view, chunk=21)
    )
    numbers = np.arange(Loader(store, config, 18).planner._layout.n_chunks)
    at_once = Loader(store, config, 18).planner._layout.find(numbers)
    monkeypatch.setattr(cuts, "WORTH", 0)
    monkeypatch.setattr(cuts, "_SINGLY", 1e9)
    monkeypatch.setattr(cuts, "_cut", None)
    layout = Loader(Store.open(store.path), config, 18).planner._layout
    for some in np.array_split(numbers[::3], 50):
        chunks, places = layout.find(some)
        assert chunks.tolist() == at_once[0][some].tolist()
        assert places.tolist() == at_once[1][some].tolist()
