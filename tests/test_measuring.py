"""The measuring kit: digests, rounds, the machine, progress, JSON, tables."""

import json

import click
import pytest
from click.testing import CliRunner

from bench import markdown, measuring, output
from bench.cli import COMMANDS, bench
from compressors.errors import InputError


def test_rounds_are_interleaved_and_the_first_ones_may_not_count():
    order, ticks = [], iter(range(100))
    work = {name: lambda name=name: order.append(name) for name in "ab"}
    seconds = measuring.rounds(work, 2, warm=1, clock=lambda: next(ticks))
    assert order == ["a", "b"] * 3
    assert seconds == {"a": [1, 1], "b": [1, 1]}
    assert measuring.mb_s(3_000_000, [1.0, 3.0, 100.0]) == 1.0


def test_one_text_has_one_fingerprint(tmp_path):
    """That of the committed results: SHA-256 of the documents with a zero byte between two."""
    for name, text in (("a.py", "one"), ("b.py", "two")):
        (tmp_path / name).write_text(text)
    facts = measuring.described([tmp_path], measuring.documents([tmp_path]))
    assert facts["corpus_sha256"] == measuring.fingerprint([b"one", b"two"]) != measuring.fingerprint([b"onetwo"])
    assert facts["documents"] == 2
    assert measuring.documents([tmp_path], 1) == [b"one"]


def test_the_processor_has_family_model_and_units(monkeypatch, tmp_path):
    (tmp_path / "cpuinfo").write_text(
        "processor\t: 0\nmodel name\t: AMD EPYC\ncpu family\t: 25\nmodel\t\t: 1\nflags\t\t: fpu avx2 fma avx512f\n"
    )
    monkeypatch.setattr(measuring, "Path", lambda path: tmp_path / "cpuinfo")
    assert measuring.processor() == "AMD EPYC (family 25, model 1; avx2 fma avx512f)"


def test_what_is_not_installed_has_no_version(monkeypatch):
    monkeypatch.setattr(measuring, "_LIBRARIES", ("numpy", "no-such-library"))
    assert "numpy" in measuring.environment()
    assert "no-such-library" not in measuring.environment()


def test_results_have_one_form_and_say_what_they_are(tmp_path):
    path = tmp_path / "r.json"
    output.write_json(path, output.as_json("files", [1], threads=2))
    found = output.read_json(path, "files")
    assert found == {"bench": "files", "schema": 1, "threads": 2, "rows": [1]} | {
        key: found[key] for key in ("environment", "processor")
    }
    with pytest.raises(InputError, match="is a result of files, schema 1; expected codecs"):
        output.read_json(path, "codecs")
    path.write_text(json.dumps({"rows": [2]}))  # from before the schema
    assert output.read_json(path, "codecs")["rows"] == [2]
    path.write_text("[1]")
    with pytest.raises(InputError, match="holds no result"):
        output.read_json(path, "codecs")


def test_no_file_is_replaced_without_being_told_to(tmp_path):
    @click.command()
    @output.output(".html", beside=(".html", ".png"))
    def made(output):
        output.write_text("new")

    (tmp_path / "a.png").write_text("old")
    arguments = ["-o", str(tmp_path / "a.html")]
    refused = CliRunner().invoke(made, arguments)
    assert refused.exit_code == 2
    assert "a.png exists already; use --force" in refused.output
    assert CliRunner().invoke(made, [*arguments, "--force"]).exit_code == 0
    assert "ends in .html" in CliRunner().invoke(made, ["-o", str(tmp_path / "a.txt")]).output
    assert "make it first" in CliRunner().invoke(made, ["-o", str(tmp_path / "no/a.html")]).output


def test_a_table_has_as_many_cells_as_heads():
    assert str(markdown.table(["a", "b"], [["x", None]])) == "| a | b |\n|---|---:|\n| x | - |"
    assert str(markdown.table(["a", "b", "c"], [], text=2)).splitlines()[1] == "|---|---|---:|"
    with pytest.raises(ValueError, match="a row of 1 cells under 2 heads"):
        markdown.table(["a", "b"], [["x"]])


def test_every_bench_is_a_command():
    for name in COMMANDS:
        done = CliRunner().invoke(bench, [name, "--help"])
        assert done.exit_code == 0, done.output
