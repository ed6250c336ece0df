import gzip
import hashlib
import json

import numpy as np
import pytest
import zstandard

from compressors.corpus import Document, Reader, documents, fingerprint, take
from compressors.errors import InputError, InvalidConfig

LINES = "".join(json.dumps({"text": text, "other": "x"}) + "\n" for text in ("one", "", "zwei ü", "日本"))


def read(*paths, **options):
    return [document.data for document in Reader(list(paths), **options)]


def test_records_plain_and_compressed_agree(tmp_path):
    (tmp_path / "a.jsonl").write_text(LINES)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(LINES[:20].encode()) + gzip.compress(LINES[20:].encode()))
    (tmp_path / "a.jsonl.zst").write_bytes(
        zstandard.compress(LINES[:20].encode()) + zstandard.compress(LINES[20:].encode())
    )
    expected = [text.encode() for text in ("one", "", "zwei ü", "日本")]
    assert all(read(tmp_path / name) == expected for name in ("a.jsonl", "a.jsonl.gz", "a.jsonl.zst"))
    assert read(tmp_path / "a.jsonl", text_field="other") == [b"x"] * 4


def test_folders_are_sorted_and_hidden_files_left_out(tmp_path):
    for name, data in {"b.py": b"\xff\xfe", "a/z.py": b"z", ".git/x.py": b"no", "c.txt": b"c"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    assert read(tmp_path) == [b"z", b"\xff\xfe", b"c"]
    assert read(tmp_path, pattern="*.py") == [b"z", b"\xff\xfe"]


def test_bad_records_are_counted_or_fatal(tmp_path):
    bad = ["[" * 200_000, "not json", "[1]", '{"no": 1}', '{"text": 5}', '{"text": "\\ud800"}', "null"]
    (tmp_path / "a.jsonl").write_text("\n".join(['{"text": "good"}', *bad]) + "\n")
    reader = Reader([tmp_path / "a.jsonl"])
    assert [d.data for d in reader] == [b"good"]
    assert reader.n_bad == len(bad)
    assert "a.jsonl:2" in reader.first_bad
    with pytest.raises(InputError, match="bad record"):
        read(tmp_path / "a.jsonl", strict=True)


def test_missing_empty_and_damaged(tmp_path):
    with pytest.raises(InputError, match="no file or folder"):
        read(tmp_path / "missing")
    with pytest.raises(InputError, match="no documents"):
        read(tmp_path)
    (tmp_path / "a.jsonl").write_text("garbage\n")
    with pytest.raises(InputError, match="1 bad records"):
        read(tmp_path / "a.jsonl")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(LINES.encode())[:-9])
    (tmp_path / "c.jsonl.zst").write_bytes(b"no zstd at all")
    damaged = bytearray(gzip.compress(LINES.encode() * 99))
    damaged[40:60] = b"\xff" * 20
    (tmp_path / "d.jsonl.gz").write_bytes(damaged)
    for name in ("b.jsonl.gz", "c.jsonl.zst", "d.jsonl.gz"):
        with pytest.raises(InputError, match="cannot read"):
            read(tmp_path / name)


