"""Formats are asked of the codecs: what a file is by content or name, whatever the case; and guests' files are known."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import compressors
from compressors import CorruptStream, InputError, InvalidConfig, files, registry
from compressors.base import Compressor
from compressors.files import formats

Install = Callable[[Path, str, str, str, str], None]

# A new format: a magic number, then deflate. And a codec of three methods, whose files are .pxc under another name.
GUESTS = """
import zlib
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
from compressors import Compressor, Vocab
from compressors.base import check_output, checked_symbols
from compressors.gzip import Gzip

class _Marked:
    def __init__(self): self._encoder, self._begun = zlib.compressobj(wbits=-15), False
    def compress(self, data): return self._mark() + self._encoder.compress(data)
    def flush(self): return self._mark() + self._encoder.flush()
    def _mark(self):
        begun, self._begun = self._begun, True
        return b"" if begun else b"MARK"

class _Unmarked:
    has_more = False
    def __init__(self): self._decoder, self._head = zlib.decompressobj(wbits=-15), b""
    @property
    def eof(self): return self._decoder.eof
    @property
    def unused_data(self): return self._decoder.unused_data
    def decompress(self, data):
        if len(self._head) < 4:
            n = 4 - len(self._head)
            self._head, data = self._head + data[:n], data[n:]
        return self._decoder.decompress(data) if data else b""

@dataclass(frozen=True, kw_only=True)
class Marked(Gzip):
    name: ClassVar[str] = "marked"
    suffix: ClassVar[str] = ".mrk"
    magics: ClassVar[tuple[bytes, ...]] = (b"MARK",)
    archive_suffixes: ClassVar[tuple[str, ...]] = (".tmrk",)
    def file_encoder(self): return _Marked()
    def file_decoder(self): return _Unmarked()

@dataclass(frozen=True, kw_only=True)
class Turned(Compressor):
    name: ClassVar[str] = "turned"
    suffix: ClassVar[str] = ".trn"
    @property
    def vocab(self): return Vocab(size=256)
    def encode(self, data): return np.frombuffer(data, np.uint8)[::-1]
    def decode(self, symbols, *, max_output=None):
        symbols = checked_symbols(self, symbols)
        check_output(self.name, len(symbols), max_output)
        return symbols[::-1].tobytes()
"""
TEXT = b"some text that packs well\n" * 400


@pytest.fixture
def guests(tmp_path: Path, install: Install) -> Callable[..., subprocess.CompletedProcess[str]]:
    install(tmp_path, "guests", "guest_formats", GUESTS, "marked = guest_formats:Marked\nturned = guest_formats:Turned")
    (tmp_path / "a.txt").write_bytes(TEXT)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}

    run = "from proxylm.cli.main import proxyc\nrun = lambda line: proxyc(line.split(), standalone_mode=False)\n"

    def python(code: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", run + code],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip

    return python


def test_files_of_guests_are_recognised(
    tmp_path: Path, guests: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    for codec, suffix in (("marked", ".mrk"), ("turned", ".trn")):
        done = guests(
            f"run('compress -q --codec {codec} a.txt')\nrun('test a.txt{suffix}')\nrun('inspect a.txt{suffix}')\n"
            f"run('decompress -q -f a.txt{suffix}')\nimport os; os.rename('a.txt{suffix}', 'b{suffix.upper()}')\n"
            f"run('decompress -q b{suffix.upper()}')"
        )
        assert f"a.txt{suffix}: sound, {len(TEXT):,} bytes" in done.stdout
        assert codec in done.stdout.partition("sound")[2]
        assert (tmp_path / "a.txt").read_bytes() == (tmp_path / "b").read_bytes() == TEXT
        (tmp_path / "b").unlink()
    assert (tmp_path / "b.MRK").read_bytes().startswith(b"MARK")
    assert len((tmp_path / "b.TRN").read_bytes()) < 0.6 * len(TEXT)  # coded by the default `compress`


def test_archives_and_fsspec_know_guests(
    tmp_path: Path, guests: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    pytest.importorskip("numcodecs", reason="needs proxyc[bridges]")
    done = guests(
        "run('compress -q --codec marked a.txt -o a.tmrk')\nrun('decompress -q a.tmrk')\nrun('compress -q --codec marked a.txt')\n"
        "from compressors import interop; interop.register_fsspec(); import fsspec\n"
        "file = fsspec.open('a.txt.mrk', compression='infer').open()\nprint(len(file.read(9)), file.tell(), len(file.read()))"
    )
    assert (tmp_path / "a.tar").read_bytes() == TEXT
    assert done.stdout.split() == ["9", "9", str(len(TEXT) - 9)]


def test_guests_are_imported_only_if_no_built_in_knows_the_file(
    guests: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = guests(
        "run('compress -q a.txt')\nrun('test -q a.txt.zst')\nimport sys; print('guest_formats' in sys.modules)"
    )
    assert done.stdout == "False\n"


def test_the_built_ins_with_a_format_are_those_that_declare_one() -> None:
    classes = {name: registry.get_class(name) for name in registry.BUILTIN}
    assert {name for name, cls in classes.items() if cls.suffix != Compressor.suffix or cls.magics} == set(formats.OWN)
    assert all(len(magic) <= formats.PEEK for cls in classes.values() for magic in cls.magics)


@pytest.mark.parametrize(
    ("name", "codec"), [("A.GZ", "gzip"), ("a.Zst", "zstd"), ("B.BR", "brotli"), ("x.PXC", "bytes")]
)
def test_suffixes_of_any_case(tmp_path: Path, name: str, codec: str) -> None:
    (tmp_path / "raw").write_bytes(TEXT)
    compressors.compress_file(str(tmp_path / "raw"), str(tmp_path / name), compressors.get(codec))
    assert files.decompressed_name(tmp_path / name) == tmp_path / name.partition(".")[0]
    compressors.decompress_file(tmp_path / name, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == TEXT
    assert files.inspect(str(tmp_path / name))["codec"] == codec if codec != "brotli" else True
    assert files.decompressed_name(Path("A.TGZ")) == Path("A.tar")


def test_what_is_in_no_format_is_refused() -> None:
    with pytest.raises(InvalidConfig, match="format is not known"):
        formats.format_of(b"plain", "x.txt")
    for name, kind in (("x.gz", "gzip"), ("x.PXC", "pxc"), ("x.tzst", "zstd")):
        with pytest.raises(CorruptStream, match=f"is not a {kind} file"):
            formats.format_of(b"plain", name)
    with pytest.raises(InputError, match=r"expected .pxc, .br, .gz, .tgz, .taz, .zst, .tzst"):
        formats.decompressed_name(Path("x.txt"))


def test_a_misspelt_option_fails(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(TEXT)
    with pytest.raises(TypeError, match="verfiy"):
        compressors.compress_file(tmp_path / "a", tmp_path / "b", compressors.get("zstd"), verfiy=True)  # type: ignore[call-arg]
