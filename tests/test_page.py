import itertools
import json
import re
import shutil
import subprocess

import pytest
from click.testing import CliRunner

from bench.figures import COSTS
from bench.report import page

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture
def runs(tmp_path):
    """Two runs as `proxyc bench downstream` leaves them, one with a name that must not end the script."""
    for name, bits, view in (("bytes-s0", 1.5, None), ("</script><b>", 1.25, "bpe:bags=16")):
        folder = tmp_path / "runs" / name.replace("/", "_")
        folder.mkdir(parents=True)
        log = [
            {"flops": 1e9, "bytes": {"raw": 90, "comp": 10}, "symbols": {"raw": 90, "comp": 3}, "seconds": 0.5}
            | {"raw_bits_per_symbol": 8 / (step + 1) if step else None, "comp_bits_per_symbol": None}
            for step in range(60)
        ]
        (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in log))
        result = {
            "name": folder.name, "arm": folder.name, "rival": "bytes-s0", "size": "", "reads": "raw", "environment": "a computer",
            "config": {"mix": {"view": view}, "train": {"seed": 0}, "model": {"d_model": 8}}, "views": {"bpe": "f1"} if view else {},
            "document_bytes": [10, 20], "document_bits": [10 * bits, 20 * bits],
            "evaluation": {"bits_per_byte": bits, "interval_95": [bits - 0.1, bits + 0.1]},
            "totals": {"steps": 9, "flops": 6e10, "symbols": 5580, "bytes": 6000, "seconds": 30.0},
        }  # fmt: skip
        (folder / "result.json").write_text(json.dumps(result))
    return tmp_path / "runs"


def made(runs, tmp_path):
    small = {"name": "small", "fingerprint": "f1", "distance": 0.45, "document_bits_per_byte": 1.3}
    table = {"rows": [small, {"name": "xz -9"}, {"name": "bytes", "distance": 0.1}]}
    (tmp_path / "codecs.json").write_text(json.dumps(table))
    output = tmp_path / "report.html"
    done = CliRunner().invoke(page.report, [str(runs), "--codecs", str(tmp_path / "codecs.json"), "-o", str(output)])
    assert done.exit_code == 0, done.output
    assert "2 runs, 3 compressors" in done.output
    return output


def test_the_page_holds_everything_and_asks_for_nothing(runs, tmp_path):
    text = made(runs, tmp_path).read_text()
    assert not re.search(r"(src|href)\s*=|@import|url\(|fetch\(|XMLHttp", text)
    assert text.count("</script>") == 2
    facts = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])
    assert {run["name"]: run["distance"] for run in facts["runs"]} == {"bytes-s0": 0.1, "<_script><b>": 0.45}
    points = facts["curves"][0]["points"]["symbols"]
    assert len(points) <= 60
    assert points[-1][0] == 60 * 93


