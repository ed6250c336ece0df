"""Tables and paragraphs in a terminal: within its width, columns dropped in the order stated, colours only where they are wanted."""

import csv
import io
import json
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bench.codecs import table as codec_tables
from bench.report import tables
from compressors.cli import printing
from compressors.cli.codecs import codecs
from compressors.cli.table import Table

RESULTS = Path(codec_tables.__file__).parent.parent / "results"
LETTERS = Table(
    ["name", "ratio", "MB/s", "peak", "of long words"],
    [["one", "4.13", "1,200.5", "-", "12%"], ["two", "3.90 (3.8 to 4.0)", "90.1", None, "7%"]],
    drops=["of long words", "MB/s"],
    best={"ratio": max, "MB/s": max, "of long words": min},
)


def real_tables() -> list[Table]:
    """The widest tables of the product, from results that are in the repository."""
    facts = json.loads((RESULTS / "codecs.json").read_text())
    runs = json.loads((RESULTS / "chunked.json").read_text())
    return [*codec_tables.codecs(facts["rows"]), tables.runs(runs), tables.arms(runs), tables.widths(runs), LETTERS]


@pytest.mark.parametrize("width", [60, 80, 160])
def test_no_line_is_longer_than_the_terminal(width):
    for table in real_tables():
        lines = table.fitted(width).splitlines()
        assert max(map(len, lines)) <= width
        first = [row[0] for row in table.rows]
        # A row is one line: each begins with its name, which is cut at worst.
        body = [line for line in lines if any(line.startswith(name[:4]) for name in first)]
        assert len(body) >= len(first)


def test_columns_go_in_the_order_that_is_stated_and_are_named_below():
    shown = {}
    for width in range(10, 70):
        lines = LETTERS.fitted(width).splitlines()
        left = " ".join(lines).partition("left out here: ")[2].partition(";")[0]
        shown[width] = tuple(left.split(", ")) if left else ()
    order = list(dict.fromkeys(reversed(shown.values())))
    assert order == [(), ("of long words",), ("MB/s", "of long words")]
    assert "peak" not in LETTERS.fitted(200)  # no row has a value there
    assert "peak" in LETTERS.fitted(None)  # --wide


def test_what_cannot_be_dropped_is_cut_and_that_is_said():
    table = Table(["name", "what it does"], [["x", "a long description of it"]], text=2)
    assert table.fitted(20).splitlines()[1] == "x     a long descri…"
    assert "what ends in … is cut; --wide shows all" in table.fitted(20).replace("\n", " ")
    assert max(map(len, table.fitted(20).splitlines())) <= 20
    assert "…" not in table.fitted(40)


def test_the_best_value_of_a_column_is_bold_and_only_there():
    plain, coloured = LETTERS.fitted(80), LETTERS.fitted(80, colour=True)
    assert "\033" not in plain
    bold = [part.partition("\033")[0].strip() for part in coloured.split("\033[1m")[1:]]
    assert bold == ["4.13", "1,200.5", "7%"]
    alike = Table(["name", "ratio"], [["a", "2.0"], ["b", "2.0"]], best={"ratio": max})
    assert "\033[1m" not in alike.fitted(80, colour=True)


def test_words_from_outside_cannot_steer_the_terminal():
    assert "\033" not in Table(["name"], [["\033[2Jx"]]).fitted(80, colour=False)


def test_chinese_characters_take_two_columns():
    lines = Table(["name", "n"], [["日本語", "1"], ["abc", "2"]]).fitted(80).splitlines()
    assert lines[1:] == ["日本語  1", "abc     2"]


def test_markdown_csv_and_records_have_all_columns():
    assert str(LETTERS).splitlines()[1:3] == ["|---|---:|---:|---:|---:|", "| one | 4.13 | 1,200.5 | - | 12% |"]
    rows = list(csv.reader(io.StringIO(LETTERS.csv())))
    assert rows[1:] == [["one", "4.13", "1200.5", "", "12%"], ["two", "3.90 (3.8 to 4.0)", "90.1", "", "7%"]]
    assert LETTERS.records()[0] == {"name": "one", "ratio": 4.13, "MB/s": 1200.5, "peak": None, "of long words": "12%"}
    with pytest.raises(ValueError, match="a row of 1 cells under 2 heads"):
        Table(["a", "b"], [["x"]])


@click.command()
@printing.forms
def command(form):
    """Prints a table with a paragraph."""
    printing.put(form, LETTERS, "A paragraph.")


def test_a_pipe_gets_markdown_without_codes_and_every_form_can_be_asked_for():
    piped = CliRunner().invoke(command).output
    assert piped == f"{LETTERS}\n\nA paragraph.\n"
    assert json.loads(CliRunner().invoke(command, ["--json"]).output) == LETTERS.records()
    assert CliRunner().invoke(command, ["--csv"]).output == LETTERS.csv() + "\n"
    wide = CliRunner().invoke(command, ["--wide"]).output
    assert "of long words" in wide
    assert "\033" not in piped + wide


def test_a_terminal_gets_a_table_of_its_width(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for colour in (True, False):
        if not colour:
            monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setattr(sys, "stdout", Terminal())
        printing.put(None, LETTERS, "word " * 30)
        text = sys.stdout.getvalue()
        assert ("\033[1m" in text) == colour
        assert "left out here" in text
        if not colour:
            assert max(map(len, text.splitlines())) <= 30


def test_the_list_of_codecs_has_the_forms():
    listed = CliRunner().invoke(codecs, ["--csv"]).output.splitlines()
    assert listed[0] == "name,from,what it does"
    assert any(line.startswith("bpe,proxyc,") for line in listed)
