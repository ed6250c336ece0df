"""Reading a `.pxc` file by byte range, and salvaging a damaged one."""

import hashlib
import io
import random
from io import BytesIO
from pathlib import Path

import pytest

from compressors import CorruptStream, FingerprintMismatch, InputError, InvalidConfig, files, get
from compressors.bpe.codec import BPE
from compressors.files import pxc
from compressors.files.pxc_salvage import salvage, salvage_stream
from compressors.identity import Identity

BLOCKS = [hashlib.shake_256(b"%d" % i).digest(pxc.BLOCK_SIZE if i < 5 else 1234) for i in range(6)]
DATA = b"".join(BLOCKS)


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    path = tmp_path / "x.pxc"
    path.write_bytes(b"".join(pxc.write(Identity(), [DATA])))
    return path


def test_any_byte_range_is_read(packed: Path) -> None:
    draw = random.Random(0)
    with files.open(packed) as file:
        assert file.seekable()
        assert file.readable()
        assert not file.writable()
        for _ in range(200):
            a = draw.randrange(len(DATA) + 10)
            n = draw.choice([0, 1, 100, 5000, pxc.BLOCK_SIZE + 3])
            assert file.seek(a) == a
            assert file.read(n) == DATA[a : a + n]
        assert file.seek(-10, 2) == len(DATA) - 10
        assert file.read() == DATA[-10:]
        assert file.read() == b""
        with pytest.raises(ValueError, match="before the beginning"):
            file.seek(-1)


def test_lines_of_a_text_under_a_fitted_codec(tmp_path: Path, bpe: BPE, documents: list[bytes]) -> None:
    data = b"".join(documents)
    (tmp_path / "x.pxc").write_bytes(b"".join(pxc.write(bpe, [data])))
    with files.open(tmp_path / "x.pxc", bpe) as file:
        assert file.readlines() == BytesIO(data).readlines()
    with pytest.raises(FingerprintMismatch, match="give it with"):
        files.open(tmp_path / "x.pxc")


def test_only_the_blocks_that_are_read_are_checked(packed: Path) -> None:
    damage(packed, [2])
    with files.open(packed) as file:
        assert file.read(100) == DATA[:100]
        file.seek(3 * pxc.BLOCK_SIZE)
        assert file.read() == b"".join(BLOCKS[3:])
        file.seek(2 * pxc.BLOCK_SIZE)
        with pytest.raises(CorruptStream, match="damaged"):
            file.read(1)


