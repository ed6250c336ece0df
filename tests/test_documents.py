import gzip
import json

import pytest
import zstandard

from compressors.documents import Reader
from compressors.errors import InputError

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
