"""Every block of the README runs: Python in one session, shell in another, both in an empty folder."""

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import forked

from bench.codecs import neural_ratio, stability, view_speed
from bench.report import encode_tables, fill_tables
from bench.speed import generation, train
from bench.speed.files import table

README = Path(__file__).parent.parent / "README.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


def test_python_blocks_run(tmp_path):
    found = blocks("python")
    assert len(found) >= 2
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(found)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_shell_blocks_run(tmp_path):
    script = "\n".join(block for block in blocks("bash") if not block.startswith(("git ", "make ", "pip ")))
    assert "proxyc train" in script
    path = os.pathsep.join(
        [str(Path(forked.python()).parent), sysconfig.get_path("scripts"), os.environ.get("PATH", "")]
    )
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PATH": path},
    )
    assert done.returncode == 0, done.stderr + done.stdout


def test_the_table_of_file_speed_is_that_of_the_results():
    rows = json.loads((README.parent / "bench/results/file_speed.json").read_text())["rows"]
    assert table(rows) in README.read_text()


def test_the_tables_of_views_are_those_of_the_results():
    for bench in (stability, view_speed):
        name = bench.__name__.rpartition(".")[2]
        rows = json.loads((README.parent / f"bench/results/{name}.json").read_text())["rows"]
        assert bench.table(rows) in README.read_text()


def test_the_tables_of_encode_speed_are_those_of_the_results():
    for found in encode_tables.tables(README.parent / "bench/results"):
        assert found in README.read_text()


def test_the_table_of_training_is_that_of_the_results():
    rows = json.loads((README.parent / "bench/results/train_speed.json").read_text())["steps"]
    assert train.table(rows) in README.read_text()


def test_the_table_of_generation_is_that_of_the_results():
    rows = json.loads((README.parent / "bench/results/generation_speed.json").read_text())["rows"]
    assert generation.table(rows) in README.read_text()


def test_the_tables_of_the_experiment_are_those_of_the_results():
    pages = sorted((README.parent / "bench/results").glob("*.md"))
    texts = [page.read_text() for page in (README, README.with_name("RESULTS.md"), *pages)]
    for text in texts:
        assert fill_tables.filled(text) == text  # `python -m bench.report.fill_tables` puts them in
    text = "".join(texts[1:])
    assert text.count("<!-- end -->") > 10
    every = {
        path.stem for path in (README.parent / "bench/results").glob("*.json") if '"evaluation"' in path.read_text()
    }
    assert {name for name in every if not re.search(rf"<!-- [^>]*\b{name}\b", text)} == set()


def test_the_table_of_neural_ratio_is_that_of_the_results():
    rows = json.loads((README.parent / "bench/results/neural_ratio.json").read_text())["rows"]
    assert neural_ratio.table([neural_ratio.Row(**row) for row in rows]) in README.read_text()


def test_no_damage_but_to_brotli_files_goes_unnoticed():
    rows = json.loads((README.parent / "bench/results/faults.json").read_text())["rows"]
    assert {row["suffix"] for row in rows if row["lost"]} == {".br"}
    flips = next(row for row in rows if row["lost"])
    assert f"{flips['lost']:,} of {flips['tried']:,} single bits flipped" in README.read_text()
    assert all(row["detected"] + row["harmless"] + row["lost"] == row["tried"] > 0 for row in rows)


def test_the_fuzzed_texts_of_the_readme_are_those_of_the_results():
    found = [
        json.loads((README.parent / f"bench/results/fuzz_{name}.json").read_text()) for name in ("bpe", "documents")
    ]
    assert [result["differ"] for result in found] == [0, 0]
    assert all(f"{result['texts']:,}" in README.read_text() for result in found)
