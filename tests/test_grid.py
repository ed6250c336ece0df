import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import compressors
from bench import grid, recipe, tables
from bench.downstream import Arm, planned
from compressors.documents import Document
from compressors.errors import InputError, InvalidConfig
from proxylm.config import RunConfig
from proxylm.encode import encode
from proxylm.settings import from_mapping

RECIPE = """
seeds = [0, 1]
[base.train]
flops = 2e9
rows = 4
row_length = 64
[base.model]
d_model = 32
n_layers = 1
n_heads = 2
[sizes.small]
[sizes.wide.model]
d_model = 64
[arms.bytes]
mix = { recipe = "raw" }
sweep = { "train.matrix_lr" = [0.01, 0.02] }
[arms.tokens]
reads = "bpe"
mix = { recipe = "comp", view = "bpe" }
train = { steps = 3 }
"""


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


def test_arms_times_sizes_times_seeds_with_settings_from_the_nearest(written):
    arms = {arm.name: arm for arm in recipe.load(written)}
    assert list(arms)[:3] == ["bytes,matrix_lr=0.01-small-s0", "bytes,matrix_lr=0.02-small-s0", "tokens-small-s0"]
    assert len(arms) == 12
    chosen = arms["bytes,matrix_lr=0.02-wide-s1"].config
    assert (chosen.train.matrix_lr, chosen.train.seed, chosen.model.d_model, chosen.model.n_layers) == (0.02, 1, 64, 1)
    assert (arms["tokens-small-s0"].config.train.steps, arms["tokens-small-s0"].config.train.flops) == (3, None)
    assert arms["tokens-small-s0"].reads == "bpe"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[base.model]", "[base.modle]"), "modle"),
        (("reads", "read"), "no setting read"),
        (("seeds", "seed"), "no section seed"),
        (("[sizes.small]", "[sizes]\nsmall = 3\n[sizes.other]"), "table of tables"),
        (("d_model = 32", "d_modle = 32"), "d_modle"),
    ],
)
def test_what_a_recipe_does_not_know_is_named(written, change, message):
    written.write_text(RECIPE.replace(*change))
    with pytest.raises(InvalidConfig, match=message):
        recipe.load(written)


@pytest.mark.parametrize(
    "name",
    [
        "tiny",
        "small",
        "small-rates",
        "ngrams",
        "ngrams-quarter",
        "ngrams-rates",
        "scale",
        "rates-d64",
        "ablations",
        "gpu-150m",
        "gpu-1b",
    ],
)
def test_the_recipes_that_come_along_are_understood_and_planned(name, tmp_path, bpe, documents):
    views = {"bpe": bpe, "bpe4k": bpe, "words": compressors.get("neural"), "zstd": compressors.get("zstd")}
    views |= {"bpe32k": bpe, "words12": compressors.get("neural", width=12), "gzip": compressors.get("gzip")}
    views["packed"] = compressors.get("pack", codec="bytes")
    store = encode([Document(str(i), d[:2000]) for i, d in enumerate(documents[:5])], tmp_path / "s", views)
    arms = recipe.load(Path(recipe.__file__).parent / f"recipes/{name}.toml")
    assert {arm.config.mix.recipe for arm in arms} >= {"raw"}
    for arm in arms[:5]:  # one step of each: the whole plan of a large run takes a minute
        settings = json.loads(arm.config.to_json())
        settings["train"] |= {"flops": None, "steps": 1}
        line = planned(Arm(arm.name, from_mapping(RunConfig, settings), arm.reads), store, 1e12)
        assert ": 1 steps of" in line
        assert "hours" in line


