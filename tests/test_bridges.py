"""Every registered compressor as a numcodecs codec; `.pxc` through fsspec."""

import io
import pickle

import fsspec
import numcodecs
import numpy as np
import pytest

import compressors
from compressors import CorruptStream, InvalidConfig, OneWay, interop
from compressors.errors import FingerprintMismatch
from compressors.files import pxc
from compressors.interop import fsspec_files

DATA = np.arange(10_000, dtype=np.int32).reshape(100, 100) // 7


@pytest.mark.parametrize(
    "name", [n for n in compressors.names() if n not in ("bpe", "entropy-windows", "pack", "random-cuts")]
)
def test_numcodecs_reads_what_it_writes(name):
    codec = numcodecs.get_codec({"id": "proxyc", "codec": name})
    assert numcodecs.get_codec(codec.get_config()) == codec
    packed = codec.encode(DATA)
    assert np.array_equal(np.frombuffer(codec.decode(packed), np.int32).reshape(DATA.shape), DATA)
    out = np.empty_like(DATA)
    codec.decode(packed, out)
    assert np.array_equal(out, DATA)


def test_a_one_way_view_is_no_numcodecs_codec():
    with pytest.raises(OneWay, match="neither decodes nor writes files"):
        numcodecs.get_codec({"id": "proxyc", "codec": "entropy-windows"})


def test_numcodecs_with_artifact_and_composition(bpe, tmp_path):
    bpe.save(tmp_path / "b.pxa")
    for spec in (f"bpe={tmp_path / 'b.pxa'}", "pack:codec=gzip,bits=16"):
        codec = numcodecs.get_codec({"id": "proxyc", "codec": spec})
        assert codec.decode(codec.encode(b"def main():\n")) == b"def main():\n"


def test_fsspec_infers_pxc(tmp_path):
    data = DATA.tobytes() * 40
    (tmp_path / "x.pxc").write_bytes(b"".join(pxc.write(compressors.get("bytes"), [data])))
    interop.register_fsspec()
    with fsspec.open(str(tmp_path / "x.pxc"), "rb", compression="infer") as file:
        assert file.read(5) == data[:5]
        assert file.read() == data[5:]
    with (
        pytest.raises(InvalidConfig, match="not written"),
        fsspec.open(str(tmp_path / "y.pxc"), "wb", compression="infer"),
    ):
        pass


@pytest.mark.parametrize("spec", ["bytes", "brotli", "zstd", "bpe=b.pxa", "neural:preset=fast", "pack:codec=bytes"])
def test_no_damaged_chunk_decodes(bpe, tmp_path, monkeypatch, spec):
    """A codec's payload has no checksum: cut or lengthened ones of `bpe` and `neural` decoded to other bytes."""
    monkeypatch.chdir(tmp_path)
    bpe.save(tmp_path / "b.pxa")
    codec = numcodecs.get_codec({"id": "proxyc", "codec": spec})
    chunk = codec.encode(b"def main():\n    return 1\n" * 3)
    step = 1 + len(chunk) // 60
    damaged = [chunk[:at] for at in range(0, len(chunk), step)] + [chunk + b"\0", chunk + chunk, chunk[1:]]
    damaged += [chunk[:at] + bytes([chunk[at] ^ 4]) + chunk[at + 1 :] for at in range(0, len(chunk), step)]
    for bad in damaged:
        with pytest.raises(CorruptStream):
            codec.decode(bad)


def test_chunks_without_checksums_are_read_on_request():
    plain = numcodecs.get_codec({"id": "proxyc", "codec": "brotli", "checksum": False})
    assert plain.encode(DATA) == compressors.get("brotli").compress(DATA.tobytes())
    assert plain.decode(plain.encode(DATA)) == DATA.tobytes()
    assert numcodecs.get_codec(plain.get_config()) == plain
    with pytest.raises(CorruptStream, match='"checksum": false'):
        numcodecs.get_codec({"id": "proxyc", "codec": "brotli"}).decode(plain.encode(DATA))


def test_a_configuration_is_bound_to_no_machine(bpe, tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
    bpe.save(here / "code.pxa")
    codec = numcodecs.get_codec({"id": "proxyc", "codec": f"bpe={here / 'code.pxa'}"})
    chunk = codec.encode(b"text")
    config = codec.get_config()
    assert config == {"id": "proxyc", "codec": "bpe=code.pxa", "artifact": bpe.artifact.fingerprint}
    monkeypatch.chdir(there)
    with pytest.raises(FingerprintMismatch, match="PROXYC_ARTIFACTS"):
        numcodecs.get_codec(dict(config))
    (there / "code.pxa").write_bytes(b"another file of that name")
    (here / "code.pxa").rename(there / "renamed.pxa")
    monkeypatch.setenv("PROXYC_ARTIFACTS", str(there))
    again = numcodecs.get_codec(dict(config))
    assert (again, again.decode(chunk)) == (codec, b"text")


@pytest.fixture
def pxc_of(tmp_path):
    """Makes a `.pxc` file of some bytes and opens it through fsspec, from a file system that is asked for."""
    interop.register_fsspec()

    def make(data, where):
        packed = b"".join(pxc.write(compressors.get("bytes"), [data]))
        url = f"memory://{tmp_path.name}/x.pxc" if where == "memory" else str(tmp_path / "x.pxc")
        with fsspec.open(url, "wb") as file:
            file.write(packed)
        return fsspec.open(url, "rb", compression="infer").open()

    return make


@pytest.mark.parametrize("where", ["file", "memory"])
def test_fsspec_gives_an_ordinary_file(pxc_of, where):
    """Short reads at every block broke pickle and numpy; lines were read a byte at a time."""
    with pxc_of(pickle.dumps(b"x" * 3_000_000), where) as file:
        assert len(pickle.load(file)) == 3_000_000
    written = io.BytesIO()
    np.save(written, DATA)
    with pxc_of(written.getvalue(), where) as file:
        assert np.array_equal(np.load(file), DATA)
        assert file.tell() == len(written.getvalue())
        assert file.seek(10) == file.tell() == 10
    with pxc_of(b"a line\n" * 20_000, where) as file:
        assert isinstance(file, io.BufferedReader)
        assert sum(1 for _ in file) == 20_000


def test_fsspec_of_what_cannot_seek(pxc_of):
    class Passing(io.BytesIO):
        def seekable(self):
            return False

    data = b"a line\n" * 300_000
    packed = b"".join(pxc.write(compressors.get("bytes"), [data]))
    with fsspec_files._opened(".pxc", Passing(packed)) as file:
        assert file.read(2_000_000) == data[:2_000_000]
        assert file.tell() == 2_000_000
        assert file.read() == data[2_000_000:]


def test_a_local_file_of_fsspec_is_pickled(pxc_of):
    with pxc_of(b"0123456789", "file") as file:
        file.read(3)
        with pickle.loads(pickle.dumps(file)) as again:
            assert again.read() == b"3456789"
