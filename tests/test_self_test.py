"""A machine whose arithmetic differs is refused before anything is written; `proxyc doctor` says which numbers do."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from test_windows import fewest, slow_words

import compressors
from compressors import doctor
from compressors.artifact import Artifact
from compressors.neural import _network, _windows, mixing, self_test
from compressors.neural import model as models
from proxylm.cli.main import proxyc

Patch = pytest.MonkeyPatch


def another_weight(patch: Patch) -> None:
    by_nodes = _network.by_nodes
    patch.setattr(_network, "by_nodes", lambda weight: by_nodes(weight) ^ np.int8(1))


def another_table(patch: Patch) -> None:
    stretch = models.stretch
    patch.setattr(models, "stretch", lambda squash: stretch(squash) + 1)


def another_rate(patch: Patch) -> None:
    patch.setattr(mixing, "RECIPROCAL", mixing.RECIPROCAL * 2)


def another_cut(patch: Patch) -> None:
    words = _windows.words

    def one_word(text, offsets, cells, symbols, last, out, rows):
        return words(text, offsets, cells, symbols, _windows.WORD_END, out, rows)

    patch.setattr(_windows, "words", one_word)


def other_bytes(patch: Patch) -> None:
    join = _windows.join

    def late(symbols, lengths, heads, starts, text, out):
        join(symbols, lengths, heads, starts + 1, text, out)

    patch.setattr(_windows, "join", late)


STREAM, WINDOWS = [another_weight, another_table, another_rate], [another_cut, other_bytes]


@pytest.fixture(autouse=True)
def untried() -> Iterator[None]:
    """As in a new process."""
    self_test.check_windows.cache_clear()
    yield
    self_test.check_windows.cache_clear()


def test_the_digests_are_those_of_the_slow_twin() -> None:
    parts, dictionary = (self_test.SAMPLE, self_test.SAMPLE[5:]), self_test._dictionary()
    pieces = dictionary.vocab.pieces
    assert pieces is not None
    for policy in ("words", "word"):
        slow = [pieces.index(w) for part in parts for w in slow_words(part, set(pieces), one=policy == "word")]
        assert hashlib.sha256(np.array(slow, "<u2").tobytes()).hexdigest() == self_test._SYMBOLS[policy]
    assert len(dictionary.encode_batch(parts, "dense").values) == sum(fewest(part, set(pieces)) for part in parts)


@pytest.mark.parametrize("tamper", STREAM)
def test_no_file_is_written(tamper: Callable[[Patch], None], monkeypatch: Patch, tmp_path: Path) -> None:
    tamper(monkeypatch)
    (tmp_path / "x.py").write_bytes(b"x = 1\n")
    done = CliRunner().invoke(proxyc, ["compress", "--rm", "--codec", "neural:preset=fast", str(tmp_path / "x.py")])
    assert done.exit_code == 1
    assert "this machine codes the self-test as" in done.output
    assert [path.name for path in tmp_path.iterdir()] == ["x.py"]


@pytest.mark.parametrize("tamper", WINDOWS)
def test_no_view_is_written(tamper: Callable[[Patch], None], monkeypatch: Patch, tmp_path: Path) -> None:
    tamper(monkeypatch)
    (tmp_path / "x.py").write_bytes(b"x = 1\n")
    done = CliRunner().invoke(
        proxyc, ["encode", str(tmp_path / "x.py"), "--view", "neural:preset=fast", "-o", str(tmp_path / "store")]
    )
    assert isinstance(done.exception, self_test.WrongArithmetic)  # which `proxyc` says in one line
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith("neural") or path.name == "manifest.json"]


@pytest.mark.parametrize("tamper", STREAM + WINDOWS)
def test_the_doctor_says_so(tamper: Callable[[Patch], None], monkeypatch: Patch) -> None:
    tamper(monkeypatch)
    assert doctor._numbers("bpe").sound
    finding = doctor._numbers("neural:preset=fast")
    assert not finding.sound
    assert "nothing was written" in finding.detail


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("spec", ["bpe", "neural:preset=best", "neural:policy=dense"])
def test_the_doctor_compares_symbols_and_streams(spec: str, which: int, monkeypatch: Patch) -> None:
    expected = list(doctor._DIGESTS[spec])
    expected[which] = "0" * 16
    monkeypatch.setitem(doctor._DIGESTS, spec, tuple(expected))
    finding = doctor._numbers(spec)
    assert not finding.sound
    assert "do not write with it here" in finding.detail


def test_every_shipped_artifact_has_digests() -> None:
    codecs = [compressors.parse(spec) for spec in doctor._DIGESTS]
    tried = {codec.artifact.fingerprint for codec in codecs} | {compressors.get("neural").windows.fingerprint}
    tried.add(Artifact.packaged(mixing.ASSET).fingerprint)  # every stream of a network begins with it
    shipped = Path(compressors.__file__).parent.glob("assets/*.pxa")
    assert {Artifact.load(path).fingerprint for path in shipped} == tried
