import json

import pytest

from compressors.errors import InputError, InvalidConfig
from proxylm.config import MixConfig, ModelConfig, RunConfig, TrainConfig
from proxylm.config_files import from_mapping, load, override

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
