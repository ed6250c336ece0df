"""`proxyc store`: its figures are those of the files, and damage is one line that names the file."""

import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

import compressors
from compressors.corpus import Document
from compressors.errors import InputError
from proxylm.cli.main import proxyc
from proxylm.data.encode import encode
from proxylm.data.store import Store

TEXTS = [b"", b"\xff no text", *(f"def f_{i}(x): return x\n".encode() * i for i in range(60))]


@pytest.fixture
def made(tmp_path, bpe):
    documents = [Document(str(i), data) for i, data in enumerate(TEXTS)]
    views = {"bpe": bpe, "best": compressors.get("zstd", level=19)}
    return encode(documents, tmp_path / "s", views, shard_bytes=9000)


def proxyc_store(*arguments):
    return CliRunner().invoke(proxyc, ["store", *map(str, arguments)], catch_exceptions=False)


def test_figures_are_those_of_the_files(made, bpe):
    found = json.loads(proxyc_store(made.path, "--json", "--verify").output)
    assert found["documents"] == len(TEXTS)
    assert found["bytes"] == sum(map(len, TEXTS))
    assert found["shards"] == len(list(made.path.glob("0*"))) > 1
    assert set(found["views"]) == {"raw", "bpe", "best"}
    view = found["views"]["bpe"]
    assert view["symbols"] == sum(len(bpe.encode(data)) for data in TEXTS)
    assert view["bytes_per_symbol"] == found["bytes"] / view["symbols"]
    assert (view["codec"], view["vocab_size"], view["fingerprint"]) == ("bpe", 1024, bpe.fingerprint)
    on_disk = {name: view["size_on_disk"] for name, view in found["views"].items()}
    for name, size in on_disk.items():
        files = [*made.path.rglob(f"{name}.*")]
        assert size == sum(file.stat().st_size for file in files if file.suffix not in (".json", ".crc")), name


def test_what_is_printed_for_people(made):
    lines = proxyc_store(made.path, "--verify").output.splitlines()
    assert f"{len(TEXTS)} documents" in lines[0]
    assert [line.split()[0] for line in lines[1:-1]] == ["view", "best", "bpe", "raw"]
    assert lines[2].split()[1] == "zstd:level=19"
    assert "SHA-256" in lines[-1]


def test_damage_is_named_with_exit_code_1(made):
    file = made.path / "00001/best.bin"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)
    assert proxyc_store(made.path).exit_code == 0  # the sizes are right: only reading all of it tells
    command = [sys.executable, "-m", "proxylm.cli.main", "store", str(made.path), "--verify"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"proxyc: {file} is damaged")
    assert done.stderr.count("\n") == 1


def test_encode_shows_a_bar_where_there_is_a_terminal(tmp_path):
    (tmp_path / "corpus.jsonl").write_text(
        json.dumps({"text": "x" * 600_000}) + "\n" + json.dumps({"text": "y" * 900_000})
    )
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "proxylm.cli.main", "encode", "corpus.jsonl", "-o", "s", "--shard-mb", "1"]
    done = subprocess.run(command, cwd=tmp_path, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, check=False)
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert done.returncode == 0, shown
    assert "100%" in shown
    assert "2 documents, 1.5 MB" in shown
    assert b"\r" not in done.stdout


def test_encode_train_and_eval_read_urls_and_bad_records_are_counted(tmp_path):
    memory = pytest.importorskip("fsspec").filesystem("memory")
    memory.pipe("/test-store/a.jsonl", b'{"text": "one"}\n{"no": 1}\n{"text": "two"}\n')
    try:
        command = ["encode", "memory://test-store", "-o", str(tmp_path / "s")]
        done = CliRunner().invoke(proxyc, command, catch_exceptions=False)
        assert "1 bad records skipped; the first: memory:///test-store/a.jsonl:2" in done.stderr
        assert [d.tobytes() for d in map(Store.open(tmp_path / "s").column("raw").__getitem__, range(2))] == [
            b"one",
            b"two",
        ]
        sizes = ["--set", "train.rows=2", "--set", "train.row_length=16", "--set", "model.d_model=32"]
        held_out = ["--steps", "2", "--held-out", "memory://test-store", "-o", str(tmp_path / "run"), *sizes]
        CliRunner().invoke(proxyc, ["train", str(tmp_path / "s"), *held_out], catch_exceptions=False)
        assert (tmp_path / "run" / "checkpoints" / "best").is_dir()
        done = CliRunner().invoke(
            proxyc, ["eval", str(tmp_path / "run"), "memory://test-store", "--json"], catch_exceptions=False
        )
        assert json.loads(done.stdout)["bytes"] == 6
        with pytest.raises(InputError, match=r"bad record.*a\.jsonl:2"):
            CliRunner().invoke(proxyc, [*command, "--strict"], catch_exceptions=False)
    finally:
        memory.rm("/test-store", recursive=True)


def test_a_document_is_described(made):
    assert proxyc_store(
        made.path, "--document", 1
    ).output == "document 1: 1, 9 bytes\n  best: {} symbols\n  bpe: {} symbols\n".format(
        *(made.column(view).lengths[1] for view in ("best", "bpe"))
    )
    found = json.loads(proxyc_store(made.path, "--document", 61, "--json").output)
    assert (found["id"], found["symbols"]["raw"]) == ("61", len(TEXTS[61]))
    for file in made.path.rglob("ids*"):
        file.unlink()
    assert "its id was not recorded" in proxyc_store(made.path, "--document", 0).output
    with pytest.raises(InputError, match="has no document 62; it has 0 to 61"):
        proxyc_store(made.path, "--document", 62)


def test_a_store_is_not_a_corpus_and_standard_error_may_be_closed(tmp_path):
    (tmp_path / "a.txt").write_text("a text")
    command = f'exec "{sys.executable}" -m proxylm.cli.main encode a.txt -o s --view bytes 2>&-'
    assert subprocess.run(["bash", "-c", command], cwd=tmp_path, stdout=subprocess.PIPE).returncode == 0
    with pytest.raises(InputError, match="is a view store, not a corpus"):
        CliRunner().invoke(proxyc, ["encode", str(tmp_path / "s"), "-o", str(tmp_path / "t")], catch_exceptions=False)
    assert not (tmp_path / "t").exists()
