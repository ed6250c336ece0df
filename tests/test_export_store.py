"""Views in the formats of other trainers, read back by readers that are not ours."""

import itertools
import struct

import numpy as np
import pytest
from click.testing import CliRunner

from compressors.corpus import Document
from compressors.errors import InputError, InvalidConfig
from compressors.identity import Identity
from proxylm.cli.main import proxyc
from proxylm.data.encode import encode
from proxylm.data.export import FORMATS, encode_to, export

TEXTS = [b"def f(x):\n    return x\n" * 5, b"", b"\xff\x00any bytes", "naïve 日本".encode(), b"the last document"]


@pytest.fixture(scope="module")
def store(tmp_path_factory, bpe):
    documents = [Document(f"d{i}", text) for i, text in enumerate(TEXTS)]
    path = tmp_path_factory.mktemp("store")
    return encode(documents, path / "s", {"bpe": bpe, "copy": Identity()}, shard_bytes=100)  # several shards


@pytest.fixture(scope="module")
def wanted(bpe):
    return [bpe.encode(text).tolist() for text in TEXTS]


def read_megatron(prefix):
    """A slow reader of the published layout."""
    index = prefix.with_name(prefix.name + ".idx").read_bytes()
    assert index[:9] == b"MMIDIDX\x00\x00"
    version, code, n_sequences, n_marks = struct.unpack_from("<QBQQ", index, 9)
    assert (version, n_marks) == (1, n_sequences + 1)
    dtype = {1: "<u1", 4: "<i4", 8: "<u2"}[code]
    lengths = np.frombuffer(index, "<i4", n_sequences, 34)
    begins = np.frombuffer(index, "<i8", n_sequences, 34 + 4 * n_sequences)
    marks = np.frombuffer(index, "<i8", n_marks, 34 + 12 * n_sequences)
    assert len(index) == 34 + 12 * n_sequences + 8 * n_marks
    assert marks.tolist() == list(range(n_marks))
    data = prefix.with_name(prefix.name + ".bin").read_bytes()
    return [np.frombuffer(data, dtype, n, begin).tolist() for n, begin in zip(lengths, begins, strict=True)]


@pytest.mark.parametrize("eod", [None, 1024, 100_000])
def test_megatron(store, wanted, tmp_path, eod):
    export(store, "bpe", "megatron", tmp_path / "x", eod=eod)
    assert read_megatron(tmp_path / "x") == [ids + ([] if eod is None else [eod]) for ids in wanted]


def test_bytes_take_one_byte(store, tmp_path):
    export(store, "copy", "megatron", tmp_path / "x")
    assert (tmp_path / "x.bin").read_bytes() == b"".join(TEXTS)


def test_npy(store, wanted, tmp_path):
    export(store, "bpe", "npy", tmp_path / "x")
    ids, offsets = np.load(tmp_path / "x.npy", mmap_mode="r"), np.load(tmp_path / "x.offsets.npy")
    assert ids.dtype == np.uint16
    assert [ids[a:b].tolist() for a, b in itertools.pairwise(offsets)] == wanted
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy", "x.offsets.npy"]


def test_flat(store, wanted, tmp_path):
    export(store, "bpe", "flat", tmp_path / "x", eod=0)
    ids = np.memmap(tmp_path / "x.bin", np.uint16, "r")
    assert ids.tolist() == [symbol for ids in wanted for symbol in [*ids, 0]]


