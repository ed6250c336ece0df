"""The artifact file: the same content has the same fingerprint everywhere, anything else is refused with a reason."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

import compressors
from compressors import Artifact, InputError, InvalidConfig
from compressors.artifact import write_atomically
from compressors.bpe.codec import BPE
from compressors.zstd import Zstd

METADATA = {"format": "1", "codec": "zstd", "settings": "{}", "card": "{}"}
MAKE = """
import numpy as np
from compressors import Artifact
arrays = {"b": np.arange(6, dtype=np.uint16).reshape(2, 3), "a": np.array([1.5])}
print(Artifact(codec="x", settings={"s": {"k": 1, "j": 2}, "r": [None, "é"]}, arrays=arrays, card={}).fingerprint)
"""


def _artifact(**changes: object) -> Artifact:
    arrays = {"b": np.arange(6, dtype=np.uint16).reshape(2, 3), "a": np.array([1.5])}
    fields = {"codec": "x", "settings": {"r": [None, "é"], "s": {"j": 2, "k": 1}}, "arrays": arrays, "card": {}}
    return Artifact(**(fields | changes))


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    artifact = _artifact(card={"licence": "PSF"})
    artifact.save(tmp_path / "x.pxa")
    loaded = Artifact.load(tmp_path / "x.pxa")
    assert loaded == artifact
    assert (loaded.codec, loaded.settings, loaded.card) == ("x", artifact.settings, {"licence": "PSF"})
    for name, array in artifact.arrays.items():
        np.testing.assert_array_equal(loaded.arrays[name], array, strict=True)
    assert list(tmp_path.iterdir()) == [tmp_path / "x.pxa"]


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_the_fingerprint_is_the_same_in_every_process(seed: str) -> None:
    environment = os.environ | {"PYTHONHASHSEED": seed}
    run = subprocess.run([sys.executable, "-c", MAKE], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == _artifact().fingerprint


def test_the_fingerprint_is_frozen() -> None:
    assert _artifact().fingerprint == "bfdbdcfb289205f2c23b390aa7b191ded1cd2b11fc607f4d53bafccc042caa67"


def test_the_card_is_no_part_of_the_identity() -> None:
    assert _artifact(card={"command": "fit"}) == _artifact()
    assert hash(_artifact(card={"command": "fit"})) == hash(_artifact())


@pytest.mark.parametrize(
    "change",
    [
        {"codec": "y"},
        {"settings": {}},
        {"arrays": {}},
        {"arrays": {"a": np.array([1.5]), "b": np.arange(6, dtype=np.uint16)}},  # shape
        {"arrays": {"a": np.array([1.5]), "b": np.arange(6, dtype=np.int16).reshape(2, 3)}},  # dtype
        {"arrays": {"a": np.array([1.25]), "b": np.arange(6, dtype=np.uint16).reshape(2, 3)}},  # one value
        {"arrays": {"c": np.array([1.5]), "b": np.arange(6, dtype=np.uint16).reshape(2, 3)}},  # name
    ],
)
def test_everything_else_is(change: dict[str, object]) -> None:
    assert _artifact(**change) != _artifact()


def test_layout_and_byte_order_in_memory_do_not_count() -> None:
    other = {"a": np.array([1.5], ">f8"), "b": np.asfortranarray(np.arange(6, dtype=">u2").reshape(2, 3))}
    assert _artifact(arrays=other) == _artifact()


def test_artifacts_and_codecs_pickle(bpe: BPE) -> None:
    twin = pickle.loads(pickle.dumps(bpe))
    assert twin.artifact == bpe.artifact
    assert len(pickle.dumps(bpe)) < 2 * sum(array.nbytes for array in bpe.artifact.arrays.values()) + 10_000


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 100, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, bpe: BPE, keep: int) -> None:
    path = tmp_path / "x.pxa"
    bpe.save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InvalidConfig, match="not a proxyc artifact"):
        compressors.load(path)


@pytest.mark.parametrize("missing", METADATA)
def test_a_file_without_our_metadata_is_refused(tmp_path: Path, missing: str) -> None:
    metadata = {key: value for key, value in METADATA.items() if key != missing}
    save_file({"dictionary": np.zeros(9, np.uint8)}, tmp_path / "x.pxa", metadata)
    with pytest.raises(InvalidConfig, match="not a proxyc artifact"):
        Artifact.load(tmp_path / "x.pxa")


@pytest.mark.parametrize(
    "change", [{"settings": "[1"}, {"settings": "[" * 100_000}, {"settings": "[1]"}, {"card": "7"}]
)
def test_metadata_that_is_no_object_is_refused(tmp_path: Path, change: dict[str, str]) -> None:
    save_file({"dictionary": np.zeros(9, np.uint8)}, tmp_path / "x.pxa", METADATA | change)
    with pytest.raises(InvalidConfig, match="not a proxyc artifact"):
        Artifact.load(tmp_path / "x.pxa")


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3"])
def test_a_dtype_that_numpy_lacks_is_refused(tmp_path: Path, dtype: str) -> None:
    header = f'{{"__metadata__":{METADATA},"x":{{"dtype":"{dtype}","shape":[0],"data_offsets":[0,0]}}}}'.replace(
        "'", '"'
    )
    (tmp_path / "x.pxa").write_bytes(len(header).to_bytes(8, "little") + header.encode())
    with pytest.raises(InvalidConfig, match="not a proxyc artifact"):
        Artifact.load(tmp_path / "x.pxa")


def test_a_newer_format_says_so(tmp_path: Path) -> None:
    save_file({"dictionary": np.zeros(9, np.uint8)}, tmp_path / "x.pxa", METADATA | {"format": "2"})
    with pytest.raises(InvalidConfig, match=r"format 2.*upgrade"):
        Artifact.load(tmp_path / "x.pxa")


def test_a_missing_file_and_a_folder_are_input_errors(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.pxa"):
        with pytest.raises(InputError, match="no artifact"):
            Artifact.load(path)


def test_the_artifact_of_another_codec_is_refused(tmp_path: Path, bpe: BPE) -> None:
    bpe.save(tmp_path / "x.pxa")
    with pytest.raises(InvalidConfig, match="made for 'bpe'"):
        compressors.get("zstd", artifact=tmp_path / "x.pxa")
    with pytest.raises(InvalidConfig, match="made for 'bpe'"):
        compressors.get("zstd", artifact=bpe.artifact)
    with pytest.raises(InvalidConfig):
        Zstd(artifact=bpe.artifact).encode(b"a")


@pytest.mark.parametrize("name", ["bpe", "zstd"])
def test_an_artifact_without_the_arrays_of_its_codec_is_refused(tmp_path: Path, name: str) -> None:
    _artifact(codec=name).save(tmp_path / "x.pxa")
    with pytest.raises(InvalidConfig):
        compressors.load(tmp_path / "x.pxa").encode(b"a")


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError("no space left")

    (tmp_path / "x").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_atomically(tmp_path / "x", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"x": b"old"}
