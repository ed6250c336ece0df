"""Every registered compressor as a numcodecs codec; `.pxc` through fsspec."""

import fsspec
import numcodecs
import numpy as np
import pytest

import compressors
from compressors import InvalidConfig, OneWay, interop
from compressors.files import pxc

DATA = np.arange(10_000, dtype=np.int32).reshape(100, 100) // 7


@pytest.mark.parametrize("name", [n for n in compressors.names() if n not in ("bpe", "entropy-windows", "pack")])
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
