"""How long a run is, by one search, and what making it costs."""

import json
import shutil

import pytest

from compressors.corpus import Document
from compressors.errors import InvalidConfig
from proxylm.config import MixConfig, ModelConfig, RunConfig, TrainConfig
from proxylm.data import loader
from proxylm.data.alphabet import Alphabet
from proxylm.data.encode import encode
from proxylm.data.loader import Loader
from proxylm.data.row_plan import RowPlanner
from proxylm.training.run_plan import RunPlan, most_steps
from proxylm.training.trainer import train


@pytest.fixture(scope="module")
def store(tmp_path_factory, bpe, documents):
    path = tmp_path_factory.mktemp("plan") / "s"
    return encode([Document(str(i), d[:2000]) for i, d in enumerate(documents[:30])], path, {"bpe": bpe})


def config(**length):
    mix = MixConfig(view="bpe", recipe="proxy")
    return RunConfig(
        train=TrainConfig(rows=4, row_length=64, dtype="fp32", **length),
        model=ModelConfig(d_model=32, n_layers=1, n_heads=2),
        mix=mix,
    )


def counted(monkeypatch, cls):
    made = []
    init = cls.__init__
    monkeypatch.setattr(cls, "__init__", lambda self, *args, **kwargs: (made.append(1), init(self, *args, **kwargs))[1])
    return made


def test_a_run_with_a_budget_makes_one_loader_few_planners_and_one_alphabet(store, tmp_path, monkeypatch):
    loaders, planners = counted(monkeypatch, Loader), counted(monkeypatch, RowPlanner)
    alphabets, scans, scan = [], [], RowPlanner.scan
    monkeypatch.setattr(loader, "Alphabet", lambda *args: (alphabets.append(1), Alphabet(*args))[1])
    monkeypatch.setattr(RowPlanner, "scan", lambda self, *rows: (scans.append(rows), scan(self, *rows))[1])
    train(store, config(flops=3e8), tmp_path / "r")
    assert (len(loaders), len(alphabets)) == (1, 1)
    assert len(planners) <= 4
    assert len(scans) <= 5


def test_plans_of_the_same_length_are_equal_however_it_was_given(store):
    by_flops = RunPlan.of(store, config(flops=5e8))
    by_steps = RunPlan.of(store, config(steps=by_flops.steps))
    by_bytes = RunPlan.of(store, config(steps=1), n_bytes=by_flops.n_bytes)
    for other in (by_steps, by_bytes):
        assert (other.steps, other.flops, other.n_bytes) == (by_flops.steps, by_flops.flops, by_flops.n_bytes)
        assert other.passes == by_flops.passes > 0
    with pytest.raises(InvalidConfig, match=r"train.flops 10 is less than one step; give \d"):
        RunPlan.of(store, config(flops=10.0))


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 1000, 123_457])
def test_the_most_steps_that_fit_are_found_in_few_tries(limit):
    tried = []

    def cost(steps):
        tried.append(steps)
        return 10.0 * steps + (steps % 7)

    assert most_steps(cost, 10.0 * limit + 6.5) == limit
    assert len(tried) <= 6


def test_a_resumed_run_plans_no_row_from_before_its_checkpoint(store, tmp_path, monkeypatch):
    run = config(flops=5e8, checkpoint_every=3)
    train(store, run, tmp_path / "r")
    *_, newest = sorted((tmp_path / "r/checkpoints").glob("step-*"))
    log = (tmp_path / "r/log.jsonl").read_text()
    shutil.rmtree(newest)
    (kept,) = (tmp_path / "r/checkpoints").glob("step-*")
    begun = int(kept.name[5:])
    assert begun > 3
    planned, advance = [], RowPlanner._advance
    monkeypatch.setattr(
        RowPlanner, "_advance", lambda self, *args: (planned.append((self.next_row, args[0])), advance(self, *args))[1]
    )
    train(store, run, tmp_path / "r")
    # The first step says that there is text; then those that follow the checkpoint.
    assert planned[0] == (0, 4)
    assert all(first >= 4 * begun for first, _ in planned[1:])
    sums = [
        [json.loads(line)["rows_checksum"] for line in text.splitlines()]
        for text in (log, (tmp_path / "r/log.jsonl").read_text())
    ]
    assert sums[0] == sums[1]
