"""The benches of the loader, on little: that they measure what they say, not how fast it is."""

from bench.speed import loader, scale, simulated
from compressors.corpus import Document
from proxylm.data.encode import encode
from proxylm.data.store import Store


def test_the_loader_bench_says_that_the_cursor_gives_the_walked_rows(tmp_path, bpe, documents, monkeypatch):
    monkeypatch.setattr(loader, "RUN", 200)
    monkeypatch.setattr(loader, "STEPS", 5)
    texts = [Document(str(i), text) for i, text in enumerate(documents[:40])]
    encode(texts, tmp_path / "s", {"bpe": bpe}, shard_bytes=20_000)
    rows = [loader.measured(str(tmp_path / "s"), view) for view in ("raw", "bpe:merges=44")]
    assert all(row["equal"] and row["warm_symbols_per_second"] > 0 for row in rows)
    assert str(loader.table(rows)).splitlines()[-1].startswith("| bpe:merges=44 |")


def test_a_simulated_store_is_a_store_and_uses_little_disk(tmp_path):
    path = tmp_path / "s"
    simulated.write(path, 40_000_000, 2000, 20)
    store = Store.open(path)
    store.verify()
    assert (len(store), store.n_symbols("raw"), store.n_symbols(simulated.VIEW)) == (2000, 40_000_000, 10_000_000)
    assert len(set(store.column("raw").lengths.tolist())) > 100
    on_disk = {(s.st_dev, s.st_ino): s.st_blocks * 512 for s in (file.stat() for file in path.rglob("*"))}
    assert sum(on_disk.values()) < 12_000_000
    row = {"first": True, "view": "bpe:merges=1"} | scale.measured(str(path), "bpe:merges=1")
    assert str(scale.table([row])).splitlines()[-1].startswith("| bpe:merges=1 | first |")


def test_shards_that_ray_encodes_are_as_many_as_asked():
    sizes = [len(document.data) for document in scale._texts(3)]
    assert sizes == [scale.SHARD] * 3
