"""Where `tokenizers` must encode: its version is in the fingerprint, its memory is bounded, its panics are errors."""

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from compressors import InputError, SlowPath
from compressors.bpe import library
from compressors.bpe.codec import BPE

pytestmark = pytest.mark.filterwarnings("ignore::compressors.SlowPath")


@pytest.fixture
def slow(bpe: BPE, tmp_path: Path) -> BPE:
    """A codec whose expression looks back, which has no tables."""
    spec = json.loads(bpe.artifact.arrays["tokenizer"].tobytes())
    pattern = spec["pre_tokenizer"]["pretokenizers"][0]["pattern"]
    pattern["Regex"] = r"(?<=q)u|" + pattern["Regex"]
    (tmp_path / "t.json").write_text(json.dumps(spec))
    return BPE.from_tokenizer_json(tmp_path / "t.json")


def test_the_reason_is_said(slow: BPE) -> None:
    with pytest.warns(SlowPath, match=r"its pre-tokenizer has a group \(\?<, which has no tables"):
        slow.encode(b"x")


def test_ids_are_those_of_the_library(slow: BPE, documents: list[bytes], tmp_path: Path) -> None:
    reference = Tokenizer.from_file(str(tmp_path / "t.json"))
    for document in [*documents[:5], b"quiet equal quu"]:
        assert slow.encode(document).tolist() == reference.encode(document.decode()).ids


def test_its_version_is_part_of_the_fingerprint(bpe: BPE, slow: BPE, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bpe.library_versions() == {}
    assert set(slow.library_versions()) == {"tokenizers"}
    now = slow.fingerprint
    monkeypatch.setattr(library, "version", lambda: "0.21.0")
    assert BPE(artifact=slow.artifact).fingerprint != now
    assert BPE(artifact=bpe.artifact).fingerprint == bpe.fingerprint


def test_batches_are_bounded_by_bytes(documents: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_BATCH", 100)
    sizes = [5, 90, 5, 1, 99, 200, 30, 30]
    batches = [list(map(len, batch)) for batch in library._batches([bytes(size) for size in sizes])]
    assert batches == [[5, 90, 5], [1, 99], [200], [30, 30]]


def test_a_document_that_would_take_all_memory_is_refused(slow: BPE, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_LARGEST", 1000)
    with pytest.raises(InputError, match=r"document 1 has 1001 bytes; .* at most 1000"):
        slow.encode_batch([b"x", bytes(1001)])


class PanicException(BaseException):
    """What pyo3 raises: no `Exception`, and no class that can be imported."""


def test_a_panic_is_an_error_that_names_the_document(slow: BPE, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of ten million blanks makes a real one."""
    batch = library.Library._batch

    def panics(self: library.Library, documents: list[bytes]) -> list:
        if b"bad" in documents:
            raise PanicException("retry-limit-in-match over")
        return batch(self, documents)

    monkeypatch.setattr(library.Library, "_batch", panics)
    with pytest.raises(InputError, match=r"gives up on document 2 of 3 bytes .retry-limit"):
        slow.encode_batch([b"x", b"y", b"bad", b"z"])
    assert len(slow.encode_batch([b"x", b"y"])) == 2
