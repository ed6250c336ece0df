"""Names to compressors: what is known, what is said about the unknown, and that listing imports nothing."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import compressors
from compressors import Compressor, InputError, InvalidConfig, ProxycError, UnknownCompressor, registry
from compressors.bpe.codec import BPE
from compressors.gzip import Gzip
from compressors.zstd import Zstd


def test_names_are_sorted_and_hold_the_built_ins() -> None:
    names = compressors.names()
    assert names == sorted(set(names))
    assert set(registry.BUILTIN) <= set(names)
    assert list(registry.BUILTIN) == sorted(registry.BUILTIN)


@pytest.mark.parametrize("name", registry.BUILTIN)
def test_every_built_in_is_a_compressor_of_that_name(name: str) -> None:
    cls = compressors.get_class(name)
    assert issubclass(cls, Compressor)
    assert cls.name == name


def test_listing_imports_no_library() -> None:
    code = "import compressors, sys; compressors.names(); print(*sorted({name.split('.')[0] for name in sys.modules}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "compressors" in loaded
    assert not loaded & {"torch", "numba", "zstandard", "brotli", "tokenizers", "constriction", "safetensors"}


@pytest.mark.parametrize(
    ("wrong", "meant"), [("zstdd", "zstd"), ("gzp", "gzip"), ("brotly", "brotli"), ("byte", "bytes")]
)
def test_an_unknown_name_gets_a_hint(wrong: str, meant: str) -> None:
    with pytest.raises(UnknownCompressor, match=f"unknown compressor '{wrong}'; did you mean '{meant}'"):
        compressors.get(wrong)


def test_without_a_near_name_the_known_ones_are_listed() -> None:
    with pytest.raises(UnknownCompressor, match=r"known: .*bpe.*zstd; one of a plugin has to be installed") as caught:
        compressors.get("qqqq")
    assert "did you mean" not in str(caught.value)
    assert isinstance(caught.value, LookupError)


@pytest.mark.parametrize(
    ("name", "config", "said"),
    [
        ("zstd", {"lvl": 3}, "no setting lvl; it has: level, artifact"),
        ("bytes", {"level": 3}, "no setting level; it has: none"),
        ("zstd", {"level": 23}, "level is 23; expected a whole number from -7 to 22"),
        ("zstd", {"level": -8}, "from -7 to 22"),
        ("zstd", {"level": 3.0}, "level is 3.0"),
        ("zstd", {"level": True}, "level is True"),
        ("gzip", {"level": 10}, "from 0 to 9"),
        ("gzip", {"level": -1}, "from 0 to 9"),
        ("brotli", {"quality": 12}, "from 0 to 11"),
        ("brotli", {"quality": "5"}, "quality is '5'"),
    ],
)
def test_settings_are_checked(name: str, config: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidConfig, match=said):
        compressors.get(name, **config)


def test_a_setting_called_name_is_just_unknown() -> None:
    with pytest.raises(InvalidConfig, match="no setting name"):
        compressors.parse("bytes:name=x")


@pytest.mark.parametrize(
    ("spec", "codec"),
    [
        ("zstd", Zstd()),
        ("zstd:level=19", Zstd(level=19)),
        ("zstd:level=-5", Zstd(level=-5)),
        ("gzip:level=1", Gzip(level=1)),
    ],
)
def test_specs_are_parsed(spec: str, codec: Compressor) -> None:
    assert compressors.parse(spec) == codec


def test_a_spec_may_name_a_file(tmp_path_factory: pytest.TempPathFactory, zstd_with_dictionary: Zstd) -> None:
    for file_name in ("d.pxa", "with:colon.pxa", "with=sign.pxa"):
        path = tmp_path_factory.mktemp("a") / file_name
        zstd_with_dictionary.save(path)
        assert compressors.parse(f"zstd={path}") == zstd_with_dictionary
        assert compressors.parse(f"zstd={path}:level=9") == Zstd(level=9, artifact=zstd_with_dictionary.artifact)
        assert compressors.load(path) == zstd_with_dictionary


@pytest.mark.parametrize("spec", ["", ":", "=x", "zstd:", "zstd=", "zstd:level", "zstd:level=1,", "zstd:=1"])
def test_what_is_no_spec_is_refused(spec: str) -> None:
    with pytest.raises(InvalidConfig, match="is not a compressor; write NAME"):
        compressors.parse(spec)


@pytest.mark.parametrize(
    "spec", ["bytes=x", "bpe=none.json", "zstd=none.pxa", "zstd:level=high", "gzip:level=99", "no:a=1"]
)
def test_a_wrong_spec_is_an_error_of_the_user(spec: str) -> None:
    with pytest.raises(ProxycError):
        compressors.parse(spec)


def test_a_missing_artifact_is_an_input_error() -> None:
    with pytest.raises(InputError, match=r"none\.pxa"):
        compressors.get("zstd", artifact="none.pxa")


def test_settings_are_typed_and_written_as_json() -> None:
    assert compressors.parse("zstd:level=-5").level == -5
    for spec, message in (
        ("zstd:level=fast", "expected int"),
        ("zstd:level=true", "expected int"),
        ("gzip:level=1.5", "expected int"),
    ):
        with pytest.raises(InvalidConfig, match=message):
            compressors.parse(spec)


def test_get_takes_the_form_of_the_command_line(
    tmp_path_factory: pytest.TempPathFactory, zstd_with_dictionary: Zstd
) -> None:
    assert compressors.get("zstd:level=19") == Zstd(level=19)
    path = tmp_path_factory.mktemp("a") / "d.pxa"
    zstd_with_dictionary.save(path)
    assert compressors.get(f"zstd={path}", level=9) == Zstd(level=9, artifact=zstd_with_dictionary.artifact)


def test_load_takes_what_the_command_line_takes(tmp_path: Path, bpe: BPE, zstd_with_dictionary: Zstd) -> None:
    bpe.to_tokenizer_json(tmp_path / "tokenizer.json")
    spaced = tmp_path / "spaced.json"
    spaced.write_bytes((tmp_path / "tokenizer.json").read_bytes())
    assert compressors.load(spaced).encode(b"def f(x):").tolist() == bpe.encode(b"def f(x):").tolist()
    assert zstd_with_dictionary.artifact is not None
    (tmp_path / "d").write_bytes(zstd_with_dictionary.artifact.arrays["dictionary"].tobytes())
    assert compressors.load(str(tmp_path / "d")) == zstd_with_dictionary
    with pytest.raises(InputError, match="no artifact at"):
        compressors.load(tmp_path / "none")


def test_names_at_the_top_are_lazy_and_all_there() -> None:
    assert compressors.Zstd is Zstd
    assert all(hasattr(compressors, name) for name in compressors.__all__)
    assert compressors.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="no attribute 'Zstdd'"):
        _ = compressors.Zstdd


def test_every_module_at_the_top_says_what_is_public() -> None:
    root = Path(compressors.__file__).parent
    silent = {path.name for path in root.glob("[a-z]*.py") if "__all__" not in path.read_text()}
    assert silent == set()


@pytest.mark.parametrize("name", ["bpe", "neural", "entropy-windows"])
def test_what_comes_with_the_package_pickles_by_its_name(name: str) -> None:
    codec = compressors.get(name)
    sent = pickle.dumps(codec)
    assert len(sent) < 2000
    assert pickle.loads(sent) == codec
    changed = sent.replace(codec.artifact.fingerprint.encode(), b"0" * 64)
    with pytest.raises(compressors.FingerprintMismatch, match="use the same version of proxyc on both sides"):
        pickle.loads(changed)


def test_a_vocabulary_is_shown_short() -> None:
    assert repr(compressors.get("bytes").vocab) == "Vocab(size=256, pieces=...)"


def test_a_guest_that_checks_nothing_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Picky(Zstd):
        def __post_init__(self) -> None:
            raise ValueError("no such level")

    monkeypatch.setattr(registry, "get_class", lambda _: Picky)
    with pytest.raises(InvalidConfig, match="zstd: its settings are refused: no such level"):
        compressors.get("zstd")