def test_parquet_rows_are_read_in_order_and_bad_ones_counted(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    texts = ["one", "", None, "zwei ü", *(f"line {i}" for i in range(1000))]
    table = pa.table({"id": range(len(texts)), "text": texts, "bytes": [b"\xff"] * len(texts)})
    table = table.append_column("kind", pa.array(["a", "b"] * (len(texts) // 2)).dictionary_encode())
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=300, write_page_checksum=True)
    (tmp_path / "b.jsonl").write_text('{"text": "from jsonl"}\n')
    reader = Reader([tmp_path])
    documents = list(reader)
    assert [d.data.decode() for d in documents] == [*(t for t in texts if t is not None), "from jsonl"]
    assert (reader.n_bad, reader.first_bad) == (1, f"{tmp_path}/a.parquet:3: null")
    assert documents[0].id == f"{tmp_path}/a.parquet:1"
    assert read(tmp_path / "a.parquet", text_field="bytes") == [b"\xff"] * len(texts)
    assert read(tmp_path / "a.parquet", text_field="kind")[:3] == [b"a", b"b", b"a"]
    for options, message in (({"strict": True}, "bad record"), ({"text_field": "id"}, "has int64, expected strings")):
        with pytest.raises(InputError, match=message):
            read(tmp_path, **options)
    with pytest.raises(InputError, match=r"no column 'nope', it has: 'id', 'text'.*--field"):
        read(tmp_path, text_field="nope")
    whole = (tmp_path / "a.parquet").read_bytes()
    at = parquet.ParquetFile(tmp_path / "a.parquet").metadata.row_group(2).column(1).data_page_offset + 60
    for damaged in (whole[:-20], whole[: len(whole) // 2], b"", whole[:at] + b"\xff" + whole[at + 1 :]):
        (tmp_path / "a.parquet").write_bytes(damaged)
        with pytest.raises(InputError, match="cannot read"):
            read(tmp_path / "a.parquet")


def test_parquet_with_one_row_group_is_not_held_whole(tmp_path):
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rng = np.random.default_rng(0)
    texts = [rng.bytes(64 << 10) for _ in range(512)]  # 32 MiB that do not compress
    parquet.write_table(pa.table({"text": texts}), tmp_path / "a.parquet", row_group_size=10_000, write_batch_size=16)
    assert parquet.ParquetFile(tmp_path / "a.parquet").num_row_groups == 1
    assert sum(map(len, texts)) == 32 << 20
    del texts
    before = pa.total_allocated_bytes()
    held = max(pa.total_allocated_bytes() - before for _ in Reader([tmp_path / "a.parquet"]))
    assert held < 12 << 20


def test_n_read_grows_to_the_size_of_the_input(tmp_path):
    """What progress is drawn from: bytes of the files as they are stored."""
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(LINES.encode() * 9000))
    (tmp_path / "b.jsonl.zst").write_bytes(zstandard.compress(LINES.encode() * 90))
    (tmp_path / "c.txt").write_text("text")
    (tmp_path / "d.jsonl").write_text(LINES)
    reader = Reader([tmp_path])
    seen = [document.n_read for document in reader]
    assert seen == sorted(seen)
    assert len(set(seen)) > 4
    assert seen[-1] == reader.size == sum(p.stat().st_size for p in tmp_path.iterdir())


def test_urls_give_the_same_documents_as_files(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    for name, data in {
        "b.py": b"\xff",
        "a/z.py": b"z",
        ".git/x.py": b"no",
        "c.jsonl.gz": gzip.compress(LINES.encode()),
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
        memory.pipe(f"/test-documents/{name}", data)
    try:
        for options in ({}, {"pattern": "*.py"}):
            assert read("memory://test-documents", **options) == read(tmp_path, **options)
        (document,) = Reader(["memory://test-documents/a/z.py"])
        assert (document.id, document.data) == ("memory:///test-documents/a/z.py", b"z")
        reader = Reader(["memory://test-documents", tmp_path / "b.py"])
        assert [d.n_read for d in reader][-1] == reader.size
        memory.pipe("/test-documents/c.jsonl.gz", b"no gzip")
        for url, message in (
            ("memory://test-documents/c.jsonl.gz", "cannot read memory:///test-documents/c.jsonl.gz"),
            ("memory://test-documents/none", "no file or folder memory://test-documents/none"),
            ("nosuch://bucket/x", "cannot read nosuch://bucket/x: Protocol not known"),
        ):
            with pytest.raises(InputError, match=message):
                read(url)
    finally:
        memory.rm("/test-documents", recursive=True)


def test_take_gives_whole_documents_and_reads_no_more():
    def given():
        for text in (b"abc", b"", b"de", b"f"):
            yield Document("", text)
        raise AssertionError("read too far")

    for n_bytes, expected in (
        (0, []),
        (1, [b"abc"]),
        (3, [b"abc"]),
        (4, [b"abc", b"", b"de"]),
        (6, [b"abc", b"", b"de", b"f"]),
    ):
        assert [document.data for document in take(given(), n_bytes)] == expected
    with pytest.raises(AssertionError):
        list(take(given(), None))


def test_the_fingerprint_of_documents_is_that_of_published_results():
    assert fingerprint([b"a", b"", b"b"]) == hashlib.sha256(b"a\0\0b").hexdigest()
    assert fingerprint(iter([])) == hashlib.sha256().hexdigest()


def test_a_sample_holds_what_is_asked_for_in_any_order(tmp_path):
    texts = [f"{i} " * 500 for i in range(300)] + ["x" * (3 << 20)]
    for name, order in (("a.jsonl", texts), ("b.jsonl", texts[::-1])):
        (tmp_path / name).write_text("".join(json.dumps({"text": text}) + "\n" for text in order))
    one, other = (Reader(tmp_path / name).sample(50_000) for name in ("a.jsonl", "b.jsonl"))
    assert one == other
    assert 50_000 <= sum(map(len, one)) < 50_000 + (1 << 20)
    assert len(max(one, key=len)) <= 1 << 20
    with pytest.raises(InvalidConfig, match="sample is 0"):
        Reader(tmp_path).sample(0)


def test_documents_of_whatever_has_some(tmp_path):
    (tmp_path / "a.jsonl").write_text(LINES)
    for path in (tmp_path / "a.jsonl", str(tmp_path / "a.jsonl"), Reader([tmp_path / "a.jsonl"])):
        assert list(documents(path)) == list(Reader([tmp_path / "a.jsonl"]))
    rows = [{"text": "ü", "id": 7}, {"text": b"\xff", "other": 1}, "s", b"b", Document("d", b"d"), memoryview(b"m")]
    assert [(document.id, document.data) for document in documents(row for row in rows)] == [
        ("7", "ü".encode()), ("row:2", b"\xff"), ("row:3", b"s"), ("row:4", b"b"), ("d", b"d"), ("row:6", b"m")
    ]  # fmt: skip
    assert [document.data for document in documents([{"content": "x"}], text_field="content")] == [b"x"]
    for bad, message in (
        ({"content": "x"}, "document 2 is a mapping with None in 'text'"), (3, "document 2 is int"), ("\ud800", "document 2 is not text"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            list(documents([b"", bad]))
    for one, message in (({"train": [b""], "test": [b""]}, "one of its parts: train, test"), (b"text", "one document")):
        with pytest.raises(InputError, match=message):
            list(documents(one))


def test_all_paths_are_looked_for_before_the_first_is_read(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(InputError, match=r"no file or folder .*missing"):
        next(iter(Reader([tmp_path / "a.txt", tmp_path / "missing"])))
