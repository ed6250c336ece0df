import json

import pytest
from click.testing import CliRunner

import compressors
from bench import compare, tables
from compressors.errors import InputError


def test_nothing_to_measure_is_said_at_once(tmp_path):
    (tmp_path / "empty.py").write_bytes(b"")
    done = CliRunner().invoke(compare.codecs, [str(tmp_path / "empty.py")])
    assert isinstance(done.exception, InputError)
    assert "has a byte to measure" in str(done.exception)


def test_ours_plugins_and_peers_stand_in_one_table(tmp_path, documents):
    text = tmp_path / "text.py"
    text.write_bytes(documents[0][:3000])
    arguments = [str(text), "--only", "--codec", "zstd", "--codec", "bytes", "--codec", "xz -9", "--codec", "nonesuch"]
    done = CliRunner().invoke(compare.codecs, [*arguments, "--rounds", "2", "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "nonesuch: left out" in done.output
    rows = {row["name"]: row for row in json.loads((tmp_path / "out.json").read_text())["rows"]}
    assert set(rows) == {"zstd", "bytes", "xz -9"}
    assert rows["bytes"]["document_bits_per_byte"] == 8
    assert rows["bytes"]["bytes_per_symbol"] == 1
    assert rows["zstd"]["vocabulary"] == 256
    packed = compressors.get("zstd").compress(text.read_bytes())
    assert rows["zstd"]["document_bits_per_byte"] == pytest.approx(8 * len(packed) / text.stat().st_size)
    assert rows["xz -9"]["encode_mb_s"] > 0
    assert "encode_s" not in rows["zstd"]
    table = (tmp_path / "out.md").read_text()
    assert table == tables.codecs(list(rows.values())) + "\n"
    assert "| xz -9 | " in table
    assert table.count("| - |") >= 1
