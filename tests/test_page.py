"""`proxyc report`: the page and the pictures, and what a browser makes of the page."""

import functools
import json
import re

import browser
import pytest
from charts_seen import dom, probed
from click.testing import CliRunner

from bench.report import vega
from bench.report.command import report
from bench.report.fill_tables import RESULTS
from compressors.errors import MissingExtra

needs_browser = pytest.mark.skipif(browser.BROWSER is None, reason="needs a Chromium")
CHUNKED = RESULTS / "chunked.json"  # 43 runs: five arms, five sizes, three seeds


@functools.cache
def runs_of(path=CHUNKED):
    return json.loads(path.read_text())


def command(*arguments):
    return CliRunner().invoke(report, [str(argument) for argument in arguments])


def made(folder, *arguments, output="report.html"):
    """The page of a command that must succeed."""
    done = command(*arguments, "-o", folder / output)
    assert done.exit_code == 0, done.output + str(done.exception)
    return folder / output


def facts_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page.read_text(), re.DOTALL)[1])


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return made(tmp_path_factory.mktemp("page"), CHUNKED)


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
        config = {"mix": {"view": view}, "train": {"seed": 0}, "model": {"d_model": 8}}
        (folder / "run.json").write_text(json.dumps({"config": config}))
        result = {
            "name": folder.name, "arm": folder.name, "rival": "bytes-s0", "size": "", "reads": "raw", "environment": "a computer",
            "config": config, "views": {"bpe": "f1"} if view else {},
            "document_bytes": [10, 20], "document_bits": [10 * bits, 20 * bits],
            "evaluation": {"bits_per_byte": bits, "interval_95": [bits - 0.1, bits + 0.1]},
            "totals": {"steps": 9, "flops": 6e10, "symbols": 5580, "bytes": 6000, "seconds": 30.0},
        }  # fmt: skip
        (folder / "result.json").write_text(json.dumps(result))
    return tmp_path / "runs"


def test_the_page_holds_everything_and_asks_for_nothing(page):
    text = page.read_text()
    assert len(text) < 2_000_000
    assert text.count("</script>") == 3
    assert "default-src 'none'" in text, "the browser must refuse to fetch anything"
    without = re.sub(r"<script>.*?</script>", "", text, count=1, flags=re.DOTALL)
    assert not re.search(r"(src|href)\s*=|@import|url\(|fetch\(|XMLHttp", without)
    facts = facts_of(page)
    assert [chart["name"] for chart in facts["charts"]] == ["compute", "ratio", "curves", "differences"]
    assert len(facts["datasets"]["runs"]) == 43
    assert facts["datasets"]["runs"][0]["panel"] == "d32, 6.2e+12 FLOPs"
    assert [len(facts["filters"][field]) for field in ("arm", "size", "seed")] == [5, 5, 3]
    assert len({arm["colour"] for arm in facts["filters"]["arm"]}) == 5


def test_a_rival_without_a_run_gives_way_to_the_first_arm(page):
    assert {r["rival"] for r in runs_of()} == {"plain-bytes"}
    facts = facts_of(page)
    assert facts["charts"][3]["heading"] == "Differences from bytes"
    by_group = {row["group"]: row for row in facts["datasets"]["differences"]}
    assert "bytes d32" not in by_group
    merges = by_group["merges d128"]
    assert merges["seeds_low"] < merges["ratio"] < merges["seeds_high"] < 0
    assert merges["seeds"] == 3
    assert by_group["tokens-composed d256"]["seeds_low"] is None


@needs_browser
def test_no_label_covers_another_and_filters_and_picks_work(page):
    steps = """
    const other = document.querySelector("#filters input");
    other.checked = false; filter(); steps.filtered = await settle(); other.checked = true; filter(); await settle();
    pick({}, { datum: { group: "merges d64" } }); steps.picked = await settle(); pick({}, null);
    const cost = document.querySelector("select");
    for (const option of cost.options) { cost.value = option.value; cost.onchange(); steps[option.value] = await settle(); }
    const mark = document.querySelector("#ratio .mark-symbol path"), box = mark.getBoundingClientRect();
    for (const kind of ["pointerover", "pointermove", "mousemove", "mouseover"])
      mark.dispatchEvent(new PointerEvent(kind, { bubbles: true, clientX: box.x + 4, clientY: box.y + 4 }));
    await new Promise(done => setTimeout(done, 50));
    steps.tip = document.getElementById("vg-tooltip-element").textContent;"""
    seen = probed(page, steps)
    tip = seen.pop("tip")
    assert all(word in tip for word in ("bytes per symbol", "lowest seed", "FLOPs", "seconds", "d32")), tip
    assert [part["chart"] for part in seen["start"]] == ["compute", "ratio", "curves", "differences"]
    for step, parts in seen.items():
        for part in parts:
            assert (step, part["chart"], part["covered"], part["cut"]) == (step, part["chart"], [], [])
            assert part["marks"]
    lines = {step: [part["lines"] for part in parts] for step, parts in seen.items()}
    assert lines["start"] == [5, 0, 21, 0], "seeds are one line: of an arm through sizes, of an arm at a size"
    assert lines["filtered"] == [4, 0, 16, 0], "without bytes"
    assert sum(part["faint"] for part in seen["start"]) == 0
    assert all(part["faint"] for part in seen["picked"]), "the rest steps back in every chart"
    assert len({tuple(seen[f"at_{cost}"][2]["texts"]) for cost in ("flops", "bytes", "symbols", "seconds")}) == 4