def damage(path: Path, numbers: list[int]) -> None:
    """Flip a bit in the middle of some blocks."""
    data = bytearray(path.read_bytes())
    places = pxc.read_index((stream := BytesIO(data)).read, len(data), stream.seek)
    for number in numbers:
        data[(places[number][0] + places[number + 1][0]) // 2] ^= 16
    path.write_bytes(data)


def test_salvage_with_the_index_names_every_missing_byte(packed: Path) -> None:
    damage(packed, [0, 2, 5])
    found = list(salvage(packed))
    assert [r.data for r in found] == [None, BLOCKS[1], None, BLOCKS[3], BLOCKS[4], None]
    gaps = [(r.at, r.length) for r in found if r.data is None]
    assert gaps == [(0, 1 << 20), (2 << 20, 1 << 20), (5 << 20, 1234)]
    out = BytesIO()
    gaps, n_bytes = salvage_stream(packed, out)
    assert (len(gaps), n_bytes) == (3, len(out.getvalue()))
    assert out.getvalue() == BLOCKS[1] + BLOCKS[3] + BLOCKS[4]


@pytest.mark.parametrize("cut", [1, 10_000, pxc.BLOCK_SIZE + 2000])
def test_salvage_without_an_index_finds_the_blocks_by_their_heads(packed: Path, cut: int) -> None:
    damage(packed, [1])
    packed.write_bytes(packed.read_bytes()[:-cut])
    found = [r.data for r in salvage(packed)]
    kept = {1: BLOCKS[2:], 10_000: BLOCKS[2:4], pxc.BLOCK_SIZE + 2000: BLOCKS[2:3]}[cut]
    assert [data for data in found if data is not None] == [BLOCKS[0], *kept]
    assert found[1] is None


def test_salvage_after_lost_and_inserted_bytes(packed: Path) -> None:
    data = packed.read_bytes()
    middle = 2 * pxc.BLOCK_SIZE + 5000
    packed.write_bytes(data[:middle] + b"\x8eBLK inserted" + data[middle + 777 :])
    found = [r.data for r in salvage(packed)]
    assert [d for d in found if d is not None] == [BLOCKS[0], BLOCKS[1], *BLOCKS[3:]]


@pytest.mark.parametrize("number", range(7))
def test_salvage_of_a_file_that_ends_after_a_block_says_so(packed: Path, number: int) -> None:
    data = packed.read_bytes()
    places = pxc.read_index((stream := BytesIO(data)).read, len(data), stream.seek)
    packed.write_bytes(data[: places[number][0]])
    found = [r.data for r in salvage(packed)]
    assert found == [*BLOCKS[:number], None]


def test_salvage_tells_a_damaged_end_record_from_a_sound_one(packed: Path) -> None:
    data = bytearray(packed.read_bytes())
    at = data.rindex(pxc.END)
    packed.write_bytes(data[: at + pxc.END_SIZE])  # no index, but the end is there
    assert [r.data for r in salvage(packed)] == BLOCKS
    data[at + 20] ^= 1
    packed.write_bytes(data)
    assert [r.data for r in salvage(packed)] == [*BLOCKS, None]


def test_salvage_does_not_take_the_blocks_of_a_file_within_the_file(tmp_path: Path) -> None:
    """A folder of .pxc files in a tar, say: the inner file is whole, the block of ours that holds it is not."""
    inner = b"".join(pxc.write(Identity(), [hashlib.shake_256(b"inner").digest(600_000)]))
    blocks = [(inner + BLOCKS[0])[: pxc.BLOCK_SIZE], *BLOCKS[1:]]
    packed = tmp_path / "x.pxc"
    packed.write_bytes(b"".join(pxc.write(Identity(), blocks))[:-1])
    whole = packed.read_bytes()
    at = whole.index(inner) + len(inner) + 1000
    packed.write_bytes(whole[:at] + b"?" + whole[at + 1 :])
    assert [r.data for r in salvage(packed)] == [None, *BLOCKS[1:]]
    packed.write_bytes(
        whole[:at] + whole[at + 1 :]
    )  # a byte lost: ours cannot be told from theirs, but ours are all there
    assert [r.data for r in salvage(packed) if r.data][-5:] == BLOCKS[1:]


def test_salvage_reads_a_file_full_of_markers_once(tmp_path: Path) -> None:
    """Heads that are none: each took a reading of the next megabyte, half a minute for 400 kB."""
    read = 0

    class Counted(io.FileIO):
        def readinto(self, buffer: memoryview) -> int | None:  # type: ignore[override]
            nonlocal read
            n = super().readinto(buffer)
            read += n or 0
            return n

    packed = tmp_path / "x.pxc"
    packed.write_bytes(next(pxc.write(Identity(), [])) + pxc.BLOCK * 20_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("builtins.open", lambda path, _: io.BufferedReader(Counted(path), 64))
        assert [r.data for r in salvage(packed)] == [None]
    assert read < 100 * packed.stat().st_size


def test_a_file_without_header_or_at_all(tmp_path: Path) -> None:
    (tmp_path / "x.pxc").write_bytes(b"nothing of ours")
    with pytest.raises(CorruptStream, match="magic"):
        list(salvage(tmp_path / "x.pxc"))
    with pytest.raises(CorruptStream, match="magic"):
        files.open(tmp_path / "x.pxc")
    with pytest.raises(InputError, match="cannot read"):
        files.open(tmp_path / "missing.pxc")


def test_inspect_reads_heads_only(packed: Path) -> None:
    damage(packed, [2])
    facts = files.inspect(packed)
    assert facts["raw_bytes"] == len(DATA)
    assert facts["blocks"] == 6
    assert facts["block_methods"] == {"stored": 6, "codec": 0, "zstd": 0}
    assert facts["codec"] == "bytes"


def test_a_mode_in_place_of_a_codec_is_said(tmp_path: Path) -> None:
    """As of `gzip.open(path, "rb")`."""
    (tmp_path / "a").write_bytes(b"text")
    files.compress_file(tmp_path / "a", tmp_path / "a.pxc", get("bytes"))
    with pytest.raises(InvalidConfig, match="codec is 'rb'; expected a compressor, or nothing"):
        files.open(tmp_path / "a.pxc", "rb")  # type: ignore[arg-type] # what is tested
