"""Stretches of a file are checked by their blocks, without reading the rest."""

import numpy as np
import pytest

from compressors.corpus import Document
from proxylm.data.blocks import BLOCK, Blocks, packed, stretches_of
from proxylm.data.column import Column
from proxylm.data.encode import encode
from proxylm.data.store import Store, StoreError


@pytest.fixture
def store(tmp_path):
    texts = [bytes([65 + i]) * 20_000 for i in range(12)]
    return encode([Document(str(i), text) for i, text in enumerate(texts)], tmp_path / "s", {}, shard_bytes=130_000)


def stretch(store, first, last, shard=0):
    return (
        Store.open(store.path).column("raw").shards[shard].values_in(*stretches_of(np.array([first]), np.array([last])))
    )


def test_damage_is_found_where_it_is_read_and_only_there(store):
    file = store.path / "00000/raw.bin"
    data = bytearray(file.read_bytes())
    data[3 * BLOCK + 5] ^= 1
    file.write_bytes(data)
    assert stretch(store, 0, 3 * BLOCK)[0] == ord("A")
    assert len(stretch(store, 4 * BLOCK, 4 * BLOCK)) == len(data)
    for first, last in ((3 * BLOCK, 3 * BLOCK + 1), (2 * BLOCK, 5 * BLOCK), (0, 7 * BLOCK)):
        with pytest.raises(StoreError, match=r"raw\.bin is damaged: its SHA-256 differs; delete"):
            stretch(store, first, last)
    with pytest.raises(StoreError, match=r"raw\.bin is damaged"):
        _ = Store.open(store.path).column("raw").shards[0].values


@pytest.mark.parametrize("crc", [None, b"", b"x" * 200])
def test_without_sums_of_this_file_all_of_it_is_checked(store, crc):
    file, data = store.path / "00000/raw.crc", bytearray((store.path / "00000/raw.bin").read_bytes())
    file.unlink()
    if crc is not None:
        file.write_bytes(crc)
    data[3 * BLOCK + 5] ^= 1
    assert stretch(store, 0, 1)[0] == ord("A")
    (store.path / "00000/raw.bin").write_bytes(data)
    with pytest.raises(StoreError, match=r"raw\.bin is damaged"):
        stretch(store, 0, 1)


def test_every_block_is_checked_once():
    data = memoryview(np.random.default_rng(0).bytes(5 * BLOCK + 7))
    (blocks,) = Blocks.unpacked(packed([("00" * 32, data)]), [("00" * 32, len(data))])
    assert not blocks.damaged(
        data, *stretches_of(np.array([BLOCK - 1, 5 * BLOCK]), np.array([BLOCK + 1, 5 * BLOCK + 7])), 1, one_each=False
    )
    assert blocks.seen.tolist() == [True, True, False, False, False, True]
    assert not blocks.damaged(
        memoryview(bytes(len(data))), *stretches_of(np.array([5]), np.array([9])), 1, one_each=False
    )  # seen before
    assert blocks.damaged(
        memoryview(bytes(len(data))), *stretches_of(np.array([5]), np.array([3 * BLOCK])), 1, one_each=False
    )
    assert Blocks.unpacked(packed([("00" * 32, data)]), [("11" * 32, len(data))]) is None
    assert Blocks.unpacked(packed([("00" * 32, data)]), [("00" * 32, len(data) + BLOCK)]) is None


def test_a_column_keeps_few_shards_open(store, monkeypatch):
    monkeypatch.setattr("proxylm.data.column._most_open", lambda: 1)
    column: Column = Store.open(store.path).column("raw")
    assert len(column.shards) == 2
    texts = [column[i].tobytes() for i in (0, 11, 0, 11)]
    assert texts == [b"A" * 20_000, b"L" * 20_000] * 2
    assert [bool(shard._maps) for shard in column.shards] == [False, True]
    assert sum(column.lengths) == 240_000
