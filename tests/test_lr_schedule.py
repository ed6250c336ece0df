"""The shapes of the learning rate, and that a resumed run has them too."""

import shutil

import pytest
from safetensors.torch import load_file

from compressors.corpus import Document
from compressors.errors import InvalidConfig
from proxylm.config import ModelConfig, RunConfig, TrainConfig
from proxylm.data.encode import encode
from proxylm.train_config import SCHEDULES
from proxylm.training import lr_schedule
from proxylm.training.checkpoint import latest
from proxylm.training.lr_schedule import factor
from proxylm.training.run_log import records
from proxylm.training.trainer import train


def test_every_schedule_that_is_named_is_there():
    assert tuple(lr_schedule._SHAPES) == SCHEDULES
    with pytest.raises(InvalidConfig, match="unknown schedule 'step'; known: wsd, cosine, linear"):
        TrainConfig(steps=1, schedule="step")


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_rises_to_one_and_falls_to_zero(schedule):
    config = TrainConfig(steps=1, schedule=schedule, warmup=0.1)
    shares = [factor(config, i / 1000) for i in range(1001)]
    assert shares[0] == 0
    assert shares[50] == pytest.approx(0.5, rel=0.01)
    assert max(shares) == pytest.approx(1) == shares[100]
    assert shares[-1] == pytest.approx(0, abs=1e-12)
    assert shares[100:] == sorted(shares[100:], reverse=True)
    for warmup, decay in ((0.0, 0.0), (1.0, 1.0)):  # the ends of what is allowed
        ends = TrainConfig(steps=1, schedule=schedule, warmup=warmup, decay=decay)
        assert all(0 <= factor(ends, share) <= 1 for share in (0.0, 0.5, 1.0))


def test_the_shapes_differ_where_they_should():
    found = {name: factor(TrainConfig(steps=1, schedule=name, warmup=0.0), 0.25) for name in SCHEDULES}
    assert found == pytest.approx({"wsd": 1.0, "cosine": 0.5 + 0.5**1.5, "linear": 0.75})


@pytest.fixture(scope="module")
def store(tmp_path_factory, documents):
    path = tmp_path_factory.mktemp("schedule") / "s"
    return encode([Document(str(i), d[:2000]) for i, d in enumerate(documents[:20])], path, {})


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_resumed_at_any_step_equals_uninterrupted(store, tmp_path, schedule):
    """Bit for bit, with gradients clipped and weights that decay."""
    settings = {"schedule": schedule, "clip_norm": 0.5, "weight_decay": 0.1, "adamw_weight_decay": 0.01}
    config = RunConfig(
        train=TrainConfig(steps=5, rows=2, row_length=32, dtype="fp32", checkpoint_every=1, keep=9, **settings),
        model=ModelConfig(d_model=16, n_layers=1, n_heads=2),
    )
    whole = tmp_path / "whole"
    train(store, config, whole)
    assert any(record["gradient_norm"] > 0.5 for record in records(whole))  # some are clipped
    for step in range(1, 5):
        cut = tmp_path / f"cut-{step}"
        shutil.copytree(whole, cut)
        for later in range(step + 1, 6):
            shutil.rmtree(cut / f"checkpoints/step-{later:08d}")
        train(store, config, cut)
        for file in ("model", "optimizer"):
            one, two = (load_file(latest(run) / f"{file}.safetensors") for run in (whole, cut))
            assert all(one[name].equal(two[name]) for name in one)
        for key in ("loss", "learning_rate", "gradient_norm"):
            assert [r[key] for r in records(cut)] == [r[key] for r in records(whole)]