def test_a_picture_and_markdown_stand_beside_the_page(runs, tmp_path):
    made(runs, tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "![ratio against loss](report.png)" in text
    assert "| <_script><b> | raw | 1.2500 (1.150-1.350) | -16.7% |" in text
    assert "## Runs: runs" in text
    assert "| small | 6.15 | 1.300 |" in text
    assert "a computer" in text
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_results_are_enough_for_a_page(runs, tmp_path):
    results = [json.loads(path.read_text()) for path in runs.glob("*/result.json")]
    results[0]["curves"] = {cost: [(1.0, 8.0), (2.0, 4.0)] for cost in COSTS}
    (tmp_path / "results.json").write_text(json.dumps(results))
    done = CliRunner().invoke(page.report, [str(tmp_path / "results.json"), "-o", str(tmp_path / "report.html")])
    assert done.exit_code == 0, done.output
    facts = json.loads(re.search(r'id="data">(.*?)</script>', (tmp_path / "report.html").read_text(), re.S)[1])
    assert len(facts["runs"]) == 2
    assert [row[:2] for row in facts["arm_rows"]] == [[r["arm"], 1] for r in results]
    assert [curve["points"]["seconds"] for curve in facts["curves"]] == [[[1.0, 8.0], [2.0, 4.0]]]


def test_runs_of_two_sources_are_told_apart_and_compared_within_their_own(runs, tmp_path):
    results = [json.loads((runs / "bytes-s0/result.json").read_text())]
    (tmp_path / "other.json").write_text(json.dumps(results))
    done = CliRunner().invoke(
        page.report, [str(runs), str(tmp_path / "other.json"), "-o", str(tmp_path / "report.html")]
    )
    assert done.exit_code == 0, done.output
    facts = json.loads(re.search(r'id="data">(.*?)</script>', (tmp_path / "report.html").read_text(), re.S)[1])
    assert [run["name"] for run in facts["runs"]] == ["runs: <_script><b>", "runs: bytes-s0", "other: bytes-s0"]
    assert [row[5] for row in facts["arm_rows"]] == [pytest.approx(-100 / 6), None, None]
    assert facts["arm_columns"][5] == "% against bytes-s0"
    assert facts["scored"].startswith("Scored on 2 documents, 30 bytes")
    (tmp_path / "runs/results.json").write_text(json.dumps(results))
    (tmp_path / "late").mkdir()
    (tmp_path / "late/results.json").write_text(json.dumps(results))
    files = [str(tmp_path / name / "results.json") for name in ("runs", "late")]
    assert CliRunner().invoke(page.report, [*files, "-o", str(tmp_path / "two.html")]).exit_code == 0
    twice = CliRunner().invoke(page.report, [str(runs), str(runs), "-o", str(tmp_path / "twice.html")])
    assert "two have one name" in str(twice.exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "x.png"], "ends in .html"),
        (["--codecs", "bad.json"], "holds no result"),
        (["--against", "nothing"], "no arm nothing; there are: <_script><b>, bytes-s0"),
    ],
)
def test_what_makes_no_page_is_said(runs, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text("[1]")
    done = CliRunner().invoke(page.report, [str(runs), *arguments])
    assert message in done.output + str(done.exception)


def test_a_folder_without_runs_makes_no_page(tmp_path):
    done = CliRunner().invoke(page.report, [str(tmp_path), "-o", str(tmp_path / "x.html")])
    assert "no finished run" in str(done.exception)
    assert not (tmp_path / "x.html").exists()


def dom(address, profile):
    """The page as Chromium has it once its script has run, and has said nothing on the console."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    flags += ["--disable-component-update", "--disable-sync", f"--user-data-dir={profile}"]
    flags += ["--enable-logging=stderr", "--virtual-time-budget=2000", "--dump-dom", address]
    done = subprocess.run([BROWSER, *flags], capture_output=True, text=True, timeout=120, check=True)
    assert ":CONSOLE" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_labels_of_runs_at_one_place_do_not_cover_each_other(runs, tmp_path):
    for i in range(5):
        shutil.copytree(runs / "bytes-s0", runs / f"bytes-s0-{i}")
    done = CliRunner().invoke(page.report, [str(runs), "-o", str(tmp_path / "report.html")])
    assert done.exit_code == 0, done.output
    chart = dom((tmp_path / "report.html").as_uri(), tmp_path / "profile").partition("</svg>")[0]
    heights = sorted(float(y) for y in re.findall(r'<text x="[^"]*" y="([^"]*)">bytes-s0<', chart))
    assert len(heights) == 6
    assert min(b - a for a, b in itertools.pairwise(heights)) > 12  # pixels, their size


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_a_browser_draws_the_charts_and_sorts(runs, tmp_path):
    address = made(runs, tmp_path).as_uri()
    plain, rising = (dom(address + fragment, tmp_path / "profile") for fragment in ("", "#sort=2"))
    assert plain.count("<svg") == 5
    assert plain.count("<circle") == 2
    assert plain.count("<polyline") == 8
    assert plain.index('<td data-value="1.25"') < plain.index('<td data-value="1.5"')
    assert 'aria-sort="ascending"' in rising
    falling = dom(f"{address}#sort=0", tmp_path / "profile")
    assert falling.index('data-value="&lt;_script') < falling.index('data-value="bytes-s0"')