@needs_browser
def test_two_hundred_runs(tmp_path):
    found = []
    for copy in range(5):  # 25 arms
        for r in runs_of():
            bits = [value * (1 + 0.01 * copy) for value in r["document_bits"]]
            arm = f"{r['arm']}-{copy}" if copy else r["arm"] + "-of-a-very-long-name" * 3
            evaluation = r["evaluation"] | {"bits_per_byte": sum(bits) / sum(r["document_bytes"])}
            found.append(
                r | {"arm": arm, "document_bits": bits, "evaluation": evaluation, "size": r["size"] + " wide" * 9}
            )
    (tmp_path / "many.json").write_text(json.dumps(found[:200]))
    page = made(tmp_path, tmp_path / "many.json")
    assert page.stat().st_size < 2_000_000
    assert len({arm["colour"] for arm in facts_of(page)["filters"]["arm"]}) == 25
    for part in probed(page)["start"]:
        assert (part["chart"], part["covered"], part["cut"]) == (part["chart"], [], [])


@needs_browser
def test_one_run(tmp_path):
    (tmp_path / "one.json").write_text(json.dumps(runs_of()[:1]))
    page = made(tmp_path, tmp_path / "one.json")
    assert [chart["name"] for chart in facts_of(page)["charts"]] == ["curves"]
    (curves,) = probed(page)["start"]
    assert (curves["lines"], curves["covered"]) == (1, [])


def test_a_plain_run_and_a_folder_of_them(runs, tmp_path):
    for folder in runs.iterdir():
        (folder / "result.json").unlink()
        with open(folder / "log.jsonl", "a") as log:
            last = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
            log.write(json.dumps(last | {"held_out_bits_per_byte": 1.125}) + "\n")
    one = facts_of(made(tmp_path, runs / "bytes-s0"))
    assert [chart["name"] for chart in one["charts"]] == ["curves"]
    assert one["datasets"]["runs"][0]["bits"] == 1.125
    assert one["about"].startswith("None of these runs was scored")
    both = facts_of(made(tmp_path, runs, output="both.html"))
    assert [row["run"] for row in both["datasets"]["runs"]] == ["<_script><b>", "bytes-s0"]
    (runs / "bytes-s0" / "run.json").write_text("{}")
    assert "is not a training run" in str(command(runs / "bytes-s0", "-o", tmp_path / "x.html").exception)


def test_a_grid_has_its_curves_and_the_stability_of_its_views(runs, tmp_path):
    small = {"name": "small", "fingerprint": "f1", "distance": 0.45, "document_bits_per_byte": 1.3}
    table = {"rows": [small, {"name": "xz -9"}, {"name": "bytes", "distance": 0.1}]}
    (tmp_path / "codecs.json").write_text(json.dumps(table))
    facts = facts_of(made(tmp_path, runs, "--codecs", tmp_path / "codecs.json"))
    found = {run["run"]: run for run in facts["datasets"]["runs"]}
    assert {name: run["distance"] for name, run in found.items()} == {"bytes-s0": 0.1, "<_script><b>": 0.45}
    assert found["bytes-s0"]["at_symbols"][-1] == 60 * 93
    assert len(found["bytes-s0"]["loss"]) <= 60
    assert [part["heading"] for part in facts["tables"]][1:] == ["Runs", "Compressors"]
    assert facts["environment"] == "a computer"


