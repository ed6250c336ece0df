import json

import pytest
from click.testing import CliRunner

import compressors
from bench.codecs import command, measure, peers, table
from compressors.errors import InputError
from compressors.identity import Identity


def test_nothing_to_measure_is_said_at_once(tmp_path):
    (tmp_path / "empty.py").write_bytes(b"")
    done = CliRunner().invoke(command.codecs, [str(tmp_path / "empty.py")])
    assert isinstance(done.exception, InputError)
    assert "has a byte to measure" in str(done.exception)


def test_ours_plugins_and_peers_stand_in_one_table(tmp_path, documents):
    text = tmp_path / "text.py"
    text.write_bytes(documents[0][:3000])
    arguments = [str(text), "--only", "--codec", "zstd", "--codec", "bytes", "--codec", "xz -9", "--codec", "nonesuch"]
    done = CliRunner().invoke(command.codecs, [*arguments, "--rounds", "2", "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "nonesuch: left out: fails (1): " in done.output
    assert "Traceback" not in done.output
    rows = {row["name"]: row for row in json.loads((tmp_path / "out.json").read_text())["rows"]}
    assert set(rows) == {"zstd", "bytes", "xz -9"}
    assert rows["bytes"]["document_bits_per_byte"] == 8
    assert rows["bytes"]["bytes_per_symbol"] == 1
    assert rows["zstd"]["vocabulary"] == 256
    packed = compressors.get("zstd").compress(text.read_bytes())
    assert rows["zstd"]["document_bits_per_byte"] == pytest.approx(8 * len(packed) / text.stat().st_size)
    assert all(rows["xz -9"][f"{key}compress_mb_s"] > 0 for key in ("", "de"))
    assert all(rows["zstd"][f"{key}_mb_s"] > 0 for key in ("encode", "decode", "compress", "decompress"))
    assert "encode_mb_s" not in rows["xz -9"]
    assert "encode_s" not in rows["zstd"]
    assert rows["zstd"]["fingerprint"] == compressors.get("zstd").fingerprint
    assert rows["zstd"]["whole_bits_per_byte"] == rows["zstd"]["document_bits_per_byte"]  # of one document
    assert rows["zstd"]["with_model"] == rows["zstd"]["document_bits_per_byte"]
    text_of = (tmp_path / "out.md").read_text()
    facts = json.loads((tmp_path / "out.json").read_text())
    assert text_of == table.described(facts) + "\n"
    assert f"text.py: 1 document, {text.stat().st_size:,} bytes" in text_of
    assert "one thread, medians of 2 rounds" in text_of
    assert text_of.startswith(str(table.codecs(list(rows.values()))[0]))
    assert "| xz -9 | " in text_of
    assert facts["bench"] == "codecs"


def test_nothing_measured_is_an_error_and_so_is_a_missing_folder(tmp_path):
    (tmp_path / "text.py").write_text("x = 1\n")
    arguments = [str(tmp_path / "text.py"), "--only", "--codec", "nonesuch", "--rounds", "1"]
    done = CliRunner().invoke(command.codecs, arguments)
    assert "nothing could be measured of nonesuch" in str(done.exception)
    done = CliRunner().invoke(command.codecs, [*arguments, "-o", str(tmp_path / "no/out")])
    assert done.exit_code == 2
    assert "make it first" in done.output


def test_a_codec_may_be_given_the_name_of_a_view_and_a_model_counts(tmp_path, documents, bpe):
    (tmp_path / "text.py").write_bytes(documents[0][:3000])
    bpe.save(tmp_path / "small.pxa")
    arguments = [str(tmp_path / "text.py"), "--only", "--codec", f"bpe4k@bpe={tmp_path / 'small.pxa'}"]
    arguments += ["--codec", "entropy-windows", "--rounds", "1", "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(command.codecs, arguments)
    assert done.exit_code == 0, done.output
    small, windows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert small["name"] == "bpe4k"
    assert small["fingerprint"] == bpe.fingerprint
    assert small["with_model"] > small["document_bits_per_byte"] + 1
    assert windows["encode_mb_s"] > 0
    assert not {"decode_mb_s", "compress_mb_s", "document_bits_per_byte"} & set(windows)  # a one-way view


def test_what_is_not_lossless_is_left_out():
    class Lossy(Identity):
        def decompress(self, data, *, max_output=None):
            return data[:-1]

    with pytest.raises(AssertionError, match="bytes did not give back"):
        measure.of_codec(Lossy(), [b"some text"])


def test_what_is_not_wanted_is_left_out_and_sections_are_chosen(tmp_path, documents):
    (tmp_path / "text.py").write_bytes(documents[0][:3000])
    arguments = [str(tmp_path / "text.py"), "--only", "--codec", "zstd", "--codec", "gzip", "--codec", "bytes"]
    arguments += ["--except", "b*", "--measure", "files", "--measure", "calls", "--rounds", "1"]
    done = CliRunner().invoke(command.codecs, [*arguments, "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    rows = json.loads((tmp_path / "out.json").read_text())["rows"]
    assert [row["name"] for row in rows] == ["zstd", "gzip"]
    assert all("encode_mb_s" not in row and "distance" not in row and row["call_ratio"] > 0 for row in rows)
    again = CliRunner().invoke(command.codecs, [*arguments, "-o", str(tmp_path / "out")])
    assert again.exit_code == 2
    assert "out.json exists already; use --force" in again.output


def test_files_that_policies_share_are_measured_once(tmp_path, monkeypatch):
    (tmp_path / "text.py").write_text("x = 1\n" * 9)
    asked = []

    def answer(function, *, threads, timeout=None, **more):
        asked.append((more["name"], more["sections"]))
        files = {"compress_s": 1.0, "decompress_s": 1.0, "model_bytes": 8, "document_bits_per_byte": 2.0}
        return {"name": more["name"], "bytes": 54, "encode_s": 1.0} | (files if "files" in more["sections"] else {})

    monkeypatch.setattr(command.isolated, "answer", answer)
    names = [
        "neural",
        "neural:policy=dense",
        "neural:preset=fast,width=12",
        "neural:preset=fast",
        "zstd",
        "zstd:level=19",
    ]
    arguments = [str(tmp_path / "text.py"), "--only", "--rounds", "1", "--measure", "files", "--measure", "symbols"]
    done = CliRunner().invoke(command.codecs, [*arguments, *(part for name in names for part in ("--codec", name))])
    assert done.exit_code == 0, done.output
    assert [name for name, sections in asked if "files" not in sections] == [
        "neural:policy=dense",
        "neural:preset=fast",
    ]
    assert done.output.count("| 4.00 | 2.000 |") == 6  # all have a ratio


def test_the_base_install_is_told_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "text.py").write_text("x = 1\n")
    monkeypatch.setattr(command.importlib.util, "find_spec", lambda name: None)
    done = CliRunner().invoke(command.codecs, [str(tmp_path / "text.py"), "--only", "--codec", "bytes"])
    assert isinstance(done.exception, compressors.MissingExtra)
    assert "rapidfuzz: pip install 'proxyc[bench]'; or leave it out with --measure files" in str(done.exception)


def test_the_smallest_files_come_first_and_ratios_are_ratios():
    found = [{"name": name, "document_bits_per_byte": bits} for name, bits in (("a", 4.0), ("b", 2.0))]
    files, symbols = table.codecs([*found, {"name": "ids", "encode_mb_s": 3.0}])
    assert files.rows == [["b", "4.00", "2.000"], ["a", "2.00", "4.000"]]
    assert symbols.rows == [["ids", "3.0"]]


def test_a_peer_that_is_a_command_makes_a_file_and_reads_it_back(tmp_path, monkeypatch, documents):
    (tmp_path / "zpaq").write_text(
        '#!/bin/sh\ncase $1 in add) gzip -c < text > "$2";; *) gzip -dc < "$2" > text;; esac\n'
    )
    (tmp_path / "zpaq").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    coders = {coder.name: coder for coder in peers.general()}
    row = measure.of_peer(coders["zpaq -m5"], documents[:2])
    assert 0 < row["document_bits_per_byte"] < 8
    assert "peak_mb" not in row  # of another process
    assert "| zpaq | " in str(table.codecs([measure.finished(row | {"name": "zpaq", "bytes": 1}, [row])])[0])
