"""Arrays of zarr, both formats, with every chunk through a compressor of ours."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from compressors.errors import CorruptStream, FingerprintMismatch, InvalidConfig, OneWay
from proxylm.config_files import load

if sys.version_info < (3, 11):
    pytest.skip("zarr 3 needs Python 3.11", allow_module_level=True)

import zarr
import zarr.registry

from compressors.interop import Proxyc, ProxycCodec

zarr.registry.register_codec("proxyc", ProxycCodec)  # what the entry point does, tested below in another process

ROOT = Path(__file__).parent.parent
ARRAYS = {
    "i4": np.arange(60_000, dtype=np.int32).reshape(200, 300) // 7,
    "f8": np.sin(np.arange(60_000) / 50).reshape(200, 300),
    "u1": np.frombuffer(b"def main():\n    return 1\n" * 2_400, np.uint8).reshape(200, 300),
    "bool": np.arange(60_000).reshape(200, 300) % 3 == 0,
    "empty": np.zeros((0, 5), np.float32),
}


def written(path, data, **options):
    chunks = tuple(max(1, n // 2) for n in data.shape)
    array = zarr.create_array(path, shape=data.shape, chunks=chunks, dtype=data.dtype, **options)
    array[:] = data
    return array


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize(
    "codec", ["zstd:level=9", "gzip", "brotli", "bytes", "neural:preset=fast", "pack:codec=gzip,bits=16"]
)
def test_arrays_come_back(tmp_path, name, codec):
    data = ARRAYS[name][:40] if codec.startswith("neural") else ARRAYS[name]
    written(tmp_path / "three", data, compressors=[ProxycCodec(codec)])
    written(tmp_path / "two", data, compressors=Proxyc(codec), zarr_format=2)
    for folder in ("three", "two"):
        read = zarr.open_array(tmp_path / folder, mode="r")
        assert np.array_equal(read[:], data)
        assert np.array_equal(read[3:17, 1:4], data[3:17, 1:4])
    if data.size:
        assert (tmp_path / "three/c/0/0").read_bytes() == (tmp_path / "two/0.0").read_bytes()  # the same chunks


def test_after_other_stages_and_in_shards(tmp_path):
    data = ARRAYS["i4"]
    array = zarr.create_array(
        tmp_path / "a", shape=data.shape, chunks=(50, 50), shards=(100, 150), dtype=data.dtype,
        compressors=[ProxycCodec("zstd"), zarr.codecs.Crc32cCodec()],
    )  # fmt: skip
    array[:] = data
    assert np.array_equal(zarr.open_array(tmp_path / "a")[:], data)


def test_a_process_that_imports_nothing_of_ours_opens_them(tmp_path):
    """By the entry point that the distribution declares."""
    written(tmp_path / "a", ARRAYS["i4"], compressors=[ProxycCodec("brotli:quality=5")])
    (configuration,) = json.loads((tmp_path / "a/zarr.json").read_text())["codecs"][1:]
    assert configuration == {"name": "proxyc", "configuration": {"codec": "brotli:quality=5"}}
    info = tmp_path / "site/proxyc_zarr-1.0.dist-info"
    info.mkdir(parents=True)
    points = load(ROOT / "pyproject.toml")["project"]["entry-points"]["zarr.codecs"]
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: proxyc-zarr\nVersion: 1.0\n")
    lines = (f"{name} = {target}\n" for name, target in points.items())
    (info / "entry_points.txt").write_text("[zarr.codecs]\n" + "".join(lines))
    code = "import sys, zarr; assert 'compressors' not in sys.modules; print(zarr.open_array(sys.argv[1])[:].sum())"
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a"], capture_output=True, text=True, check=False, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{info.parent}{os.pathsep}{ROOT}"},
    )  # fmt: skip
    assert done.stdout == f"{ARRAYS['i4'].sum()}\n", done.stderr


def test_damage_is_said(tmp_path):
    for spec in ("brotli", "bytes", "neural:preset=fast"):
        written(tmp_path / spec, ARRAYS["i4"][:4], compressors=[ProxycCodec(spec)])
        chunk = tmp_path / spec / "c/0/0"
        whole = chunk.read_bytes()
        for bad in (whole[:-1], whole[:10], b"", whole[:30] + bytes([whole[30] ^ 1]) + whole[31:]):
            chunk.write_bytes(bad)
            with pytest.raises(CorruptStream, match=r"the chunk (of .* is damaged|does not begin as those of proxyc)"):
                zarr.open_array(tmp_path / spec)[:]


def test_an_artifact_is_found_by_its_fingerprint(tmp_path, bpe, monkeypatch):
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
    bpe.save(tmp_path / "here/code.pxa")
    written(tmp_path / "a", ARRAYS["u1"], compressors=[ProxycCodec(f"bpe={tmp_path / 'here/code.pxa'}")])
    (tmp_path / "here/code.pxa").rename(tmp_path / "there/renamed.pxa")
    with pytest.raises(FingerprintMismatch, match="PROXYC_ARTIFACTS"):
        zarr.open_array(tmp_path / "a")
    monkeypatch.setenv("PROXYC_ARTIFACTS", str(tmp_path / "there"))
    assert np.array_equal(zarr.open_array(tmp_path / "a")[:], ARRAYS["u1"])


def test_bad_configurations():
    with pytest.raises(OneWay):
        ProxycCodec("entropy-windows")
    for configuration in ({"levle": 3}, ["zstd"]):
        with pytest.raises(InvalidConfig, match=r"zarr\.json: proxyc has the configuration"):
            ProxycCodec.from_dict({"name": "proxyc", "configuration": configuration})
    assert ProxycCodec.from_dict({"name": "proxyc"}) == ProxycCodec("zstd")
    assert repr(ProxycCodec("zstd", checksum=False)) == "ProxycCodec(codec='zstd', checksum=False)"
