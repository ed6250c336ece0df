"""One file of a corpus: by content first and name second it is read right, or refused in one line."""

import bz2
import gzip
import io
import json
import lzma
import subprocess
import sys
import tarfile
import zipfile

import brotli
import pytest
import zstandard

from compressors.corpus import Reader
from compressors.errors import InputError
from tests.extended.fuzz_corpora import METHODS, one_corpus

TEXTS = [f"document {i}".encode() for i in range(300)]
LINES = "".join(json.dumps({"text": text.decode()}) + "\n" for text in TEXTS).encode()


def read(path, **options):
    return [document.data for document in Reader(path, **options)]


def refused(path, **options):
    """The one line that is said of a file."""
    with pytest.raises(InputError) as caught:
        read(path, **options)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", METHODS)
@pytest.mark.parametrize(
    "name", ["a.jsonl", "A.JSON", "a.ndjson", "c4-train.00000-of-01024.json", "part-00000", "x.00001"]
)
def test_compressed_records_are_read_in_any_case_of_the_name(tmp_path, name, suffix):
    half = LINES.index(b"\n", 2000) + 1
    packed = METHODS[suffix](LINES)
    if suffix != ".br":  # one stream a file
        packed = METHODS[suffix](LINES[:half]) + METHODS[suffix](LINES[half:])
    for given in (name + suffix, (name + suffix).upper()):
        (tmp_path / given).write_bytes(packed)
        assert read(tmp_path / given) == TEXTS


@pytest.mark.parametrize("suffix", [suffix for suffix in METHODS if suffix != ".br"])
def test_compressed_files_are_known_under_any_name(tmp_path, suffix):
    (tmp_path / "a.jsonl").write_bytes(METHODS[suffix](LINES))
    (tmp_path / "a.gz").write_bytes(METHODS[suffix](LINES))
    (tmp_path / "a.py").write_bytes(METHODS[suffix](b"print()\n"))
    assert read(tmp_path / "a.jsonl") == read(tmp_path / "a.gz") == TEXTS
    assert read(tmp_path / "a.py") == [b"print()\n"]


