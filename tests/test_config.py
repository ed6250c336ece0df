import dataclasses
import json

import pytest
from click.testing import CliRunner

from compressors.errors import InputError, InvalidConfig
from proxylm import config_files
from proxylm.cli.main import proxyc
from proxylm.config import MixConfig, ModelConfig, RunConfig, TrainConfig
from proxylm.config_files import from_mapping, load, override, run_config

GOOD = {
    "train": {"steps": 3},
    "mix": {"view": "bpe", "phases": [{"until": 1, "start": 0.5, "end": 0.25, "pair": True}]},
}


def test_json_and_toml_round_trip(tmp_path):
    made = from_mapping(RunConfig, GOOD)
    assert from_mapping(RunConfig, json.loads(made.to_json())) == made
    (tmp_path / "a.json").write_text(made.to_json())
    (tmp_path / "a.toml").write_text(
        "[train]\nsteps = 3\n[mix]\nview = 'bpe'\nphases = [{until=1, start=0.5, end=0.25, pair=true}]\n"
    )
    assert (
        from_mapping(RunConfig, load(tmp_path / "a.json")) == from_mapping(RunConfig, load(tmp_path / "a.toml")) == made
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"train": {"steps": 3}, "modle": {}}, "no setting modle"),
        ({"train": {"steps": 3, "lr": 1}}, "train: no setting lr"),
        ({"train": {"steps": "3"}}, "train.steps is '3'; expected int or NoneType"),
        ({"train": {"steps": True}}, "train.steps is True"),
        ({"train": {}}, "exactly one"),
        ({"train": {"steps": 1, "flops": 1.0}}, "exactly one"),
        ({"train": {"steps": 0}}, "positive"),
        ({"train": {"flops": float("inf")}}, "positive"),
        ({"train": {"flops": float("nan")}}, "positive"),
        ({"train": {"steps": 1, "warmup": -1}}, "warmup is -1"),
        ({"train": {"steps": 1, "head_lr": float("nan")}}, "head_lr is nan"),
        ({"train": {"steps": 1, "seed": -1}}, "seed is -1"),
        ({"train": {"steps": 1}, "mix": {"chunk": -1}}, "chunk is -1"),
        ({"train": {"steps": 1}, "mix": {"chunk": 1}}, "chunk is 1; expected 2 bytes or more"),
        ({"train": 5}, "expected a table"),
        ({"train": {"steps": 1}, "model": {"n_heads": 0}}, "n_heads is 0"),
        ({"train": {"steps": 1}, "model": {"n_kv_heads": 0}}, "n_kv_heads is 0"),
        ({"train": {"steps": 1}, "model": {"rope_theta": 0}}, "rope_theta is 0"),
        ({"train": {"steps": 1, "rows": 0}}, "rows is 0"),
        ({"train": {"steps": 1}, "model": {"d_model": 30, "n_heads": 4}}, "multiple"),
        ({"train": {"steps": 1}, "mix": {"recipe": "papers"}}, "unknown recipe"),
        ({"train": {"steps": 1}, "mix": {"recipe": "proxy"}}, "which with view"),
        ({"train": {"steps": 1}, "mix": {"phases": [{"until": 0.5, "start": 0, "end": 0}]}}, "the last 1.0"),
        ({"train": {"steps": 1}, "mix": {"view": "a", "phases": [{"until": 1, "start": 0, "end": 2}]}}, "outside 0..1"),
    ],
)
def test_bad_settings_are_named(values, message):
    with pytest.raises(InvalidConfig, match=message):
        from_mapping(RunConfig, values)


def test_override():
    values = {"train": {"steps": 1}}
    for assignment in ("train.steps=5", "model.d_model=64", "mix.view=bpe"):
        override(values, assignment)
    assert values == {"train": {"steps": 5}, "model": {"d_model": 64}, "mix": {"view": "bpe"}}
    with pytest.raises(InvalidConfig, match="not a section"):
        override(values, "train.steps.x=1")
    for bad in ("train.steps", "steps=5", ".=1"):
        with pytest.raises(InvalidConfig, match=r"section\.key=value"):
            override(values, bad)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError):
        load(tmp_path / "missing.toml")
    (tmp_path / "bad.toml").write_text("= 3")
    with pytest.raises(InvalidConfig, match=r"bad\.toml"):
        load(tmp_path / "bad.toml")


