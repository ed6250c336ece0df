import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

import compressors
from bench import isolated
from bench.codecs import command, measure
from bench.report import tables
from compressors.errors import InputError
from compressors.identity import Identity


def test_nothing_to_measure_is_said_at_once(tmp_path):
    (tmp_path / "empty.py").write_bytes(b"")
    done = CliRunner().invoke(command.command, [str(tmp_path / "empty.py")])
    assert isinstance(done.exception, InputError)
    assert "has a byte to measure" in str(done.exception)


def test_ours_plugins_and_peers_stand_in_one_table(tmp_path, documents):
    text = tmp_path / "text.py"
    text.write_bytes(documents[0][:3000])
    arguments = [str(text), "--only", "--codec", "zstd", "--codec", "bytes", "--codec", "xz -9", "--codec", "nonesuch"]
    done = CliRunner().invoke(command.command, [*arguments, "--rounds", "2", "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "nonesuch: left out: fails (1): Error: " in done.output
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
    table = (tmp_path / "out.md").read_text()
    facts = json.loads((tmp_path / "out.json").read_text())
    assert table == tables.codecs_described(facts) + "\n"
    assert f"text.py: 1 documents, {text.stat().st_size:,} bytes" in table
    assert "one thread, medians of 2 rounds" in table
    assert table.startswith(tables.codecs(list(rows.values())))
    assert "| xz -9 | " in table
    assert table.count("| - |") >= 1


def test_nothing_measured_is_an_error_and_so_is_a_missing_folder(tmp_path):
    (tmp_path / "text.py").write_text("x = 1\n")
    arguments = [str(tmp_path / "text.py"), "--only", "--codec", "nonesuch", "--rounds", "1"]
    done = CliRunner().invoke(command.command, arguments)
    assert "nothing could be measured of nonesuch" in str(done.exception)
    done = CliRunner().invoke(command.command, [*arguments, "-o", str(tmp_path / "no/out")])
    assert done.exit_code == 2
    assert "make it first" in done.output


def test_a_codec_may_be_given_the_name_of_a_view_and_a_model_counts(tmp_path, documents, bpe):
    (tmp_path / "text.py").write_bytes(documents[0][:3000])
    bpe.save(tmp_path / "small.pxa")
    arguments = [str(tmp_path / "text.py"), "--only", "--codec", f"bpe4k@bpe={tmp_path / 'small.pxa'}"]
    arguments += ["--codec", "entropy-windows", "--rounds", "1", "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(command.command, arguments)
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


def test_a_peak_is_that_of_the_work_alone():
    script = (
        "from bench import isolated\n"
        "made = b'x' * 80_000_000\n"
        "del made\n"
        "before = isolated.forget_peak()\n"
        "made = b'x' * 50_000_000\n"
        "print(-1 if before is None else isolated.peak_mb() - before)"
    )
    grown = float(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)
    assert grown == -1 or 45 < grown < 60


def test_a_child_has_the_cores_it_is_given_and_its_failure_is_told(tmp_path, monkeypatch):
    (tmp_path / "told.py").write_text(
        "import json, os, sys, time\n"
        "time.sleep(float(sys.argv[1]))\n"
        "print(json.dumps({'cores': len(os.sched_getaffinity(0)), 'rayon': os.environ['RAYON_NUM_THREADS']}))\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert isolated.answer("told", "0", threads=1) == {"cores": 1, "rayon": "1"}
    (tmp_path / "chatty.py").write_text("print('hello')\nprint('{}')\n")
    (tmp_path / "silent.py").write_text("")
    assert isolated.answer("chatty", threads=1) == {}
    assert isolated.answer("silent", threads=1) == "answers b''"
    assert isolated.answer("told", "x", threads=1).startswith("fails (1): ValueError")
    assert isolated.answer("told", "60", threads=1, timeout=1) == "over 1 s"
