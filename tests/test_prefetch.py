"""Rows that a thread makes ahead: the same run, and no thread is left behind however it ends."""

import signal
import threading

import pytest
import torch
from safetensors.torch import load_file

from compressors.corpus import Document
from compressors.errors import InputError
from proxylm.config import MixConfig, ModelConfig, RunConfig, TrainConfig
from proxylm.data.encode import encode
from proxylm.data.loader import Loader
from proxylm.training import prefetch, shipping
from proxylm.training.checkpoint import latest
from proxylm.training.run_log import records
from proxylm.training.trainer import Stopped, train

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 3)


@pytest.fixture(scope="module")
def store(tmp_path_factory, bpe, documents):
    path = tmp_path_factory.mktemp("prefetch") / "s"
    return encode([Document(str(i), d[:2000]) for i, d in enumerate(documents[:20])], path, {"bpe": bpe})


@pytest.fixture
def ahead(monkeypatch):
    """As on a GPU; the names of the threads in which rows are made."""
    made, batch = [], Loader.batch

    def noted(self, step, *place):
        made.append((step, threading.current_thread().name.partition("_")[0]))
        return batch(self, step, *place)

    monkeypatch.setattr(prefetch, "pays", lambda device: True)
    monkeypatch.setattr(Loader, "batch", noted)
    yield made
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]


def config(**options):
    shape = ModelConfig(d_model=16, n_layers=1, n_heads=2)
    train = {"steps": 6, "rows": 4, "row_length": 64, "micro_rows": 3, "dtype": "fp32"} | options
    return RunConfig(model=shape, train=TrainConfig(**train), mix=MixConfig(view="bpe", recipe="proxy"))


def same(one, other):
    for key in ("loss", "rows_checksum", "documents", "bytes"):
        assert [r[key] for r in records(one)] == [r[key] for r in records(other)]
    for name in ("model", "optimizer"):
        expected, found = (load_file(latest(run) / f"{name}.safetensors") for run in (one, other))
        assert all(found[key].equal(value) for key, value in expected.items())


def test_a_run_is_the_same_with_rows_made_ahead_also_when_it_resumes(store, tmp_path, ahead, monkeypatch):
    with monkeypatch.context() as plain:
        plain.setattr(prefetch, "pays", lambda device: False)
        train(store, config(), tmp_path / "plain")
        assert {thread for _, thread in ahead} == {"MainThread"}
    ahead.clear()
    train(store, config(), tmp_path / "ahead")
    assert ahead == [(step, "prefetch") for step in range(6)]
    same(tmp_path / "plain", tmp_path / "ahead")

    def ctrl_c(record):
        if record["step"] == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.warns(Stopped), pytest.raises(KeyboardInterrupt):
        train(store, config(), tmp_path / "stopped", report=ctrl_c)
    ahead.clear()
    train(store, config(), tmp_path / "stopped")
    assert [step for step, _ in ahead] == [4, 5]  # the signal came behind step 2, and step 3 was still done
    same(tmp_path / "plain", tmp_path / "stopped")


def test_an_error_of_the_thread_is_that_of_the_run(store, tmp_path, ahead, monkeypatch):
    batch = Loader.batch

    def cut(self, step, *place):
        if step == 2:
            raise InputError("the shard is gone")
        return batch(self, step, *place)

    monkeypatch.setattr(Loader, "batch", cut)
    with pytest.raises(InputError, match=r"^the shard is gone$"):
        train(store, config(), tmp_path / "r")
    assert len(records(tmp_path / "r")) == 2


def test_the_next_is_made_before_it_is_asked_for_and_none_behind_the_last():
    began, asked = [threading.Event() for _ in range(3)], []

    def make(step):
        began[step].set()
        return step

    with prefetch.prefetched(make, 3, CPU) as ask:
        for step in range(3):
            asked.append(ask(step))
            assert step == 2 or began[step + 1].wait(30)
        assert ask(1) == 1  # in any order
    assert asked == [0, 1, 2]


def test_a_gpu_gets_rows_from_pinned_memory_made_by_a_thread_on_its_device(store, monkeypatch):
    pinned, devices, sent = [], [], []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: pinned.append(self.data_ptr()) or self)
    monkeypatch.setattr(torch.cuda, "set_device", devices.append)
    loader = Loader(store, config(), 24)

    def make(step):
        return shipping.packed(loader.batch(step), loader.alphabet, len(loader.heads), 0, CUDA)

    with prefetch.prefetched(make, 1, CUDA) as ask:
        rows = ask(0)
    assert devices == [CUDA]
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *a, **k: sent.append((self.data_ptr(), k)) or self)
    rows.to(CUDA)
    assert len(pinned) == len(sent) == 4 + len(rows.selection.heads) + 2  # ids, targets, doc, mode; bags and merges
    assert sent == [(place, {"non_blocking": True}) for place in pinned]
    assert prefetch.pays(CUDA)
    assert not prefetch.pays(CPU)
