"""`proxyc store`: its figures are those of the files, and damage is one line that names the file."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

import compressors
from compressors.documents import Document
from proxylm.cli import proxyc
from proxylm.encode import encode

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
        assert size == sum(file.stat().st_size for file in files if file.suffix != ".json"), name


def test_what_is_printed_for_people(made):
    lines = proxyc_store(made.path, "--verify").output.splitlines()
    assert f"{len(TEXTS)} documents" in lines[0]
    assert [line.split()[0] for line in lines[1:-1]] == ["view", "best", "bpe", "raw"]
    assert lines[2].endswith("zstd:level=19")
    assert "SHA-256" in lines[-1]


def test_damage_is_named_with_exit_code_1(made):
    file = made.path / "00001/best.bin"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 4
    file.write_bytes(data)
    assert proxyc_store(made.path).exit_code == 0  # the sizes are right: only reading all of it tells
    command = [sys.executable, "-m", "proxylm.cli", "store", str(made.path), "--verify"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"proxyc: {file} is damaged")
    assert done.stderr.count("\n") == 1
