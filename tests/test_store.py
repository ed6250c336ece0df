"""Views of a store are aligned and decode; damage, other codecs and other corpora are named."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import zstandard

import compressors
from compressors.corpus import Document, Reader
from compressors.errors import FingerprintMismatch, InputError, InvalidConfig
from compressors.identity import Identity
from proxylm.data.encode import encode
from proxylm.data.export import export
from proxylm.data.store import Store, StoreError

TEXTS = [b"", b"one\0", b"\xff\xfe not text", b"two " * 400, *(f"document {i}\n".encode() * i for i in range(40))]
DOCUMENTS = [Document(str(i), data) for i, data in enumerate(TEXTS)]


def build(path, bpe, **options):
    return encode(DOCUMENTS, path, {"bpe": bpe, "zstd": compressors.get("zstd")}, shard_bytes=2000, **options)


def test_views_are_aligned_and_decode(tmp_path, bpe):
    store = build(tmp_path / "s", bpe)
    raw, ids, zstd = (store.column(name) for name in ("raw", "bpe", "zstd"))
    assert len(store.manifest["shards"]) > 3
    assert len(store) == len(raw) == len(ids) == len(TEXTS)
    for i, data in enumerate(TEXTS):
        assert raw[i].tobytes() == data == bpe.decode(ids[i])
        assert compressors.get("zstd").decode(zstd[i]) == data
        assert np.array_equal(ids.spans_of(i), bpe.spans(data))
        assert zstd.spans_of(i) is None
    store.verify()


def test_fingerprint_is_the_same_in_another_process_and_another_folder(tmp_path, bpe):
    store, other = build(tmp_path / "s", bpe), build(tmp_path / "t", bpe, threads=2)
    code = f"from proxylm.data.store import Store; print(Store.open({str(tmp_path / 's')!r}).fingerprint)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert store.fingerprint == other.fingerprint == printed


def test_a_view_is_added_without_touching_the_others(tmp_path, bpe):
    build(tmp_path / "s", bpe)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "s").rglob("*.bin")}
    store = encode(None, tmp_path / "s", {"gz": compressors.get("gzip", level=9)})
    assert {p: p.stat().st_mtime_ns for p in before} == before
    assert store.views == ["bpe", "gz", "zstd"]
    assert compressors.get("gzip").decode(store.column("gz")[3]) == TEXTS[3]


def test_other_artifact_or_other_corpus_is_refused(tmp_path, bpe, documents):
    build(tmp_path / "s", bpe)
    other = type(bpe).fit(documents[:10], vocab_size=300)
    with pytest.raises(FingerprintMismatch, match="another name"):
        encode(DOCUMENTS, tmp_path / "s", {"bpe": other}, shard_bytes=2000)
    with pytest.raises(FingerprintMismatch, match="was made by"):
        Store.open(tmp_path / "s").check_codec("bpe", other)
    Store.open(tmp_path / "s").check_codec("bpe", bpe)
    changed = [Document("0", b"changed"), *DOCUMENTS[1:]]
    with pytest.raises(StoreError, match="other documents"):
        encode(changed, tmp_path / "s", {}, shard_bytes=2000)
    large = [Document(str(i), b"%d" % i * 3000) for i in range(3)]
    encode(large, tmp_path / "t", {}, shard_bytes=2000)
    with pytest.raises(StoreError, match="more shards"):
        encode(large[:2], tmp_path / "t", {}, shard_bytes=2000)


@pytest.mark.parametrize("damage", ["truncate", "delete", "flip", "manifest"])
def test_damage_is_named(tmp_path, bpe, damage):
    build(tmp_path / "s", bpe)
    file = tmp_path / "s/00001/bpe.bin"
    if damage == "truncate":
        os.truncate(file, file.stat().st_size - 1)
    elif damage == "delete":
        file.unlink()
    elif damage == "manifest":
        file = tmp_path / "s/manifest.json"
        file.write_text(file.read_text()[:100])
    else:
        data = bytearray(file.read_bytes())
        data[7] ^= 1
        file.write_bytes(data)
    with pytest.raises(StoreError, match=file.name):
        Store.open(tmp_path / "s").verify()
    if damage in ("truncate", "delete", "flip"):  # the remedy in the message works
        file.with_suffix(".json").unlink()
        build(tmp_path / "s", bpe).verify()


def test_a_bad_view_is_made_again_without_the_corpus_and_a_manifest_from_the_shards(tmp_path, bpe):
    fingerprint = build(tmp_path / "s", bpe).fingerprint
    os.truncate(tmp_path / "s/00001/bpe.bin", 3)
    (tmp_path / "s/00001/bpe.json").unlink()
    assert encode(None, tmp_path / "s", {"bpe": bpe}).fingerprint == fingerprint
    for broken in ("[]", '{"format": 1}', "{"):
        (tmp_path / "s/manifest.json").write_text(broken)
        with pytest.raises(StoreError, match="damaged"):
            Store.open(tmp_path / "s")
        assert encode(DOCUMENTS, tmp_path / "s", {}, shard_bytes=2000).fingerprint == fingerprint
    (tmp_path / "s/00000/bpe.json").write_text("{}")
    with pytest.raises(StoreError, match=r"bpe\.json is damaged"):
        build(tmp_path / "s", bpe)


def test_bad_names_and_missing_views(tmp_path, bpe):
    for name in ("raw", "a/b", "..", ""):
        with pytest.raises(InvalidConfig, match="view name"):
            encode(DOCUMENTS, tmp_path / "s", {name: bpe})
    with pytest.raises(StoreError, match="no view 'nope', it has: bpe, zstd"):
        build(tmp_path / "s", bpe).column("nope")
    with pytest.raises(InputError, match="no documents"):
        encode(Reader([]), tmp_path / "u", {})
    assert not (tmp_path / "u/manifest.json").exists()


def test_shards_of_two_versions_are_not_put_together(tmp_path, bpe):
    build(tmp_path / "s", bpe)
    file = tmp_path / "s/00002/zstd.json"
    facts = json.loads(file.read_text())
    facts["view"]["libraries"] = {"zstd": "0.1"}
    file.write_text(json.dumps(facts))
    with pytest.raises(FingerprintMismatch, match=r"view 'zstd' in .*00002 was made by another codec"):
        encode(DOCUMENTS, tmp_path / "s", {}, shard_bytes=2000)


def made_by_version(path, versions):
    """Let the zstd view of a store say that another version of the library made it."""
    made_by = compressors.get("zstd").fingerprint_with(versions)
    for file in path.glob("*/zstd.json"):
        facts = json.loads(file.read_text())
        facts["view"] |= {"libraries": versions, "fingerprint": made_by}
        file.write_text(json.dumps(facts))
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["views"]["zstd"] |= {"libraries": versions, "fingerprint": made_by}
    (path / "manifest.json").write_text(json.dumps(manifest))


def test_a_view_of_another_version_of_its_library_is_read_and_gets_no_new_shards(tmp_path, bpe):
    store, codec = build(tmp_path / "s", bpe), compressors.get("zstd")
    before = store.column("zstd").shards[0].values.tobytes()
    made_by_version(tmp_path / "s", {"zstd": "0.1"})
    again = build(tmp_path / "s", bpe)  # nothing is missing
    assert again.view("zstd")["libraries"] == {"zstd": "0.1"}
    encode(None, tmp_path / "s", {"copy": Identity()})  # another view is added
    assert export(Store.open(tmp_path / "s"), "zstd", "npy", tmp_path / "x")
    assert again.column("zstd").shards[0].values.tobytes() == before
    refused = "made with zstd 0.1, and this installation has zstd 1.*install zstd 0.1, or encode a new view"
    with pytest.raises(FingerprintMismatch, match=refused):
        again.check_codec("zstd", codec)
    (tmp_path / "s/00000/zstd.json").unlink()  # as after a kill
    with pytest.raises(FingerprintMismatch, match=refused):
        build(tmp_path / "s", bpe)
    with pytest.raises(FingerprintMismatch, match="another name"):
        encode(DOCUMENTS, tmp_path / "s", {"zstd": compressors.get("zstd", level=9)}, shard_bytes=2000)


def test_a_shard_is_checked_when_it_is_first_read(tmp_path, bpe):
    store = encode([Document("a", b"some text, again and again")], tmp_path / "s", {"bpe": bpe})
    file = tmp_path / "s/00000/bpe.len"
    file.write_bytes(b"\0" + file.read_bytes()[1:])
    column = Store.open(store.path).column("bpe")
    assert len(column[0]) > 3  # what is sound is read
    with pytest.raises(
        StoreError, match=r"bpe\.len is damaged: its SHA-256 differs; delete .*bpe\.json and encode again"
    ):
        column.spans_of(0)


def test_ids_are_kept_beside_the_views_and_change_no_fingerprint(tmp_path, bpe):
    lines = [json.dumps({"text": f"line {i} " * 30}) for i in range(40)]
    (tmp_path / "a.jsonl").write_text("\n".join([*lines[:5], "bad", *lines[5:]]) + "\n")
    (tmp_path / "b\n\udcff.txt").write_text("text")
    reader = Reader([tmp_path])
    store = encode(reader, tmp_path / "s", {"bpe": bpe}, shard_bytes=2000)
    assert len(store.manifest["shards"]) > 3
    expected = [document.id for document in Reader([tmp_path / "a.jsonl", tmp_path / "b\n\udcff.txt"])]
    assert [store.id_of(i) for i in range(len(store))] == expected
    assert expected[5] == f"{tmp_path}/a.jsonl:7"
    others = (Document(f"other {d.id}", d.data) for d in Reader([tmp_path / "a.jsonl", tmp_path / "b\n\udcff.txt"]))
    other = encode(others, tmp_path / "t", {"bpe": bpe}, shard_bytes=2000)
    assert other.fingerprint == store.fingerprint
    assert other.id_of(3) == f"other {expected[3]}"
    for file in other.path.rglob("ids*"):  # a store of an earlier version
        file.unlink()
    other.verify()
    assert other.id_of(3) is None
    encode(None, tmp_path / "t", {"gz": compressors.get("gzip")})
    assert other.id_of(3) is None
    again = encode(Reader([tmp_path / "a.jsonl", tmp_path / "b\n\udcff.txt"]), tmp_path / "t", {}, shard_bytes=2000)
    assert again.id_of(3) == expected[3]
    for damaged in (b"", zstandard.compress(b'{"version": 2, "documents": 1}\n"x"\n'), zstandard.compress(b"[]\n")):
        (tmp_path / "s/00000/ids.jsonl.zst").write_bytes(damaged)
        with pytest.raises(StoreError, match=r"ids\.jsonl\.zst cannot be read"):
            store.id_of(0)
