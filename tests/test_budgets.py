"""Runs with the symbols, the bytes or the seconds of a rival."""

import json
import sys
from dataclasses import replace

import forked
import pytest
from click.testing import CliRunner

from bench.downstream import budgets, grid, recipe, rescore, results
from bench.downstream.arms import digest
from bench.report import tables
from compressors.corpus import Document
from compressors.errors import InputError, InvalidConfig
from proxylm.config import RECIPES, MixConfig, RunConfig, TrainConfig
from proxylm.data.encode import encode
from proxylm.data.loader import Loader
from proxylm.evaluation.bits_per_byte import evaluate, trained_window
from proxylm.training.run_folder import load_run
from proxylm.training.run_plan import RunPlan

RECIPE = """
seeds = [3]
[base.train]
flops = 3e9
rows = 4
row_length = 64
[base.model]
d_model = 32
n_layers = 1
n_heads = 2
[sizes.small]
[arms.bytes]
mix = { recipe = "raw" }
[arms.bags]
mix = { recipe = "comp-then-raw", view = "bpe:bags=8" }
equal = ["symbols", "bytes", "seconds"]
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory, bpe, documents):
    path = tmp_path_factory.mktemp("budgets") / "s"
    return encode([Document(str(i), d[: 300 + 70 * i]) for i, d in enumerate(documents[:20])], path, {"bpe": bpe})


@pytest.fixture
def arms(tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE)
    return {arm.name: arm for arm in recipe.load(tmp_path / "recipe.toml")}


@pytest.mark.parametrize(("view", "chunk"), [("bpe", 0), ("bpe", 100), ("bpe:bags=4", 100)])
def test_planned_bytes_are_those_that_the_batches_show(store, view, chunk):
    phases = RECIPES["proxy" if view == "bpe" else "comp-then-raw"].phases
    mix = MixConfig(view=view, phases=phases, chunk=chunk)
    config = RunConfig(train=TrainConfig(steps=300, rows=4, row_length=64), mix=mix)
    shown = sum(sum(Loader(store, config, 1200).batch(step).shares.n_bytes.values()) for step in range(300))
    assert RunPlan.of(store, config).n_bytes == pytest.approx(shown, rel=0.01)


def test_each_budget_has_a_run_of_its_own_beside_that_of_equal_flops(arms):
    names = ["bytes", "bags", "bags,equal=symbols", "bags,equal=bytes", "bags,equal=seconds"]
    assert list(arms) == [f"{name}-small-s3" for name in names]
    chosen = arms["bags,equal=bytes-small-s3"]
    assert (chosen.rival, chosen.at_flops) == (arms["bytes-small-s3"], "bags-small-s3")
    assert chosen.config == arms["bags-small-s3"].config


def test_steps_give_what_the_rival_was_given(store, arms, tmp_path):
    rival = arms["bytes-small-s3"].config
    plan = RunPlan.of(store, rival)
    assert budgets.settled(arms["bags-small-s3"], store, tmp_path) is arms["bags-small-s3"]
    symbols = budgets.settled(arms["bags,equal=symbols-small-s3"], store, tmp_path).config
    assert (symbols.train.steps, symbols.train.flops) == (plan.steps, None)
    of_bytes = budgets.settled(arms["bags,equal=bytes-small-s3"], store, tmp_path).config
    assert of_bytes.train.steps < plan.steps
    one_more = replace(of_bytes, train=replace(of_bytes.train, steps=of_bytes.train.steps + 1))
    assert RunPlan.of(store, of_bytes).n_bytes <= plan.n_bytes < RunPlan.of(store, one_more).n_bytes


def test_equal_seconds_follow_from_the_two_runs_at_equal_flops(store, arms, tmp_path):
    chosen = arms["bags,equal=seconds-small-s3"]
    with pytest.raises(InputError, match=r"bytes-small-s3 took.*run it first"):
        budgets.settled(chosen, store, tmp_path)
    for name, steps, seconds in (("bytes-small-s3", 40, 10.0), ("bags-small-s3", 30, 15.0)):
        (tmp_path / name).mkdir()
        (tmp_path / name / results.RESULT).write_text(json.dumps({"totals": {"steps": steps, "seconds": seconds}}))
    assert budgets.settled(chosen, store, tmp_path).config.train.steps == 20


def test_unknown_budgets_are_named(tmp_path):
    (tmp_path / "recipe.toml").write_text(RECIPE.replace('"bytes", "seconds"', '"hours"'))
    with pytest.raises(InvalidConfig, match=r"arm bags.*hours.*symbols, bytes, seconds"):
        recipe.load(tmp_path / "recipe.toml")


@pytest.fixture(scope="module")
def ran(store, tmp_path_factory, documents):
    """A folder with the runs of a grid of three: two, and one more with the seconds of the first."""
    folder = tmp_path_factory.mktemp("ran")
    (folder / "recipe.toml").write_text(RECIPE.replace('"symbols", "bytes", "seconds"', '"seconds"'))
    for name, text in (("held.py", documents[21][:900]), ("other.py", documents[22][:700])):
        (folder / name).write_bytes(text)
    arguments = [str(folder / "recipe.toml"), str(store.path), str(folder / "held.py"), "-o", str(folder / "runs")]
    arguments += ["--max-bytes", "40000"]
    planned = CliRunner().invoke(grid.downstream, [*arguments, "--plan"])
    assert "bags,equal=seconds-small-s3: as long as bytes-small-s3 took" in planned.output
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "executable", forked.python())
        done = CliRunner().invoke(grid.downstream, [*arguments, "--jobs", "2"])
    assert done.exit_code == 0, done.output
    return folder


def test_equal_seconds_are_run_once_the_others_have_been(ran):
    totals = {r["name"].partition("-small")[0]: r["totals"] for r in results.collect(ran / "runs")}
    expected = totals["bytes"]["seconds"] * totals["bags"]["steps"] / totals["bags"]["seconds"]
    assert totals["bags,equal=seconds"]["steps"] == max(1, round(expected))
    table = str(tables.budgets(results.collect(ran / "runs"))).splitlines()
    assert table[0] == "| arm | equal FLOPs | equal symbols | equal bytes | equal seconds |"
    (row,) = table[2:]
    assert [cell.count("%") for cell in row.split("|")[1:-1]] == [0, 1, 0, 0, 1]  # of one document, without intervals


def test_a_run_with_the_budget_of_another_rival_is_not_taken_for_this_ones(ran, store):
    (ran / "other.toml").write_text((ran / "recipe.toml").read_text().replace("flops = 3e9", "flops = 4e9"))
    kept = {name: (ran / "runs" / name / results.RESULT).read_bytes() for name in ("bytes-small-s3", "bags-small-s3")}
    arguments = [
        str(ran / "other.toml"),
        str(store.path),
        str(ran / "held.py"),
        "-o",
        str(ran / "runs"),
        "--max-bytes",
        "40000",
    ]
    refused = CliRunner().invoke(grid.downstream, [*arguments, "--plan"])
    assert "bytes-small-s3 holds a finished run with another train.flops (3000000000.0, now 4000000000.0);" in str(
        refused.exception
    )
    for name in kept:
        (ran / "runs" / name / results.RESULT).unlink()
    refused = CliRunner().invoke(
        grid.downstream, [*arguments, "--only", "bytes-small-s3"]
    )  # what is not asked for is printed too
    assert "equal=seconds-small-s3 holds a finished run with another rival_config.train.flops (" in str(
        refused.exception
    )
    for name, data in kept.items():
        (ran / "runs" / name / results.RESULT).write_bytes(data)


def test_finished_runs_are_scored_on_other_text(ran, tmp_path, documents):
    runs, held, other = (str(ran / name) for name in ("runs", "held.py", "other.py"))
    before = {r["name"]: r for r in results.collect(ran / "runs")}
    arguments = [runs, other, "--max-bytes", "40000", "-o", str(tmp_path / "final.json")]
    done = CliRunner().invoke(rescore.rescore, [*arguments, "--only", "bags-small-s3", "--only", "bytes-small-s3"])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "final.json").read_text())
    assert [r["name"] for r in found] == ["bags-small-s3", "bytes-small-s3"]
    assert done.stdout.startswith(str(tables.runs(found)))
    for record in found:
        model, config = load_run(ran / "runs" / record["name"])
        expected = evaluate(model, [documents[22][:700]], window=trained_window(config))
        assert record["evaluation"] == json.loads(json.dumps(expected.to_json()))
        assert record["document_bytes"] == [700]
        assert record["held_out_sha256"] == digest([Document("", documents[22][:700])])
        assert record["totals"] == before[record["name"]]["totals"]
    again = CliRunner().invoke(rescore.rescore, [runs, held, "--max-bytes", "40000", "-o", str(tmp_path / "same.json")])
    assert again.exit_code == 0
    for record in json.loads((tmp_path / "same.json").read_text()):
        assert record["document_bits"] == pytest.approx(before[record["name"]]["document_bits"])
    unknown = CliRunner().invoke(rescore.rescore, [*arguments, "--force", "--only", "nothing"])
    assert "nothing names no run; there are: bags,equal=seconds-small-s3" in str(unknown.exception)
    assert "bags-small-s3, bytes-small-s3" in str(unknown.exception)
