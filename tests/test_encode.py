"""Encoding that is interrupted, killed or started twice gives the store of one that was not; what it takes and tells."""

import errno
import json
import signal
import subprocess
import sys
import time

import pytest

import compressors
from compressors.corpus import Document, Reader
from compressors.errors import InputError, SlowPath
from compressors.file_lock import lock, open_lock
from proxylm.data.encode import encode
from proxylm.data.store import Store, StoreError

TEXTS = [b"", b"one\0", b"\xff\xfe not text", b"two " * 400, *(f"document {i}\n".encode() * i for i in range(40))]
DOCUMENTS = [Document(str(i), data) for i, data in enumerate(TEXTS)]


def build(path, bpe, **options):
    return encode(DOCUMENTS, path, {"bpe": bpe, "zstd": compressors.get("zstd")}, shard_bytes=2000, **options)


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
