"""How many guesses are read: as many as pay, by counts and not by the clock."""

import random

import pytest
import torch

from proxylm.config import ModelConfig
from proxylm.data.alphabet import Alphabet
from proxylm.generation import Sampling, complete
from proxylm.model.decoder import Decoder
from proxylm.model.speculation import Speculation

N = 4
CPU = torch.device("cpu")


def after(share, n_rows, device=CPU):
    """Guesses that are read once this share of each guess was right."""
    speculation, draw = Speculation(N, device), random.Random(0)
    for _ in range(2000):
        n_right = next((n for n in range(N) if draw.random() >= share), N)
        speculation.compare([1] * N, [1] * n_right + [2])
    return speculation.n_guesses(n_rows)


def test_more_guesses_are_read_the_more_are_right_and_the_fewer_rows_there_are():
    assert [after(0.0, n) for n in (1, 8, 32)] == [0, 0, 0]
    assert [after(1.0, n) for n in (1, 8, 32)] == [N, N, N]
    for n_rows in (1, 2, 8, 32):
        counts = [after(share, n_rows) for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)]
        assert counts == sorted(counts)
    assert after(0.45, 1) > after(0.45, 8) == 0
    assert after(0.6, 8, torch.device("meta")) > 0  # other devices than CPUs read many positions as fast as one
    assert Speculation(0, CPU).n_guesses(1) == 0
    assert not Speculation(0, CPU).watches()


def test_the_newest_observations_count_most():
    speculation = Speculation(1, CPU)
    for _ in range(10_000):
        speculation.compare([1], [1])
    assert speculation.n_guesses(1) == 1
    for _ in range(600):
        speculation.compare([1], [2])
    assert speculation.n_guesses(1) == 0


@pytest.fixture
def model():
    """It guesses nothing right: all its weights are random."""
    torch.manual_seed(1)
    made = Decoder(ModelConfig(d_model=32, n_layers=2, n_heads=2, n_ahead=N), Alphabet({}))
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


@pytest.mark.parametrize("n_rows", [1, 8])
def test_guesses_that_are_wrong_are_no_longer_read(model, n_rows, monkeypatch):
    prompts, sampling = [bytes([i]) for i in range(n_rows)], Sampling(max_bytes=60, temperature=0.8, seed=3)
    read, forward = [], Decoder.forward

    def counted(self, ids, *rest, **named):
        if ids.shape[1] <= 1 + N and named["cache"].lengths[0]:
            read.append(ids.shape[1] - 1)
        return forward(self, ids, *rest, **named)

    monkeypatch.setattr(Decoder, "forward", counted)
    ahead, model.heads.ahead = model.heads.ahead, None
    plain = complete(model, prompts, sampling, context=126)
    assert set(read) == {0}
    model.heads.ahead = ahead
    read.clear()
    assert complete(model, prompts, sampling, context=126) == plain
    assert sum(read[len(read) // 2 :]) == 0
    assert (sum(read) > 0) == (n_rows == 1)  # one row tries at once, eight look on first
