"""The `.pxc` format: read here by a decoder that was written from its description, and damaged in every place."""

import hashlib
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import oracle_ids
import pytest
import zstandard

import compressors
from compressors import CorruptStream, FingerprintMismatch, OutputLimitExceeded, ProxycError, VerifyError, files
from compressors.bpe.codec import BPE
from compressors.files import pxc
from compressors.files.pxc_salvage import salvage
from compressors.identity import Identity

TEXT = b"def f(self):\n    return self.x\n" * 2


def independent(data: bytes, undo: Callable[[bytes], bytes]) -> tuple[dict[str, Any], bytes]:
    """Header and content of a `.pxc` file, read by docs/pxc.md and nothing else."""
    magic, version, n = struct.unpack_from("<4sHI", data)
    text, at, raw, places = data[10 : 10 + n], 14 + n, b"", b""
    assert (magic, version, crc(data[: 10 + n])) == (b"\x8ePXC", 1, data[10 + n : at])
    while data[at : at + 4] == b"\x8eBLK":
        method, raw_length, length, checksum = struct.unpack_from("<BIII", data, at + 4)
        assert crc(data[at : at + 17]) == data[at + 17 : at + 21]
        payload = data[at + 21 : at + 21 + length]
        block = {0: bytes, 1: undo, 2: zstandard.decompress}[method](payload)
        assert (len(block), zlib.crc32(block)) == (raw_length, checksum)
        places += struct.pack("<QQ", at, len(raw))
        raw, at = raw + block, at + 21 + length
    end = struct.pack("<4sQQ32s", b"\x8eEND", len(raw), len(places) // 16, hashlib.sha256(raw).digest())
    assert data[at:] == end + crc(end) + places + crc(places) + struct.pack("<Q4s", at, b"CXP\x8e")
    return json.loads(text), raw


def crc(data: bytes) -> bytes:
    return struct.pack("<I", zlib.crc32(data))


def independent_bpe(codec: BPE) -> Callable[[bytes], bytes]:
    """A payload of `bpe`, decoded with Python's integers."""
    tables = {name: array for name, array in codec.artifact.arrays.items() if name != "tokenizer"}
    pieces = codec.vocab.pieces
    return lambda payload: b"".join(pieces[symbol] for symbol in oracle_ids.decode(payload, len(pieces), tables))


def _pack(codec: compressors.Compressor, data: bytes) -> bytes:
    return b"".join(pxc.write(codec, [data]))


def _unpack(packed: bytes, codec: compressors.Compressor | None = None, **options: Any) -> bytes:
    out = BytesIO()
    files.decompress_stream(BytesIO(packed), out, codec=codec, **options)
    return out.getvalue()


@pytest.mark.parametrize("size", [0, 1, 500, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_stored_blocks_follow_the_description(size: int) -> None:
    data = (TEXT * (1 + size // len(TEXT)))[:size]
    header, raw = independent(_pack(Identity(), data), bytes)
    assert raw == data
    assert header == {"codec": "bytes", "config": {}, "config_version": 1}


def test_coded_blocks_follow_the_description(bpe: BPE, documents: list[bytes]) -> None:
    data = b"".join(documents[:2])
    packed = _pack(bpe, data)
    header, raw = independent(packed, independent_bpe(bpe))
    assert raw == data
    assert len(packed) < len(data) / 2
    assert header == {"codec": "bpe", "config": {"artifact": bpe.artifact.fingerprint}, "config_version": 1}


def test_output_hardly_exceeds_input(bpe: BPE) -> None:
    noise = hashlib.shake_256(b"noise").digest(200_000)
    assert len(_pack(bpe, noise)) <= len(noise) + 300


def test_truncation_at_every_byte_is_noticed(bpe: BPE) -> None:
    packed = _pack(bpe, TEXT)
    for n in range(len(packed)):
        with pytest.raises(CorruptStream):
            _unpack(packed[:n], bpe, name="x.pxc")


@pytest.mark.parametrize("stored", [True, False])
def test_no_flipped_bit_gives_other_output(bpe: BPE, stored: bool) -> None:
    codec = Identity() if stored else bpe
    packed = _pack(codec, TEXT)
    for bit in range(8 * len(packed)):
        bad = bytearray(packed)
        bad[bit // 8] ^= 1 << bit % 8
        try:
            assert _unpack(bytes(bad), codec, name="x.pxc") == TEXT
        except ProxycError:
            continue


def test_blocks_may_not_be_swapped_dropped_or_repeated() -> None:
    first, second = (hashlib.shake_256(seed).digest(pxc.BLOCK_SIZE) for seed in (b"1", b"2"))
    head, one, two, end = pxc.write(Identity(), [first, second])
    assert _unpack(head + one + two + end) == first + second
    for wrong in (head + two + one + end, head + one + end, head + one + two + two + end, head + one + two + end + end):
        with pytest.raises(CorruptStream):
            _unpack(wrong)


def test_bytes_after_the_end_are_noticed() -> None:
    with pytest.raises(CorruptStream, match="follow the end"):
        _unpack(_pack(Identity(), TEXT) + b"\0")


def _headed(text: bytes, version: int = 1, length: int | None = None) -> bytes:
    head = b"\x8ePXC" + struct.pack("<HI", version, len(text) if length is None else length) + text
    whole = _pack(Identity(), b"")
    return head + crc(head) + whole[len(next(pxc.write(Identity(), []))) :]


def test_a_newer_version_says_so() -> None:
    with pytest.raises(CorruptStream, match=r"version 2.*upgrade"):
        _unpack(_headed(b"{}", version=2))


@pytest.mark.parametrize("length", [(1 << 20) + 1, (1 << 32) - 1, 1 << 20])
def test_a_hostile_header_length_takes_no_memory(length: int) -> None:
    with pytest.raises(CorruptStream):
        _unpack(_headed(b"{}", length=length))


@pytest.mark.parametrize("lengths", [(1 << 32) - 1, (1 << 26) + 1])
def test_a_hostile_block_length_is_refused(lengths: int) -> None:
    start = next(pxc.write(Identity(), []))
    for method, raw_length, length in ((0, lengths, lengths), (1, lengths, 9), (0, 9, lengths), (3, 9, 9)):
        head = b"\x8eBLK" + struct.pack("<BIII", method, raw_length, length, 0)
        with pytest.raises(CorruptStream, match="impossible lengths"):
            _unpack(start + head + crc(head) + b"x" * 9)


def test_a_block_that_the_codec_does_not_shrink_is_zstd_or_stored(bpe: BPE) -> None:
    blocks = [b"same " * 9999, hashlib.shake_256(b"noise").digest(50_000)]
    methods = [pxc.parse_head(p[4:21], 0).method for p in list(pxc.write(Identity(), blocks[:1]))[1:2]]
    assert methods == [pxc.ZSTD]
    (_, packed, _) = pxc.write(bpe, blocks[1:])
    assert pxc.parse_head(packed[4:21], 0).method == pxc.STORED


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_change_nothing(bpe: BPE, threads: int) -> None:
    data = [hashlib.shake_256(b"%d" % i).hexdigest(300_000).encode() for i in range(9)]
    packed = b"".join(pxc.write(bpe, data))
    assert b"".join(pxc.write(bpe, data, threads=threads)) == packed
    assert _unpack(packed, bpe, threads=threads) == b"".join(data)


class Forgetful(Identity):
    """Does not give back what it was given."""

    def decompress(self, data: bytes, *, max_output: int | None = None) -> bytes:
        return data[:-1] + b"?"


class OfAPlugin(Identity):
    """Says in its own way that data is damaged."""

    def compress(self, data: bytes) -> bytes:
        return zlib.compress(data)

    def decompress(self, data: bytes, *, max_output: int | None = None) -> bytes:
        return zlib.decompress(data)


def test_whatever_a_codec_raises_is_an_error_of_the_block(tmp_path: Path) -> None:
    head, one, two, end = pxc.write(OfAPlugin(), [hashlib.shake_256(b"x").hexdigest(1 << 20).encode()])
    bad = one[:-30] + bytes(30)
    with pytest.raises(CorruptStream, match=r"block at byte 0 of the output is damaged: bytes says error\("):
        _unpack(head + bad + two + end, OfAPlugin())
    (tmp_path / "x.pxc").write_bytes(head + bad + two + end)
    assert [found.data is None for found in salvage(tmp_path / "x.pxc", OfAPlugin())] == [True, False]


def test_verify_on_write_notices_a_codec_that_forgets() -> None:
    assert list(pxc.write(Forgetful(), [TEXT]))
    with pytest.raises(VerifyError, match="does not decode"):
        list(pxc.write(Forgetful(), [TEXT], verify=True))


@pytest.mark.parametrize("given", [None, Identity()])
@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"[1]",
        b"\xff",
        b"[" * 100_000,
        b'{"codec": "bytes"}',
        b'{"codec": "bytes", "config": {}, "config_version": 1, "more": 1}',
        b'{"codec": "bytes", "config": {}, "config_version": 2}',
        b'{"codec": "bytes", "config": [], "config_version": 1}',
        b'{"codec": "bytes", "config": null, "config_version": 1}',
        b'{"codec": "bytes", "config": {"name": "x"}, "config_version": 1}',
        b'{"codec": "no such codec", "config": {}, "config_version": 1}',
        b'{"codec": 5, "config": {}, "config_version": 1}',
        b'{"codec": ["bytes"], "config": {}, "config_version": 1}',
        b'{"codec": "bpe", "config": {"artifact": 7}, "config_version": 1}',
        b'{"codec": "bpe", "config": {"artifact": "/etc/passwd"}, "config_version": 1}',
        b'{"codec": "zstd", "config": {"level": [1]}, "config_version": 1}',
        b'{"codec": "zstd", "config": {"artifact": [1]}, "config_version": 1}',
        b'{"codec": "neural", "config": {"preset": [1]}, "config_version": 1}',
        b'{"codec": "neural", "config": {"preset": "../x"}, "config_version": 1}',
        b'{"codec": "neural", "config": {"windows": "/etc/hostname"}, "config_version": 1}',
        *(
            b'{"codec": "pack", "config": {"codec": %s, "bits": 8, "gray": 0}, "config_version": 1}' % inner
            for inner in (
                b"{}",
                b"[]",
                b"5",
                b"null",
                b'"bytes"',
                b'"bpe=/etc/hostname"',
                b'{"name": "bytes"}',
                b'{"name": 5, "config": {}}',
                b'{"name": "bytes", "config": []}',
                b'{"name": "bpe", "config": {"artifact": [1]}}',
                b'{"name": "bpe", "config": {"artifact": "/etc/hostname"}}',
                b'{"name": "zstd", "config": {"level": {"a": 1}}}',
                b'{"name": "pack", "config": {"codec": ' * 250 + b"1" + b"}}" * 250,
            )
        ),
    ],
)
def test_a_hostile_header_is_an_error_of_the_file(
    header: bytes, given: Identity | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[object] = []
    monkeypatch.setattr("pathlib.Path.is_file", looked_at.append)
    with pytest.raises(ProxycError):
        _unpack(_headed(header), given)
    assert looked_at == []


def test_a_file_of_a_codec_over_a_codec_needs_no_default_artifact() -> None:
    """That of `neural` comes with the package, also under `pack`."""
    codec = compressors.parse("pack:codec=neural:preset=fast")
    assert codec.verify_on_write
    assert not compressors.parse("pack:codec=bytes").verify_on_write
    assert _unpack(_pack(codec, TEXT)) == TEXT


def test_a_codec_whose_settings_are_no_json_is_still_the_codec_of_its_file() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Sized(Identity):
        sizes: tuple[int, ...] = (1, 2)

    assert _unpack(_pack(Sized(), TEXT), Sized()) == TEXT
    with pytest.raises(FingerprintMismatch):
        _unpack(_pack(Sized(), TEXT), Sized(sizes=(1, 3)))


def test_the_output_limit_holds(bpe: BPE) -> None:
    packed = _pack(bpe, TEXT)
    assert _unpack(packed, bpe, max_output=len(TEXT)) == TEXT
    with pytest.raises(OutputLimitExceeded):
        _unpack(packed, bpe, max_output=len(TEXT) - 1)


def test_another_or_no_artifact_is_refused_before_decoding(bpe: BPE, documents: list[bytes]) -> None:
    packed = _pack(bpe, TEXT)
    other = BPE.fit(documents[:3], vocab_size=300)
    for wrong in (other, Identity()):
        with pytest.raises(FingerprintMismatch, match="written with bpe"):
            _unpack(packed[:-60], wrong)
    with pytest.raises(FingerprintMismatch, match="--codec bpe=FILE"):
        _unpack(packed)


def test_blocks_are_as_large_as_wanted() -> None:
    """The file says how large each is; a reader takes up to 64 MiB."""
    data = hashlib.shake_256(b"x").digest(3 * pxc.BLOCK_SIZE + 5)
    sizes = {}
    for size in (0, 2 * pxc.BLOCK_SIZE, 1 << 62):
        packed, out = BytesIO(), BytesIO()
        files.compress_stream(compressors.get("bytes"), BytesIO(data), packed, block_size=size)
        files.decompress_stream(BytesIO(packed.getvalue()), out)
        assert out.getvalue() == data
        sizes[size] = packed.getvalue().count(pxc.BLOCK)
    assert list(sizes.values()) == [4, 2, 1]
