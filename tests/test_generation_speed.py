"""The bench of generation, on a model that knows nothing."""

import pytest
import torch

from bench.speed import generation
from proxylm.config import ModelConfig
from proxylm.data.alphabet import Alphabet
from proxylm.model.decoder import Decoder


def test_all_ways_write_the_same_greedy_text(tmp_path, monkeypatch):
    pytest.importorskip("transformers")
    monkeypatch.setattr(generation, "NEW_BYTES", 8)
    torch.manual_seed(0)
    model = Decoder(ModelConfig(d_model=32, n_layers=2, n_heads=2, n_ahead=2), Alphabet({}))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    prompts = [bytes([i]) * 5 for i in range(4)]
    ways = generation._ways(model.eval(), 62, tmp_path / "hf")
    turns = []
    rows = generation.measure(ways, prompts, 2, 1, turns.append)
    assert sum(turns) == 2 * len(ways)
    assert [row["way"] for row in rows] == list(ways)
    assert all(row["same_texts"] == row["texts"] == 4 and row["bytes"] > 0 for row in rows)
    assert rows[0]["over_transformers"] == 1
    assert all(1 <= row["bytes_per_pass"] <= 3 for row in rows)
    assert [row["guesses_per_pass"] > 0 for row in rows] == [row["way"].endswith("extra heads") for row in rows]
    assert len(generation.table(rows).rows) == len(rows)