@pytest.mark.parametrize("suffix", METHODS)
def test_what_is_cut_short_is_named(tmp_path, suffix):
    packed = METHODS[suffix](LINES)
    for end in (*range(12), len(packed) // 3, len(packed) - 9, len(packed) - 1):
        for name in ("a.jsonl", "a.txt"):
            file = tmp_path / (name + suffix)
            file.write_bytes(packed[:end])
            refused(file)
    if suffix != ".br":
        (tmp_path / f"two.jsonl{suffix}").write_bytes(packed + packed[: len(packed) // 2])
        assert "middle" in refused(tmp_path / f"two.jsonl{suffix}")


def test_a_zst_cut_between_its_blocks_is_no_shorter_corpus(tmp_path):
    """Nothing but the end of the frame is missing: every line before it is whole."""
    compressor = zstandard.ZstdCompressor().compressobj()
    whole = compressor.compress(LINES[: LINES.index(b"\n", 3000) + 1])
    whole += compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    (tmp_path / "d.jsonl.zst").write_bytes(whole)
    command = [sys.executable, "-m", "proxylm.cli.main", "encode", "d.jsonl.zst", "-o", "st"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("proxyc: cannot read d.jsonl.zst: zstd: the data ends in the middle of a stream")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "st/manifest.json").exists()


def test_windows_above_128_mb_are_read_and_larger_ones_refused(tmp_path):
    for log in (28, 31):
        parameters = zstandard.ZstdCompressionParameters(window_log=log, enable_ldm=True, hash_log=6, chain_log=6)
        compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        packed = compressor.compress(LINES) + compressor.flush()
        assert zstandard.get_frame_parameters(packed).window_size == 1 << log
        (tmp_path / "w.jsonl.zst").write_bytes(packed)
        assert read(tmp_path / "w.jsonl.zst") == TEXTS
    larger = bytearray(packed)
    larger[5] += 8  # the exponent of the window
    (tmp_path / "w.jsonl.zst").write_bytes(larger)
    assert "its window is too large" in refused(tmp_path / "w.jsonl.zst")


def test_a_dictionary_is_asked_for(tmp_path):
    dictionary = zstandard.train_dictionary(1000, [text * 3 for text in TEXTS])
    (tmp_path / "d.jsonl.zst").write_bytes(zstandard.ZstdCompressor(dict_data=dictionary).compress(LINES))
    assert "zstd -d -D DICTIONARY" in refused(tmp_path / "d.jsonl.zst")


def tar_of(data, form):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as archive:
        member = tarfile.TarInfo("a.jsonl")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def test_archives_and_other_formats_are_refused_with_a_remedy(tmp_path):
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("a.jsonl", LINES)
    tar = tar_of(LINES, tarfile.GNU_FORMAT)
    version_7 = bytearray(tar)  # no "ustar" in its header, and a checksum without it
    version_7[257:265], version_7[148:156] = bytes(8), b" " * 8
    version_7[148:156] = b"%06o\0 " % sum(version_7[:512])
    cases = {
        "a.tar": tar, "a.bin": tar, "b.tgz": gzip.compress(tar), "c.jsonl.xz": lzma.compress(tar), "d.tar.br": brotli.compress(tar),
        "v7": bytes(version_7), "empty.tar": b"", "a.zip": zipped.getvalue(), "a.docx": zipped.getvalue(),
        "a.jsonl.gz.zst": zstandard.compress(gzip.compress(LINES)), "a.jsonl.br.gz": gzip.compress(brotli.compress(LINES)),
        "a.jsonl.lz4": b"\4\x22\x4d\x18" + LINES, "a.arrow": b"\xff\xff\xff\xff", "x": b"ARROW1\0\0", "a.jsonl.pxc": b"\x8ePXC",
        "a.parquet.gz": gzip.compress(b"PAR1\x15"),
    }  # fmt: skip
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        assert f"leave it out with --exclude {name}" in refused(tmp_path / name), name
    assert "more than once" in refused(tmp_path / "a.jsonl.gz.zst")
    assert f"read it as 'tar://*::{tmp_path}/a.tar'" in refused(tmp_path / "a.tar")
    assert "tar archive; unpack it, or leave" in refused(tmp_path / "b.tgz")
    pytest.importorskip("fsspec")
    for remedy in (f"tar://*::{tmp_path}/a.tar", f"zip://*.jsonl::{tmp_path}/a.zip"):
        assert read(remedy) == TEXTS
    (tmp_path / "good.jsonl").write_bytes(LINES)
    (tmp_path / "good.docx").write_bytes(zipped.getvalue())
    assert read(tmp_path, pattern="good*", exclude=("*.docx",)) == TEXTS


def test_texts_that_look_like_something_else_stay_texts(tmp_path):
    for name, data in {
        "a.py": b"PAR1 = 3\n", "b": b"BZh9 is how bzip2 begins", "c.txt": b"LZIP", "d": b"", "e.md": b"x\x9c", "f": b"PK",
        "g.json": b'{"name": "minified"}', "h.json": b'{"a":\n "b"}\n', "i.json": b'[{"text": "a"}]\n', "j.txt": LINES,
        "k": b"\0" * 1024, "l.json": b"[" * 100_000,
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(data)
        assert read(tmp_path / name) == [data], name
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(data))
        assert read(tmp_path / f"{name}.gz") == [data], name


def test_records_without_the_field_are_bad_records_in_any_file(tmp_path):
    """And not one document of JSON."""
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(LINES))
    (tmp_path / "b.json").write_bytes(LINES)
    for name in ("a.json.gz", "b.json"):
        assert "300 bad records" in refused(tmp_path / name, text_field="content")
    (tmp_path / "c.json").write_bytes(b'{"text": "alone"}')
    assert read(tmp_path / "c.json") == [b"alone"]


def test_what_was_decompressed_on_the_way_is_read_as_it_is(tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(b"\xef\xbb\xbf" + LINES)
    assert read(tmp_path / "a.jsonl.gz") == TEXTS
    (tmp_path / "a.txt.gz").write_bytes(b"{")
    assert "does not begin as gzip does" in refused(tmp_path / "a.txt.gz")


def test_trailing_bytes_and_padding(tmp_path):
    for suffix, method in METHODS.items():
        (tmp_path / f"a.jsonl{suffix}").write_bytes(method(LINES) + b"trailing")
        refused(tmp_path / f"a.jsonl{suffix}")
    for suffix, method in ((".gz", gzip.compress), (".xz", lzma.compress)):
        (tmp_path / f"a.jsonl{suffix}").write_bytes(method(LINES) + bytes(512))
        assert read(tmp_path / f"a.jsonl{suffix}") == TEXTS
    skipped = b"\x50\x2a\x4d\x18\4\0\0\0abcd"
    (tmp_path / "a.jsonl.zst").write_bytes(skipped + zstandard.compress(LINES) + skipped)
    assert read(tmp_path / "a.jsonl.zst") == TEXTS
    (tmp_path / "a.jsonl.bz2").write_bytes(bz2.compress(b"") + bz2.compress(LINES))
    assert read(tmp_path / "a.jsonl.bz2") == TEXTS


def test_random_names_and_contents_are_read_right_or_refused(tmp_path):
    for seed in range(150):
        one_corpus(seed, tmp_path / str(seed))


def test_blank_lines_are_no_records(tmp_path):
    """As for pandas, pyarrow and datasets; a line keeps its number."""
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n\n \t\r\n{"text": "two"}\n\n')
    reader = Reader([tmp_path / "a.jsonl"], strict=True)
    assert [(document.id.rpartition(":")[2], document.data) for document in reader] == [("1", b"one"), ("4", b"two")]
    assert reader.n_bad == 0
