import errno
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import zstandard

import compressors
from compressors.corpus import Document, Reader
from compressors.errors import FingerprintMismatch, InputError, InvalidConfig, SlowPath
from compressors.file_lock import lock, open_lock
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


def test_interrupted_encode_goes_on_and_equals_a_whole_one(tmp_path, bpe):
    whole = build(tmp_path / "whole", bpe)

    def stop(*counts):
        stop.calls += 1
        if stop.calls == 3:
            raise KeyboardInterrupt

    stop.calls = 0
    with pytest.raises(KeyboardInterrupt):
        build(tmp_path / "s", bpe, progress=stop)
    with pytest.raises(StoreError, match="not a finished view store"):
        Store.open(tmp_path / "s")
    kept = (tmp_path / "s/00000/bpe.bin").stat().st_mtime_ns
    assert build(tmp_path / "s", bpe).fingerprint == whole.fingerprint
    assert (tmp_path / "s/00000/bpe.bin").stat().st_mtime_ns == kept


def test_sigkill_in_the_middle_of_an_encode_loses_nothing(tmp_path, bpe):
    bpe.save(tmp_path / "bpe.pxa")
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": f"line {i} " * 3000}) + "\n" for i in range(300)))
    command = [
        sys.executable,
        "-m",
        "proxylm.cli.main",
        "encode",
        str(corpus),
        "--view",
        f"bpe={tmp_path / 'bpe.pxa'}",
        "--shard-mb",
        "1",
    ]
    process = subprocess.Popen([*command, "-o", str(tmp_path / "killed")], stdout=subprocess.DEVNULL)
    deadline = time.time() + 60
    while not (tmp_path / "killed/00001/bpe.json").exists() and time.time() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed/manifest.json").exists()
    for name in ("killed", "whole"):
        subprocess.run([*command, "-o", str(tmp_path / name)], check=True, capture_output=True)
    killed, whole = Store.open(tmp_path / "killed"), Store.open(tmp_path / "whole")
    killed.verify()
    assert killed.fingerprint == whole.fingerprint


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


def test_what_a_killed_run_left_is_tidied_up(tmp_path, bpe):
    (tmp_path / "s/00000").mkdir(parents=True)
    (tmp_path / "s/00000/.raw.bin.123.tmp").write_bytes(b"half")
    build(tmp_path / "s", bpe)
    assert [path.name for path in (tmp_path / "s").rglob(".*")] == [".lock"]


def test_what_a_killed_run_left_in_the_folder_is_tidied_up(tmp_path, bpe):
    store = tmp_path / "store"
    store.mkdir()
    (store / ".bpe.splits.0123456789abcdef.tmp").write_text("left")
    encode([Document("a", b"text")], store, {"bpe": bpe})
    assert sorted(path.name for path in store.iterdir()) == [".lock", "00000", "bpe.splits", "manifest.json"]


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


def test_a_file_system_without_locks_is_written_with_a_warning(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOSYS, "Function not implemented")  # as Lustre does

    monkeypatch.setattr("filelock.lock_descriptor", refuse)
    with pytest.warns(SlowPath, match="no locks; start no second process"):
        assert len(encode(DOCUMENTS, tmp_path / "s", {})) == len(DOCUMENTS)
    monkeypatch.undo()
    with pytest.raises(InputError, match="no documents"):
        encode([], tmp_path / "t", {})
    assert not (tmp_path / "t").exists()


def test_progress_is_told_of_every_document_and_every_byte_of_the_input(tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": f"line {i}"}) + "\n" for i in range(999)))
    (tmp_path / "b.txt").write_text("text")
    told = []
    reader = Reader([tmp_path])
    store = encode(reader, tmp_path / "s", {}, shard_bytes=1000, progress=lambda *counts: told.append(counts))
    assert len(told) == len(store.manifest["shards"]) > 5
    total = (len(store), store.n_symbols("raw"), sum(p.stat().st_size for p in tmp_path.glob("?.*")))
    assert tuple(map(sum, zip(*told, strict=True))) == total
    told.clear()
    encode(None, tmp_path / "s", {"gz": compressors.get("gzip")}, progress=lambda *counts: told.append(counts))
    assert tuple(map(sum, zip(*told, strict=True))) == (*total[:2], total[1])  # read from the store: raw bytes


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


def test_encode_takes_any_iterable(tmp_path):
    rows = [{"text": "one"}, {"text": "two", "id": "second"}]
    store = encode(iter(rows), tmp_path / "rows", {})
    assert [store.column("raw")[i].tobytes() for i in range(2)] == [b"one", b"two"]
    assert [store.id_of(i) for i in range(2)] == ["row:1", "second"]
    (tmp_path / "a.txt").write_text("text")
    assert encode(str(tmp_path / "a.txt"), tmp_path / "path", {}).id_of(0) == str(tmp_path / "a.txt")
    with pytest.raises(InputError, match="no documents"):
        encode([], tmp_path / "none", {})
    assert not (tmp_path / "none").exists()


def test_two_encodes_of_one_store_work_one_after_the_other(tmp_path, bpe):
    """Neither removes what the other is writing."""
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": f"line {i} " * 3000}) + "\n" for i in range(200)))
    command = [sys.executable, "-m", "proxylm.cli.main", "encode", str(corpus), "--view", "zstd", "--shard-mb", "1"]
    both = [
        subprocess.Popen(
            [*command, "-o", str(tmp_path / "s")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [process.communicate(timeout=100) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert said[0][0] == said[1][0]
    Store.open(tmp_path / "s").verify()
    with open_lock(tmp_path / "s") as held:
        assert lock(held)
        waiting = subprocess.Popen(
            [*command, "-o", str(tmp_path / "s")], stderr=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert b"another process writes" in waiting.stderr.readline()
    assert waiting.communicate(timeout=100)[0]
    assert waiting.returncode == 0