def test_runs_of_two_sources_are_told_apart_and_compared_within_their_own(runs, tmp_path):
    results = [json.loads((runs / "bytes-s0/result.json").read_text())]
    (tmp_path / "other.json").write_text(json.dumps(results))
    facts = facts_of(made(tmp_path, runs, tmp_path / "other.json"))
    names = ["runs: <_script><b>", "runs: bytes-s0", "other: bytes-s0"]
    assert [run["run"] for run in facts["datasets"]["runs"]] == names
    (difference,) = facts["datasets"]["differences"]
    assert difference["ratio"] == pytest.approx(-100 / 6, abs=1e-3)
    assert facts["about"].startswith("Scored on 2 documents, 30 bytes")
    (tmp_path / "runs/results.json").write_text(json.dumps(results))
    (tmp_path / "late").mkdir()
    (tmp_path / "late/results.json").write_text(json.dumps(results))
    made(tmp_path, *(tmp_path / name / "results.json" for name in ("runs", "late")), output="two.html")
    assert "two have one name" in str(command(runs, runs, "-o", tmp_path / "twice.html").exception)


@needs_browser
def test_exchange_rates_where_there_are_some(tmp_path):
    rate = {
        "view": "bpe:merges=256",
        "width": 64,
        "e": 0.9,
        "e_low": 0.7,
        "e_high": 1.1,
        "bytes_per_position": 1.4,
        "pays": True,
    }
    rates = [rate, rate | {"width": 128}, rate | {"view": "bpe", "e": 0.2, "pays": False}]
    (tmp_path / "rates.json").write_text(json.dumps({"bench": "exchange", "schema": 1, "rows": rates}))
    (exchange,) = probed(made(tmp_path, tmp_path / "rates.json"))["start"]
    assert exchange["chart"] == "exchange"
    assert {"64", "128", "bpe", "bpe:merges=256"} <= set(exchange["texts"])
    assert (exchange["covered"], exchange["cut"]) == ([], [])


def test_pictures_come_from_the_same_charts(tmp_path):
    svg, png = tmp_path / "a.svg", tmp_path / "a.png"
    done = command(CHUNKED, "--svg", svg, "--png", png, "--chart", "compute")
    assert done.exit_code == 0, done.output
    assert not (tmp_path / "report.html").exists()
    assert png.read_bytes().startswith(b"\x89PNG")
    text = svg.read_text()
    assert int(re.search(r'width="(\d+)"', text)[1]) < 900, "a README shows 860 pixels"
    assert all(f">{word}</text>" in text for word in ("Loss against compute", "merges", "proxy", "d128q"))
    assert "exists already; use --force" in command(CHUNKED, "--svg", svg).output


@pytest.mark.parametrize("chart", ["compute", "differences"])
def test_the_pictures_of_the_pages_are_those_of_the_results(tmp_path, chart):
    """Every mark says what it shows. Sizes are left out: they depend on the fonts of a machine."""
    made, name = tmp_path / "made.svg", f"docs/pictures/{chart}.svg"
    arguments = [RESULTS / "final_chunked_once.json", "--against", "bytes", "--chart", chart, "--svg"]
    assert command(*arguments, made).exit_code == 0
    said = [re.findall(r'aria-label="[^"]*"', path.read_text()) for path in (made, RESULTS.parent.parent / name)]
    assert said[0] == said[1], f"proxyc report {' '.join(map(str, arguments))} {name} --force"
    assert len(said[0]) > 20


@needs_browser
def test_a_browser_sorts_tables(page):
    rising = dom(f"{page.as_uri()}#sort=2", page.with_name("profile"), milliseconds=4000, until="</svg>")
    found = re.findall(
        r'<tr><td data-value="[^"]*">[^<]*</td><td data-value="[^"]*">\d</td><td data-value="([\d.]+)">([\d.]+)<',
        rising,
    )
    cells = [float(value) for value, _ in found]
    assert len(cells) == 21
    assert cells == sorted(cells)
    assert {len(shown) for _, shown in found} == {len("1.234")}, "all numbers of a column have the same places"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "x.png"], "ends in .html"),
        (["--codecs", "bad.json"], "holds no result"),
        (["--against", "nothing"], "no arm nothing; there are: <_script><b>, bytes-s0"),
        (
            ["--svg", "x.svg", "--chart", "compute"],
            "nothing to draw for compute; charts of these results: ratio, curves, differences",
        ),
    ],
)
def test_what_makes_no_page_is_said(runs, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.json").write_text("[1]")
    done = command(runs, *arguments)
    assert message in done.output + str(done.exception)


def test_a_folder_without_runs_makes_no_page(tmp_path):
    done = command(tmp_path, "-o", tmp_path / "x.html")
    assert "no finished run" in str(done.exception)
    assert not (tmp_path / "x.html").exists()


def test_a_missing_package_is_named_with_its_extra(monkeypatch, tmp_path):
    monkeypatch.setattr(vega, "find_spec", lambda name: None)
    done = command(CHUNKED, "-o", tmp_path / "x.html")
    assert isinstance(done.exception, MissingExtra)
    assert str(done.exception) == "charts need altair and vl_convert: pip install 'proxyc[report]'"
