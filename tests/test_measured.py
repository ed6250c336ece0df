"""What the log says beside the loss, and clipping."""

import math
from dataclasses import replace

import pytest
import torch

from compressors.corpus import Document
from proxylm.config import ModelConfig, RunConfig, TrainConfig
from proxylm.data.encode import encode
from proxylm.training import measured
from proxylm.training.distributed import Place
from proxylm.training.run_plan import RunPlan
from proxylm.training.trainer import Trainer

CPU = Place(torch.device("cpu"))


@pytest.fixture(scope="module")
def store(tmp_path_factory, documents):
    path = tmp_path_factory.mktemp("measured") / "s"
    return encode([Document(str(i), d[:2000]) for i, d in enumerate(documents[:20])], path, {})


def trainer_of(store, **options):
    train = TrainConfig(steps=4, rows=2, row_length=32, dtype="fp32", **options)
    return Trainer(RunPlan.of(store, RunConfig(train=train, model=ModelConfig(d_model=16, n_layers=1, n_heads=2))), CPU)


def test_a_record_has_rates_norms_memory_and_the_share_of_the_peak(store):
    trainer = trainer_of(store, norms_every=2, peak_flops=1e12, schedule="linear", warmup=0.0)
    first, second = (trainer.step(step)[0] for step in range(2))
    assert first["learning_rate"] == pytest.approx(
        {"matrices": 0.02 * 7 / 8, "heads": 0.005 * 7 / 8, "embeddings": 0.1 * 7 / 8, "gains": 0.1 * 7 / 8}
    )
    assert first["share_of_peak"] == pytest.approx(first["flops"] / first["seconds"] / 1e12)
    assert 1e7 < first["memory_bytes"] < 1e11
    assert "weight_norms" not in first  # only every second step
    heads = trainer.model.heads.raw
    assert second["weight_norms"]["heads"] == pytest.approx(float(heads.detach().norm()), rel=1e-6)
    assert set(second["weight_norms"]) == set(second["learning_rate"])


def test_the_gradient_is_as_long_as_the_log_says_and_is_clipped_to_the_limit(store):
    kept = {}
    for limit in (None, 0.25):
        trainer = trainer_of(store, clip_norm=limit)
        kept[limit] = []

        def keep(optimizer, *_, to=kept[limit]):
            to += [p.grad.clone() for group in optimizer.param_groups for p in group["params"] if p.grad is not None]

        for optimizer in trainer.optimizers:
            optimizer.register_step_pre_hook(keep)
        norm = trainer.step(0)[0]["gradient_norm"]
        assert norm > 0.25
        found = math.sqrt(sum(float(g.double().square().sum()) for g in kept[limit]))
        assert found == pytest.approx(norm if limit is None else limit, rel=1e-5)
    for whole, clipped in zip(kept[None], kept[0.25], strict=True):
        torch.testing.assert_close(clipped, whole * (0.25 / norm), rtol=1e-5, atol=1e-8)


def test_a_peak_is_measured_without_touching_the_generator():
    state = torch.random.get_rng_state()
    assert 1e6 < measured.peak_flops(torch.device("cpu"), "fp32") < 1e15
    assert torch.random.get_rng_state().equal(state)


@pytest.mark.parametrize("name", ["clip_norm", "peak_flops", "weight_decay", "adamw_weight_decay", "norms_every"])
def test_settings_out_of_range_are_named(name):
    with pytest.raises(ValueError, match=f"train: {name} is -1"):
        replace(TrainConfig(steps=1), **{name: -1})
