"""Several `.pxc` files one after the other, the checksum of the whole wherever it is read, and use by many at once."""

import array
import hashlib
import io
import os
import pickle
import random
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path

import pytest

from compressors import CorruptStream, OutputLimitExceeded, files
from compressors.bpe.codec import BPE
from compressors.errors import FingerprintMismatch, NewerVersion
from compressors.files import pxc
from compressors.files.pxc_codec import codec_for
from compressors.files.pxc_salvage import salvage, salvage_stream
from compressors.gzip import Gzip
from compressors.identity import Identity
from compressors.pack import Pack

A, B = (hashlib.shake_256(seed).digest(2 * pxc.BLOCK_SIZE + 5000) for seed in (b"a", b"b"))


def packed(data: bytes, codec: object = None) -> bytes:
    return b"".join(pxc.write(codec or Identity(), [data] if data else []))  # type: ignore[arg-type]


def unpacked(data: bytes, **options: int) -> bytes:
    out = BytesIO()
    files.decompress_stream(BytesIO(data), out, name="x.pxc", **options)
    return out.getvalue()


@pytest.mark.parametrize(
    "parts",
    [(A, B), (b"", b"", b""), (b"", A), (A, b""), (A, b"", b"short", B)],
    ids=lambda parts: "-".join(str(len(p)) for p in parts),
)
def test_files_one_after_the_other_are_one_file(tmp_path: Path, parts: tuple[bytes, ...]) -> None:
    """As `.gz` and `.zst` may be; each with its own codec."""
    codecs = [Identity(), Pack(codec="gzip", bits=16)] * 3
    path, data = tmp_path / "x.pxc", b"".join(parts)
    path.write_bytes(b"".join(packed(part, codec) for part, codec in zip(parts, codecs, strict=False)))
    assert unpacked(path.read_bytes(), threads=2) == data
    with files.open(path) as file:
        assert file.read() == data
        assert file.size == len(data)
        assert file.read_at(len(data) // 2, 100) == data[len(data) // 2 :][:100]
    assert files.inspect(path)["raw_bytes"] == len(data)
    assert files.inspect(path)["files"] == len(parts)
    out = BytesIO()
    assert salvage_stream(path, out) == ([], len(data))
    assert out.getvalue() == data
    if data:
        with pytest.raises(OutputLimitExceeded):
            unpacked(path.read_bytes(), max_output=len(data) - 1)


def test_another_codec_is_refused_in_any_of_them(bpe: BPE) -> None:
    with pytest.raises(FingerprintMismatch, match="--codec bpe=FILE"):
        unpacked(packed(A) + packed(b"text", bpe))


@pytest.mark.parametrize("extra", [b"\0", b"\x8eP", b"\x8ePXC", packed(b"")[:-1], b"x" * 100])
def test_nothing_else_may_follow(tmp_path: Path, extra: bytes) -> None:
    (tmp_path / "x.pxc").write_bytes(packed(A) + extra)
    with pytest.raises(CorruptStream):
        unpacked(packed(A) + extra)
    with pytest.raises(CorruptStream):
        files.open(tmp_path / "x.pxc")


def test_salvage_of_several_without_the_last_index(tmp_path: Path) -> None:
    whole = packed(A) + packed(b"two", Pack(codec="gzip", bits=16)) + packed(B)
    (tmp_path / "x.pxc").write_bytes(whole[:-1])
    assert b"".join(found.data or b"?" for found in salvage(tmp_path / "x.pxc")) == A + b"two" + B


# -- blocks of another file: each sound, and together nobody's ----------------------------------------------------------


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    one, other = packed(A), packed(B)
    cut = one.index(pxc.BLOCK, 1000)
    (tmp_path / "m.pxc").write_bytes(one[:cut] + other[cut:])
    return tmp_path / "m.pxc"


@pytest.mark.parametrize("cut", [0, 1])
def test_salvage_compares_the_whole_with_and_without_an_index(mixed: Path, cut: int) -> None:
    mixed.write_bytes(mixed.read_bytes()[: len(mixed.read_bytes()) - cut])
    gaps, n_bytes = salvage_stream(mixed, BytesIO())
    assert n_bytes == len(A)
    assert [("of another file" in gap) for gap in gaps] == [True]


def test_reading_in_order_compares_the_whole(mixed: Path) -> None:
    for read in (lambda file: file.read(), lambda file: list(file), lambda file: [file.read(999) for _ in range(9999)]):
        with files.open(mixed) as file, pytest.raises(CorruptStream, match="of another file"):
            read(file)
    with files.open(mixed) as file:  # a part says nothing of the whole
        assert file.read(10) == A[:10]
        file.seek(2 * pxc.BLOCK_SIZE)
        assert file.read() == B[2 * pxc.BLOCK_SIZE :]


def test_reading_here_and_there_first_does_not_upset_that(tmp_path: Path) -> None:
    (tmp_path / "x.pxc").write_bytes(packed(A))
    with files.open(tmp_path / "x.pxc") as file:
        for at in (0, 5, pxc.BLOCK_SIZE + 1, 3, 2 * pxc.BLOCK_SIZE, 0):
            file.seek(at)
            assert file.read(10) == A[at : at + 10]
        file.seek(0)
        assert file.read() == A
        file.seek(0)
        assert file.read() == A


def test_a_block_of_the_wrong_length_in_its_place(tmp_path: Path) -> None:
    """An index whose checksum is right, over blocks that it does not fit."""
    one, two = packed(A[: 2 * pxc.BLOCK_SIZE]), packed(b"x" * 30 + A[: 2 * pxc.BLOCK_SIZE - 30])
    cut = one.index(pxc.BLOCK, 1000)
    (tmp_path / "x.pxc").write_bytes(two[: two.index(pxc.BLOCK, 1000)][:cut].ljust(cut, b"\0") + one[cut:])
    with files.open(tmp_path / "x.pxc") as file, pytest.raises(CorruptStream):
        file.read()


# -- threads and processes -------------------------------------------------------------------------------------------------


def is_right(file: io.BufferedReader, seed: int) -> bool:
    drawn, data = random.Random(seed), A + B
    for _ in range(100):
        at = drawn.randrange(len(data))
        file.seek(at)
        if file.read(1000) != data[at : at + 1000]:
            return False
    return True


@pytest.fixture
def opened(tmp_path: Path) -> io.BufferedReader:
    (tmp_path / "x.pxc").write_bytes(packed(A) + packed(B))
    return files.open(tmp_path / "x.pxc")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_file_that_was_opened_before_the_workers_were_forked(opened: io.BufferedReader) -> None:
    opened.read(1)
    children = []
    for seed in range(3):
        if (child := os.fork()) == 0:
            os._exit(0 if is_right(opened, seed) else 1)
        children.append(child)
    assert is_right(opened, 9)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    opened.close()


def test_an_open_file_is_pickled_with_its_place(opened: io.BufferedReader, monkeypatch: pytest.MonkeyPatch) -> None:
    opened.seek(len(A) - 10)
    opened.read(5)
    monkeypatch.chdir("/")
    with opened, pickle.loads(pickle.dumps(opened)) as again:
        assert again.tell() == len(A) - 5
        assert again.read(10) == A[-5:] + B[:5]
        assert opened.read(10) == A[-5:] + B[:5]


def test_spawned_workers_read_a_pickled_file(opened: io.BufferedReader) -> None:
    with opened, ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        assert pool.submit(is_right, opened, 1).result()


@pytest.mark.parametrize("source", [str, Path, lambda path: path.open("rb"), lambda path: BytesIO(path.read_bytes())])
def test_threads_share_read_at(opened: io.BufferedReader, source: Callable[[Path], object]) -> None:
    path, data = Path(opened.raw._given[0]), A + B  # type: ignore[attr-defined]
    opened.close()
    with files.open(source(path)) as file, ThreadPoolExecutor(4) as pool:  # type: ignore[arg-type]
        places = [random.Random(i).randrange(len(data) + 10) for i in range(300)]
        assert list(pool.map(lambda at: file.read_at(at, 1000), places)) == [data[at : at + 1000] for at in places]
        assert file.read_at(0, len(data) + 1) == data
        assert file.read_at(5, 0) == file.read_at(len(data), 5) == b""


def test_arrays_of_wider_items_are_filled(opened: io.BufferedReader) -> None:
    raw = files.open(opened.raw._given[0]).detach()  # type: ignore[attr-defined]
    into = array.array("H", bytes(1000))
    assert raw.readinto(into) == 1000  # type: ignore[attr-defined]
    assert into.tobytes() == A[:1000]
    raw.close()
    opened.close()


def test_a_newer_codec_says_upgrade(bpe: BPE) -> None:
    for codec in (Identity(), bpe):
        header = pxc.Header.of(codec)
        newer = pxc.Header(codec=header.codec, config=header.config, config_version=header.config_version + 1)
        for given in (None, codec):
            with pytest.raises(NewerVersion, match="upgrade"):
                codec_for(newer, given)


def test_inspect_reads_what_cannot_seek(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Piped:
        buffer = io.BufferedReader(BytesIO(packed(A)))  # type: ignore[type-var]

    monkeypatch.setattr("sys.stdin", Piped)
    facts = files.inspect(files.STDIN)
    assert (facts["raw_bytes"], facts["file_bytes"], facts["blocks"]) == (len(A), len(packed(A)), 3)
    (tmp_path / "x.gz").write_bytes(Gzip().compress(b"x"))
    assert files.inspect(tmp_path / "x.gz")["format"] == "gzip"
    (tmp_path / "x.txt").write_bytes(b"plain text, longer than a header")
    with pytest.raises(CorruptStream, match="magic"):
        files.inspect(tmp_path / "x.txt")