def test_arrow(store, wanted, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets = pytest.importorskip("datasets")
    export(store, "bpe", "arrow", tmp_path / "x")
    assert datasets.load_from_disk(str(tmp_path / "x"))["input_ids"][:] == wanted


def test_bad_input_leaves_nothing(store, tmp_path):
    (tmp_path / "x.idx").write_text("mine")
    with pytest.raises(InputError, match=r"x\.idx exists already"):
        export(store, "bpe", "megatron", tmp_path / "x")
    with pytest.raises(InvalidConfig, match="no format 'tar'"):
        export(store, "bpe", "tar", tmp_path / "x")
    with pytest.raises(InvalidConfig, match="do not fit into int32"):
        export(store, "bpe", "megatron", tmp_path / "y", eod=1 << 31)
    with pytest.raises(ValueError, match="has no view 'zstd'"):
        export(store, "zstd", "npy", tmp_path / "y")
    assert [path.name for path in tmp_path.iterdir()] == ["x.idx"]
    assert (tmp_path / "x.idx").read_text() == "mine"


def test_the_command(store, tmp_path):
    words = ["store", "export", str(store.path), "--view", "bpe", "--to", "npy", "-o", str(tmp_path / "x")]
    done = CliRunner().invoke(proxyc, words)
    assert done.exit_code == 0, done.output
    assert "x.npy" in done.output
    assert CliRunner().invoke(proxyc, ["store", str(store.path)]).exit_code == 0


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("eod", [None, 1024])
def test_encoding_without_a_store_writes_the_same_files(store, bpe, tmp_path, to, eod):
    for folder in ("store", "straight"):
        (tmp_path / folder).mkdir()
    export(store, "bpe", to, tmp_path / "store/x", eod=eod)
    counted = []
    options = {"shard_bytes": 100, "threads": 2, "eod": eod}
    encode_to(TEXTS, bpe, to, tmp_path / "straight/x", progress=lambda *counts: counted.append(counts), **options)
    assert contents(tmp_path / "straight") == contents(tmp_path / "store")
    assert sum(n_documents for n_documents, *_ in counted) == len(TEXTS)


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_encode_with_a_format(tmp_path, bpe):
    bpe.save(tmp_path / "code.pxa")
    (tmp_path / "corpus.jsonl").write_text('{"text": "def f(x):"}\n{"text": "import os"}\n')
    words = ["encode", str(tmp_path / "corpus.jsonl"), "--view", f"bpe={tmp_path / 'code.pxa'}", "--format"]
    done = CliRunner().invoke(proxyc, [*words, "megatron", "--eod", "0", "-o", str(tmp_path / "x")])
    assert done.exit_code == 0, done.output
    assert read_megatron(tmp_path / "x") == [[*bpe.encode(text).tolist(), 0] for text in (b"def f(x):", b"import os")]
    assert "x.bin" in done.output
    again = [*words, "megatron", "-o", str(tmp_path / "x")]
    with pytest.raises(InputError, match="exists already; use --force"):
        CliRunner().invoke(proxyc, again, catch_exceptions=False)
    assert CliRunner().invoke(proxyc, [*again, "--force"]).exit_code == 0
    for wrong, said in (
        ([*words, "npy", "--view", "gzip"], "one --view"),
        (["encode", "-o", "y", "--format", "npy"], "takes a CORPUS"),
        ([*words, "npy", "--engine", "ray"], "local engine"),
        (["encode", str(tmp_path), "--eod", "0"], "go with --format"),
        ([*words, "tar"], "is not one of 'store', 'megatron', 'flat', 'npy', 'arrow'"),
    ):
        done = CliRunner().invoke(proxyc, [*wrong, "-o", str(tmp_path / "y")])
        assert done.exit_code == 2
        assert said in done.output
    assert not list(tmp_path.glob("*y*"))


def test_encoding_that_fails_leaves_nothing_and_what_was_left_is_no_obstacle(tmp_path, bpe):
    def documents():
        yield b"one" * 50
        raise InputError("the corpus cannot be read")

    for to in FORMATS:
        with pytest.raises(InputError, match="cannot be read"):
            encode_to(documents(), bpe, to, tmp_path / "x", shard_bytes=100)
        with pytest.raises(InputError, match="no documents for"):
            encode_to([], bpe, to, tmp_path / "x")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".x.unfinished").mkdir()  # by a call that was killed
    encode_to(TEXTS, bpe, "arrow", tmp_path / "x")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
