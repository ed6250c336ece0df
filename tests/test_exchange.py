"""Experiments for exchange rates: what is planned, what is refused, and one from the first step to the table."""

import json
import sys
from pathlib import Path

import forked
import pytest
from click.testing import CliRunner

import compressors
from bench.downstream import results
from bench.downstream.alignment import alignment
from bench.exchange import command, flags
from bench.exchange.chart import spec
from bench.exchange.experiment import runs_of
from bench.exchange.plan import plan
from bench.report import fill_tables
from compressors.corpus import Document
from compressors.errors import InputError, InvalidConfig
from proxylm.config import RunConfig
from proxylm.config_files import from_mapping, load
from proxylm.data.encode import encode
from proxylm.data.loader import Loader
from proxylm.training.trainer import train

RECIPES = Path(command.__file__).parent.parent / "recipes/exchange"
TRAIN = {"rows": 4, "row_length": 64, "dtype": "fp32"}
MODEL = {"d_model": 8, "n_layers": 1, "n_heads": 1}


@pytest.fixture(autouse=True)
def forked_runs(monkeypatch):
    monkeypatch.setattr(sys, "executable", forked.python())


@pytest.fixture(scope="module")
def store(tmp_path_factory, bpe, documents):
    views = {"bpe": bpe, "zstd": compressors.get("zstd"), "same": compressors.get("bytes")}
    views["cuts"] = compressors.get("random-cuts")
    texts = [Document(str(i), d[:3000]) for i, d in enumerate(documents)]
    return encode(texts, tmp_path_factory.mktemp("exchange") / "s", views)


def settings(arm=None, **size):
    sizes = {"d8": {"model": MODEL, "raw": 20_000} | size}
    return {"base": {"train": TRAIN}, "sizes": sizes, "arms": {"one": {"view": "bpe:bags=8"} | (arm or {})}}


def test_calibration_comes_first_and_is_shared_by_the_arms_of_a_size(store):
    both = settings() | {"seeds": [1, 2]}
    both["arms"]["two"] = {"view": "zstd", "schedule": "constant", "ratio": 2}
    runs = runs_of(both, store)
    of_seed = ["bytes-x1-d8-s{}", "bytes-x2-d8-s{}", "bytes-x4-d8-s{}", "one-d8-s{}", "two-d8-s{}"]
    assert [run.arm.name for run in runs] == [name.format(seed) for seed in (1, 2) for name in of_seed]
    assert [run.shares for run in runs[:5]] == [
        (20_000, 0), (40_000, 0), (80_000, 0), pytest.approx((20_000, 20_000)), pytest.approx((20_000, 40_000)),
    ]  # fmt: skip
    assert plan(runs, store, 1e9).rows[-1][0] == "all"


