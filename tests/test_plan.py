"""What a grid would take: the recipes that come along are planned, memory is that of a forward pass."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import compressors
from bench.downstream import recipe
from bench.downstream.arms import Arm
from bench.downstream.plan import planned
from compressors.corpus import Document
from proxylm.config import ModelConfig, RunConfig, TrainConfig
from proxylm.config_files import from_mapping
from proxylm.data.alphabet import Alphabet
from proxylm.data.encode import encode
from proxylm.model.decoder import Decoder
from proxylm.training.outlook import activation_bytes

RECIPES = Path(recipe.__file__).parent.parent / "recipes"


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.toml")))
def test_the_recipes_that_come_along_are_understood_and_planned(name, tmp_path, documents):
    many = compressors.get("bpe")  # of 32,768 symbols
    views = {"bpe": many, "bpe4k": many, "words": compressors.get("neural"), "zstd": compressors.get("zstd")}
    views |= {"bpe32k": many, "words12": compressors.get("neural", width=12), "gzip": compressors.get("gzip")}
    views["dense12"] = compressors.get("neural", width=12, policy="dense")
    views["packed"] = compressors.get("pack", codec="bytes")
    store = encode([Document(str(i), d[:2000]) for i, d in enumerate(documents[:5])], tmp_path / "s", views)
    arms = recipe.load(RECIPES / f"{name}.toml")
    assert {arm.config.mix.recipe for arm in arms} >= {"raw"}
    for arm in arms[:5:2]:  # one step of some: the whole plan of a large run takes a minute
        settings = json.loads(arm.config.to_json())
        settings["train"] |= {"flops": None, "steps": 1}
        line = planned(Arm(arm.name, from_mapping(RunConfig, settings), arm.reads), store, 1e12)
        assert ": 1 steps of" in line
        assert "hours" in line
        assert " passes over the corpus" in line
        assert re.search(r"at most [0-9.]+ [MG]B for the activations of", line)


def test_activations_are_those_that_a_forward_pass_keeps():
    train = TrainConfig(steps=1, rows=4, row_length=64)
    found = {}
    for device in ("meta", "cpu"):
        with torch.device(device):
            model = Decoder(ModelConfig(d_model=64, n_layers=2, n_heads=2), Alphabet({}))
        found[device] = activation_bytes(model, train)
    assert found["meta"] == pytest.approx(found["cpu"], rel=0.2)  # their kernels of attention keep other sums
    position = found["cpu"] / (4 * 64 * 2 * 4)  # values of a layer
    assert 8 * 64 + 4 * 192 <= position <= 16 * 64 + 5 * 192
    assert activation_bytes(model, replace(train, micro_rows=2)) < 0.52 * found["cpu"]