def test_defaults():
    assert ModelConfig().ff == 352
    assert MixConfig().schedule[0].end == 0
    assert TrainConfig(steps=1).flops is None
    chunks = [RunConfig(train=TrainConfig(steps=1, row_length=256), mix=MixConfig(chunk=n)).chunk for n in (None, 0, 7)]
    assert chunks == [254, 0, 7]


def test_the_merges_recipe_needs_nothing_but_a_budget():
    made = run_config({}, {"mix.recipe": "merges", "train.flops": 1e14}, [], refinable=lambda: ["bpe"])
    model, train, mix = made.model, made.train, made.mix
    assert (model.d_model, model.n_layers, model.n_heads, model.hash_ngrams) == (128, 4, 4, 5)
    assert model.partial_key_offset
    assert (train.rows, train.row_length, train.matrix_lr, train.flops, made.chunk) == (8, 512, 0.02, 1e14, 510)
    assert (mix.view, [phase.until for phase in mix.schedule]) == ("bpe:merges=256", [0.25, 1.0])


def test_settings_that_a_user_gives_replace_those_of_a_recipe_and_the_later_win():
    file = {"model": {"d_model": 64, "n_heads": 2}, "train": {"steps": 5, "seed": 1}}
    flags = {"mix.recipe": "merges", "mix.view": "b", "train.flops": 1e9, "train.seed": 2, "train.steps": None}
    made = run_config(file, flags, ["train.rows=16", "train.seed=2"], refinable=lambda: ["bpe", "b"])
    assert (made.model.d_model, made.model.n_heads, made.model.hash_ngrams) == (64, 2, 5)
    assert (made.train.steps, made.train.flops, made.train.seed, made.train.rows) == (None, 1e9, 2, 16)
    assert made.mix.view == "b:merges=256"
    kept = run_config({"mix": {"view": "b:merges=9"}}, {"mix.recipe": "merges", "train.steps": 1}, [])
    assert kept.mix.view == "b:merges=9"


@pytest.mark.parametrize(
    ("file", "flags", "assignments", "match"),
    [
        ({"mix": {"phases": []}}, {"mix.recipe": "raw"}, [], "recipe 'raw' and the phases .* contradict each other"),
        ({}, {"train.seed": 2, "train.steps": 1}, ["train.seed=1"], "--seed 2 and --set train.seed=1 contradict"),
        ({}, {"mix.view": "a", "train.steps": 1}, ["mix.view=b"], "--view a and --set mix.view=b contradict"),
        ({}, {"train.steps": 1, "train.flops": 1.0}, [], "exactly one"),
        ({}, {"mix.recipe": "merges"}, ["train.steps=1"], r"say of which with --view. There are: x, y"),
        ({}, {"mix.recipe": "merges", "mix.view": "x:bags=4"}, ["train.steps=1"], "merges=256, not x:bags=4"),
        ({"train": 5}, {}, [], "expected a table"),
        ({"mix": {"recipe": "comp", "view": "b", "phases": [{"until": 1, "start": 0, "end": 0}]}}, {"train.steps": 1}, [],
         "recipe 'comp' and phases contradict"),
    ],
)  # fmt: skip
def test_settings_that_contradict_each_other_are_refused(file, flags, assignments, match):
    with pytest.raises(InvalidConfig, match=match):
        run_config(file, flags, assignments, refinable=lambda: ["x", "y"])


def test_every_setting_is_listed_with_its_default_and_meaning():
    """`proxyc train --settings` needs neither a store nor a run."""
    listed = CliRunner().invoke(proxyc, ["train", "--settings"], terminal_width=100)
    assert listed.exit_code == 0, listed.output
    lines = listed.output.splitlines()
    for section, cls in config_files.SECTIONS.items():
        settings = config_files.settings_of(cls)
        assert [setting.name for setting in settings] == [field.name for field in dataclasses.fields(cls)]
        for name, kind, default, meaning in settings:
            assert meaning, f"{section}.{name} has no docstring"
            at = lines.index(f"{section}.{name} = {default}  ({kind})")
            assert meaning.startswith(lines[at + 1].strip())
    assert "train.steps = None  (int | None)" in lines
    assert "mix.phases[].until = required  (float)" in lines
