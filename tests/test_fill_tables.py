"""Tables of Markdown files from results."""

import json

import pytest
from click.testing import CliRunner

from bench.downstream import copying, results
from bench.report import fill_tables, tables
from compressors.errors import InputError


def _run(name, bits):
    arm, _, seed = name.partition("-s")
    return {
        "name": name, "arm": arm, "rival": "bytes", "size": "", "reads": "raw", "config": {"train": {"seed": int(seed)}, "model": {"d_model": 8}},
        "evaluation": {"bits_per_byte": bits, "interval_95": [bits, bits]},
        "totals": {"steps": 5, "flops": 1e9, "symbols": 10, "bytes": 20, "seconds": 1.0},
        "document_bytes": [1], "document_bits": [bits],
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    found = [_run("bytes-s0", 2.0), _run("bytes-s1", 3.0), _run("ours-s0", 1.0)]
    (tmp_path / "some.json").write_text(json.dumps(found))
    rates = {"right": 0.5, "bits_per_byte": 4.0}
    (tmp_path / "copied.json").write_text(json.dumps({"rows": [{"run": "bytes-s0", "first": rates, "again": rates}]}))
    return tmp_path, found


def test_tables_are_put_in_and_what_stands_around_them_stays(folder):
    path, found = folder
    text = "# A\n\n<!-- runs some only=*-s0 against=ours -->\nold\n<!-- end -->\nB\n\n<!-- copying copied -->\n<!-- end -->\n"
    made = fill_tables.filled(text, path)
    assert made.startswith(
        f"# A\n\n<!-- runs some only=*-s0 against=ours -->\n\n{tables.runs([found[0], found[2]], 'ours')}\n\n<!-- end -->\nB\n"
    )
    assert str(copying.table(json.loads((path / "copied.json").read_text())["rows"])) in made
    assert fill_tables.filled(made, path) == made


def test_texts_are_columns(folder):
    path, found = folder
    (path / "other.json").write_text(json.dumps([found[0], _run("ours-s0", 3.0)]))
    lines = fill_tables.filled("<!-- texts some other titles=here,there -->\n<!-- end -->\n", path).splitlines()
    assert lines[2] == "| arm | FLOPs | here (1 document, 0 kB) | there (1 document, 0 kB) |"
    assert lines[4:6] == ["| bytes | 1e+09 | 2.500 | 2.000 |", "| ours | 1e+09 | 1.000: -50.0% | 3.000: +50.0% |"]
    shorter = fill_tables.filled("<!-- differences some other titles=here,there -->\n<!-- end -->\n", path).splitlines()
    assert shorter[2:4] == lines[2:4]
    assert shorter[4:] == ["| ours | 1e+09 | -50.0% (one seed) | +50.0% (one seed) |", "", "<!-- end -->"]


def test_differences_have_intervals_and_no_row_of_the_rival(folder):
    path, _ = folder
    several = {"document_bytes": [1, 1, 1]}
    runs = [
        _run("bytes-s0", 2.0) | several | {"document_bits": [1.0, 2.0, 3.0]},
        _run("ours-s0", 1.5) | several | {"document_bits": [0.5, 1.0, 3.0]},
        _run("ours-s1", 1.5) | several | {"document_bits": [0.5, 1.0, 3.0]},
        _run("alone-s1", 1.5) | several | {"document_bits": [0.5, 1.0, 3.0]},  # bytes lack this seed
    ]
    (path / "several.json").write_text(json.dumps(runs))
    lines = fill_tables.filled("<!-- differences several against=bytes -->\n<!-- end -->\n", path).splitlines()
    ratio, low, high, _ = results.difference([runs[1]], [runs[0]])
    assert low < ratio == -0.25 < high
    assert lines[4:6] == [
        f"| ours | 1e+09 | -25.0% ({100 * low:+.1f} to {100 * high:+.1f}; one seed) |",
        "| alone | 1e+09 | - |",
    ]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("rums some", "no table of kind rums"),
        ("arms some against=x", "no arm x"),
        ("texts some against=x", "no arm x"),
        ("arms some only=bytes-*,x-*", "x-[*] names no run"),
        ("arms some sorted=yes", "no option sorted"),
        ("arms some -->\\n<!-- arms some", "lacks its <!-- end -->"),
    ],
)
def test_what_cannot_be_filled_in_is_said(folder, asked, message):
    with pytest.raises(InputError, match=message):
        fill_tables.filled(f"<!-- {asked} -->\n<!-- end -->\n", folder[0])


def test_files_are_filled_in_place(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(fill_tables, "RESULTS", folder[0])
    file = tmp_path / "x.md"
    file.write_text("A\n<!-- runs some -->\n<!-- end -->\n")
    assert CliRunner().invoke(fill_tables.main, [str(file)]).exit_code == 0
    assert str(tables.runs(folder[1])) in file.read_text()