def test_a_grid_is_run_goes_on_and_is_planned(written, tmp_path, bpe, documents):
    bpe.save(tmp_path / "bpe.pxa")
    store = encode([Document(str(i), d[:2000]) for i, d in enumerate(documents[:20])], tmp_path / "s", {"bpe": bpe})
    held_out = tmp_path / "held.py"
    held_out.write_bytes(documents[21][:900])
    arguments = [str(written), str(store.path), str(held_out), "-o", str(tmp_path / "runs"), "--max-bytes", "40000"]
    arguments += ["--codec", f"bpe@bpe={tmp_path / 'bpe.pxa'}", "--only", "*-small-s0"]
    planned = CliRunner().invoke(grid.downstream, [*arguments, "--plan"])
    assert planned.output.count("M parameters") == 3
    assert not (tmp_path / "runs").exists()
    done = CliRunner().invoke(grid.downstream, arguments)
    assert done.exit_code == 0, done.output
    results = {r["name"]: r for r in tables.collect(tmp_path / "runs")}
    assert len(results) == 3
    tokens = results["tokens-small-s0"]
    assert tokens["reads"] == "bpe"
    assert tokens["totals"]["steps"] == 3
    assert tokens["document_bytes"] == [900]
    assert tokens["held_out_sha256"] == hashlib.sha256(documents[21][:900]).hexdigest()
    assert tokens["views"] == {"bpe": bpe.fingerprint}
    assert results["bytes,matrix_lr=0.01-small-s0"]["views"] == {}
    assert {r["corpus"] for r in results.values()} == {store.fingerprint_of()}
    assert sum(tokens["document_bits"]) / 900 == pytest.approx(tokens["evaluation"]["bits_per_byte"])
    file = tmp_path / "runs/tokens-small-s0" / tables.RESULT
    file.write_text(json.dumps(tokens | {"reads": "kept"}))
    again = CliRunner().invoke(grid.downstream, arguments)
    none = CliRunner().invoke(grid.downstream, [*arguments, "--only", "small-s0"])  # a whole name, not a part of one
    assert "--only small-s0 names no run; the recipe has bytes" in str(none.exception)
    assert "| kept |" in again.output
    arguments[arguments.index("--max-bytes") + 1] = "4000"  # a document may have 100
    small = CliRunner().invoke(grid.downstream, [*arguments, "-o", str(tmp_path / "none")])
    assert "has 1 to 100 bytes" in str(small.exception)
    assert not (tmp_path / "none").exists()
    bad = CliRunner().invoke(
        grid.downstream,
        [*arguments[:4], str(tmp_path / "other"), "--max-bytes", "40000", "--only", "tokens-small-s0"],
    )
    assert bad.exit_code == 1
    assert "--codec bpe@CODEC" in (tmp_path / "other/tokens-small-s0/run.err").read_text()


def _result(name, seed, bits, n_bytes=(100, 50), width=128):
    evaluation = {"bits_per_byte": sum(bits) / sum(n_bytes), "interval_95": (0, 9)}
    totals = {"flops": 2e9, "symbols": 10, "bytes": 20, "seconds": 3.0}
    config = {"train": {"seed": seed}, "model": {"d_model": width}}
    sizes = {"document_bytes": list(n_bytes), "document_bits": bits}
    return {
        "name": f"{name}-s{seed}",
        "reads": "raw",
        "evaluation": evaluation,
        "totals": totals,
        "config": config,
        **sizes,
    }


def test_arms_are_compared_over_the_seeds_they_share():
    found = [_result("bytes", 0, [200, 100]), _result("bytes", 1, [220, 110]), _result("ours", 1, [110, 55])]
    found.append(_result("ours", 7, [1, 1]))  # a seed that the first arm has not
    lines = tables.arms(found).splitlines()[2:]
    assert lines[0].startswith("| bytes | 2 | 2.1000 (2.000-2.200) | - | - |")
    assert lines[1].startswith(
        "| ours | 2 | 0.5567 (0.013-1.100) | -50.0% (-50.0% to -50.0%) | -50.0% | 2e+09 | 10 | 20 | 3 |"
    )


def test_each_width_has_a_first_of_its_own():
    wide = [_result("bytes-wide", 0, [100, 50], width=256), _result("ours-wide", 0, [110, 55], width=256)]
    found = [_result("bytes", 0, [200, 100]), *wide, _result("ours", 0, [100, 50])]
    against = [line.split(" | ")[3].split(" ")[0] for line in tables.runs(found).splitlines()[2:]]
    assert against == ["-", "-", "+10.0%", "-50.0%"]
    against = [line.split(" | ")[3].split(" ")[0] for line in tables.arms(found).splitlines()[2:]]
    assert against == ["-", "-", "+10.0%", "-50.0%"]


def test_tables_may_be_set_against_any_arm_and_tell_hours(tmp_path):
    found = [_result("bytes", 0, [200, 100]), _result("ngrams", 0, [100, 50]), _result("ours", 0, [110, 55])]
    (tmp_path / "r.json").write_text(json.dumps(found))
    done = CliRunner().invoke(tables.main, [str(tmp_path / "r.json"), "--against", "ngrams"])
    assert done.exit_code == 0, done.output
    assert done.output == f"{tables.runs(found, 'ngrams')}\n\n{tables.arms(found, 'ngrams')}\n\n0.0 hours of training\n"
    for table in (tables.runs, tables.arms):
        against = [line.split(" | ")[3].split(" ")[0] for line in table(found, "ngrams").splitlines()[2:]]
        assert against == ["+100.0%", "-", "+10.0%"]


@pytest.mark.parametrize(
    ("text", "message"), [("", "no JSON"), ("{}", "no runs"), ("[3]", "no runs"), ('[{"x": 1}]', "no runs")]
)
def test_what_is_no_result_is_said(tmp_path, text, message):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(InputError, match=message):
        tables.read(tmp_path / "r.json")