@pytest.mark.parametrize("schedule", ["constant", "first", "overlap"])
@pytest.mark.parametrize("view", ["bpe:bags=8", "bpe", "zstd"])
def test_a_planned_run_shows_r_raw_bytes_and_c_in_the_view(store, view, schedule):
    (run,) = (run for run in runs_of(settings({"view": view, "schedule": schedule}), store) if run.view)
    config = run.arm.config
    loader = Loader(store, config, config.train.steps * config.train.rows)
    shown = [loader.batch(step).shares.n_bytes for step in range(config.train.steps)]
    raw, comp = (sum(n_bytes[kind] for n_bytes in shown) for kind in ("raw", "comp"))
    assert raw + comp == pytest.approx(40_000, rel=0.03)
    assert comp / raw == pytest.approx(1, rel=0.15)  # a chunk shows one view: 40 kB are few chunks
    if schedule == "first":
        assert sum(n_bytes["comp"] for n_bytes in shown[: run.switch]) == pytest.approx(comp, rel=0.05)
    assert (run.switch == 0) == (schedule == "constant")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"raw": 80_000}, InputError, r"bytes-x2-d8-s1 shows 160,000 bytes, and .* has \d.*smaller --raw"),
        ({"arm": {"ratio": 10}}, InputError, r"one-d8-s1 shows 220,000 bytes"),
        ({"arm": {"ratio": 0.001}}, InputError, r"a part of 20 bytes is less than a step of 4 x 64 .* larger --raw"),
        ({"arm": {"view": "same"}}, InputError, r"view same has 1.00 bytes a position; expected more than 1"),
        ({"arm": {"schedule": "last"}}, InvalidConfig, r"arm one: unknown schedule 'last'; known"),
        ({"arm": {"ratio": "3"}}, InvalidConfig, r"arm one: ratio is '3'; expected C / R"),
        ({"arm": {"view": 3}}, InvalidConfig, r"arm one: view is 3; expected that of a store"),
        ({"arm": {"share": 1}}, InvalidConfig, r"arms one: no setting share; known: ratio, schedule, view"),
        ({"raw": -1}, InvalidConfig, r"size d8: raw is -1; expected R"),
        ({"calibration": [1]}, InvalidConfig, r"calibration is \[1\]; expected two multiples of R or more"),
        ({"train": {"flops": 1e9}}, InvalidConfig, r"size d8: train has flops; raw, ratio and seeds say that"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_runs(store, change, error, message):
    arm = change.pop("arm", None)
    with pytest.raises(error, match=message):
        runs_of(settings(arm, **change), store)


def test_sections_that_are_missing_or_not_known_are_named(store):
    with pytest.raises(InvalidConfig, match=r"no arms; expected at least one \[arms.bpe\]"):
        runs_of(settings() | {"arms": {}}, store)
    with pytest.raises(InvalidConfig, match="no setting size; known: arms, base, seeds, sizes"):
        runs_of(settings() | {"size": {}}, store)
    with pytest.raises(InvalidConfig, match="seeds is 3; expected a list"):
        runs_of(settings() | {"seeds": 3}, store)
    with pytest.raises(InvalidConfig, match="an arm is called bytes"):
        runs_of(settings() | {"arms": {"bytes": {"view": "bpe"}}}, store)


def test_flags_are_a_grid_and_do_not_contradict_a_recipe(tmp_path):
    given = {
        "widths": [32, 64],
        "ratios": [1.0, 3.0],
        "schedules": ["first"],
        "seeds": [],
        "assignments": ["train.rows=4"],
    }
    found = flags.settings_of(None, views=["bpe", "zstd"], raw=1e6, **given)
    assert list(found["arms"]) == ["bpe,first,1R", "bpe,first,3R", "zstd,first,1R", "zstd,first,3R"]
    assert found["sizes"]["d64"] == {"model": {"d_model": 64, "n_heads": 2}, "raw": 1e6}
    assert (found["seeds"], found["base"]["train"]["rows"]) == ([1], 4)
    with pytest.raises(InvalidConfig, match="--raw is missing; give --view NAME and --raw BYTES, or --recipe FILE"):
        flags.settings_of(None, views=["bpe"], raw=None, **given)
    with pytest.raises(InvalidConfig, match=r"small.toml and --width, --ratio, --schedule say the same; leave one out"):
        flags.settings_of(RECIPES / "small.toml", views=[], raw=None, **given)


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.toml")))
def test_the_recipes_that_come_along_are_understood(name, tmp_path, bpe, documents):
    many = {"bpe4k": compressors.get("bpe"), "zstd": compressors.get("zstd"), "gzip": compressors.get("gzip")}
    many |= {"cuts": compressors.get("random-cuts"), "words12": compressors.get("neural", width=12)}
    texts = [Document(str(i), d[:2000]) for i, d in enumerate(documents[:5])]
    few = encode(texts, tmp_path / "s", many)
    recipe = load(RECIPES / f"{name}.toml")
    for size in recipe["sizes"].values():
        size["raw"] = 1000  # of a corpus of 10 kB
    recipe["base"]["train"] |= {"rows": 1, "row_length": 64}
    runs = runs_of(recipe, few)
    assert len(runs) == len(recipe["seeds"]) * sum(
        len(size.get("calibration", [1, 2, 4])) + len(recipe["arms"]) for size in recipe["sizes"].values()
    )


def test_a_view_that_is_nearly_raw_is_read_alike(store, tmp_path):
    """One merge: nearly every position is a byte with the id that it has in the raw text."""
    mix = {"view": "bpe:merges=1", "phases": [{"until": 1.0, "start": 0.5, "end": 0.5}]}
    config = {"train": TRAIN | {"steps": 2}, "model": MODEL, "mix": mix}
    train(store, from_mapping(RunConfig, config), tmp_path / "run")
    alike = alignment(tmp_path / "run", store)
    assert alike["hidden"] > 0.95
    assert alike["gradient"] > 0.9
    config["mix"]["view"] = "zstd"
    train(store, from_mapping(RunConfig, config), tmp_path / "other")
    other = alignment(tmp_path / "other", store)
    assert other["hidden"] is None  # no spans: nothing to align
    assert other["gradient"] < alike["gradient"]


def test_an_experiment_is_run_resumed_and_shown(store, tmp_path, documents):
    held_out = tmp_path / "held.jsonl"
    held_out.write_text("\n".join(json.dumps({"text": d[:700].decode()}) for d in documents[-4:]))
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        '[base.train]\nrows = 4\nrow_length = 64\ndtype = "fp32"\n[base.model]\nn_layers = 1\nn_heads = 1\n'
        "[sizes.d8]\nmodel = { d_model = 8 }\nraw = 6000\ncalibration = [1, 4]\n"
        '[arms.bags]\nview = "bpe:bags=8"\n[arms.cuts]\nview = "cuts"\nschedule = "constant"\n'
    )
    given = [str(store.path), str(held_out), "--recipe", str(recipe), "--runs", str(tmp_path / "runs"), "--jobs", "2"]
    early = CliRunner().invoke(command.exchange, [*given, "--only", "bags-*"])
    assert early.exit_code == 1
    assert "bags, size d8, seed 1: no calibration: 0 runs of bytes only are finished" in early.output
    done = CliRunner().invoke(
        command.exchange, [*given, "-o", str(tmp_path / "e.json"), "--chart", str(tmp_path / "e.png")]
    )
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "e.json").read_text())
    bags, cuts = found["rows"]
    assert (bags["view"], bags["width"], bags["schedule"], bags["interval"]) == ("bpe:bags=8", 8, "first", "documents")
    assert bags["e_low"] <= bags["e"] <= bags["e_high"]
    raw = [(run["raw_bytes"], run["loss"]) for run in found["calibration"]]
    assert raw[0][1] > raw[1][1]
    assert bags["raw_bytes"] == pytest.approx(6000, rel=0.1)
    assert bags["bytes_per_position"] > 2
    assert cuts["flops_per_position"] > 2  # a head of 4,096 symbols on a model of 8 numbers
    assert cuts["dip"] == []
    assert (tmp_path / "e.png").stat().st_size > 5000
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob(f"*/{results.RESULT}")}
    assert len(times) == 4
    again = CliRunner().invoke(command.exchange, given)
    assert again.output.splitlines()[-4:] == done.output.splitlines()[-4:]
    assert {path: path.stat().st_mtime_ns for path in times} == times  # read, not made again
    assert found["dtypes"] == ["fp32"]
    log = tmp_path / "runs/bags-d8-s1/log.jsonl"
    log.write_text(log.read_text().replace('"dtype": "fp32"', '"dtype": "bf16"'))
    mixed = CliRunner().invoke(command.exchange, given)
    assert "warning: runs in bf16 and fp32 are compared; give --set train.dtype=..." in mixed.output
    page = fill_tables.filled("<!-- exchange e -->\n<!-- end -->\n", tmp_path)
    assert "| bpe:bags=8 | first | 8 | 1 | 0.01 |" in page


def test_the_chart_has_a_panel_for_stability_where_it_is_known():
    rates = {"view": "bpe", "schedule": "first", "width": 32, "e": 0.5, "e_low": None, "e_high": None}
    rates |= {"bytes_per_position": 3.2, "distance": None}
    assert len(spec([rates])["hconcat"]) == 1
    both = spec([rates, rates | {"distance": 0.3}])
    assert len(both["hconcat"]) == 2
    assert json.dumps(both).count('"name": "bpe, first"') == 2 + 1
