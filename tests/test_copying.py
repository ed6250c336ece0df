"""The probe of copying: exact for a model that copies, and for one that guesses alike everywhere."""

import json
import math

import torch
from click.testing import CliRunner

from bench.downstream import copying
from proxylm.config import ModelConfig
from proxylm.data.alphabet import BYTE_OFFSET, RAW_SIZE, Alphabet
from proxylm.model.decoder import Decoder
from proxylm.trained import Trained


class Copier(Decoder):
    """Says that the byte of 48 + 1 positions before comes next; without one, all are as likely."""

    def forward(self, ids, *_, **__):
        back = copying.N_BYTES
        hidden = torch.zeros(*ids.shape, RAW_SIZE)
        hidden[:, back:] = 50.0 * torch.nn.functional.one_hot(ids[:, :-back], RAW_SIZE)
        return hidden

    def __init__(self):
        super().__init__(ModelConfig(d_model=320, n_layers=1, n_heads=2), Alphabet({}))
        self.heads.raw = torch.nn.Parameter(torch.eye(RAW_SIZE))


def test_a_model_that_copies_and_one_that_does_not():
    found = copying.copying(Copier())
    assert found["again"]["right"] == 1.0
    assert found["again"]["bits_per_byte"] < 1e-6
    assert found["first"]["bits_per_byte"] > math.log2(RAW_SIZE) - 1e-3
    assert found["first"]["right"] < 0.1
    plain = copying.copying(Decoder(ModelConfig(d_model=32, n_layers=1, n_heads=2), Alphabet({})))
    assert abs(plain["again"]["bits_per_byte"] - math.log2(RAW_SIZE)) < 0.1
    assert BYTE_OFFSET + 97 < RAW_SIZE


def test_the_command_writes_what_it_prints(tmp_path, monkeypatch):
    monkeypatch.setattr(copying, "open_run", lambda run, **where: Trained(run, Copier(), None))
    done = CliRunner().invoke(
        copying.main, [str(tmp_path / "a"), "-o", str(tmp_path / "r.json")], catch_exceptions=False
    )
    assert "| a | " in done.output
    assert "100.0%" in done.output
    assert json.loads((tmp_path / "r.json").read_text())["rows"][0]["again"]["right"] == 1.0
