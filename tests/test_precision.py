"""Other number formats, rows in parts and compiled blocks are the same run but for rounding; `auto` measures once."""

import json
import shutil
import warnings
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from compressors.corpus import Document
from compressors.errors import InvalidConfig
from proxylm.config import MixConfig, ModelConfig, RunConfig, TrainConfig
from proxylm.data.encode import encode
from proxylm.model import attention
from proxylm.training import precision, trainer
from proxylm.training.checkpoint import latest
from proxylm.training.distributed import Place
from proxylm.training.gpu_check import shake
from proxylm.training.run_log import records
from proxylm.training.run_plan import RunPlan
from proxylm.training.trainer import Trainer, train


@pytest.fixture(scope="module")
def store(tmp_path_factory, bpe, documents):
    path = tmp_path_factory.mktemp("precision") / "s"
    return encode([Document(str(i), d[:3000]) for i, d in enumerate(documents)], path, {"bpe": bpe})


def config(**options):
    options = {"steps": 10, "rows": 4, "row_length": 64, "checkpoint_every": 5, "dtype": "fp32"} | options
    shape = ModelConfig(d_model=32, n_layers=2, n_heads=2)
    return RunConfig(train=TrainConfig(**options), model=shape, mix=MixConfig(view="bpe", recipe="proxy"))


def losses(run):
    return [record["loss"] for record in records(run)]


@pytest.fixture(scope="module")
def plain(store, tmp_path_factory):
    """The run in fp32, its rows in one part, not compiled."""
    run = tmp_path_factory.mktemp("plain") / "run"
    train(store, config(), run)
    return run


@pytest.mark.filterwarnings("ignore:train.dtype is bf16")  # on a processor without units for it
@pytest.mark.parametrize("options", [{"dtype": "bf16"}, {"micro_rows": 1}, {"micro_rows": 3}])
def test_the_same_run_but_for_rounding(store, plain, tmp_path, options):
    train(store, config(**options), tmp_path / "other")
    first = [record["rows_checksum"] for record in records(plain)]
    assert first == [record["rows_checksum"] for record in records(tmp_path / "other")]
    assert losses(tmp_path / "other") == pytest.approx(losses(plain), rel=0.02)
    assert losses(tmp_path / "other") != losses(plain)


@pytest.mark.parametrize(("dtype", "units"), [("bf16", False), ("bf16", True), ("fp32", False)])
def test_bf16_without_units_for_it_is_warned_of(store, tmp_path, monkeypatch, dtype, units):
    monkeypatch.setattr(Place, "has_bf16", units)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        train(store, config(dtype=dtype, steps=1), tmp_path / "run")
    assert [str(w.message) for w in said if "train.dtype=fp32" in str(w.message)] == [
        "train.dtype is bf16, and this processor has no units for it: a step takes many times as long as in fp32; set train.dtype=fp32"
    ] * (dtype == "bf16" and not units)


@pytest.mark.parametrize(("kind", "options", "warned"), [
    ("cuda", {}, True), ("cuda", {"compile": True}, False), ("cuda", {"attention": "sdpa"}, False), ("cpu", {}, False),
])  # fmt: skip
def test_a_dense_mask_on_a_gpu_is_warned_of(kind, options, warned):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        trainer._check(config(**options), [], Place(torch.device(kind)))
    assert [str(w.message).startswith("train.compile is off") for w in said] == [True] * warned


@pytest.mark.filterwarnings("ignore:train.dtype is bf16")
def test_bf16_resumes_bit_for_bit(store, tmp_path):
    chosen = config(dtype="bf16")
    train(store, chosen, tmp_path / "whole")
    train(store, chosen, tmp_path / "cut")
    shutil.rmtree(latest(tmp_path / "cut"))
    assert latest(tmp_path / "cut").name == "step-00000005"
    train(store, chosen, tmp_path / "cut")
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    for name in ("model", "optimizer"):
        one, two = (load_file(latest(tmp_path / run) / f"{name}.safetensors") for run in ("cut", "whole"))
        assert all(one[key].equal(two[key]) for key in two)


@pytest.mark.filterwarnings("ignore")  # the compiler warns of itself
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_compiled_equals_plain_but_for_rounding(store, tmp_path, monkeypatch):
    monkeypatch.setattr(attention, "BANDS", 2)  # each band adds five functions in C++
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    short = MixConfig(view="bpe", recipe="proxy", chunk=20)  # several documents a row
    trainers = [
        Trainer(RunPlan.of(store, replace(config(compile=compiled), mix=short)), Place(torch.device("cpu")))
        for compiled in (False, True)
    ]
    for one in trainers:
        shake(one.model)  # in a new model the blocks add nothing
    for step in range(3):
        plain, compiled = (one.step(step)[0] for one in trainers)
        for key in ("loss", "gradient_norm"):
            assert compiled[key] == pytest.approx(plain[key], rel=1e-4), key


def test_auto_is_chosen_once_for_a_run(store, tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "best_dtype", lambda config, place: "bf16")
    monkeypatch.setattr(Place, "has_bf16", True)
    train(store, config(dtype="auto", steps=6), tmp_path / "r")
    facts = json.loads((tmp_path / "r/run.json").read_text())
    assert (facts["chosen"], facts["config"]["train"]["dtype"]) == ({"dtype": "bf16", "attention": "sdpa"}, "auto")
    assert {record["dtype"] for record in records(tmp_path / "r")} == {"bf16"}
    shutil.rmtree(latest(tmp_path / "r"))
    monkeypatch.setattr(precision, "best_dtype", lambda config, place: "fp32")
    train(store, config(dtype="auto", steps=6), tmp_path / "r")  # resumed, it keeps what was chosen
    assert {record["dtype"] for record in records(tmp_path / "r")} == {"bf16"}


def test_auto_measures_only_where_there_are_units(monkeypatch):
    monkeypatch.setattr(Place, "has_bf16", False)
    assert precision.best_dtype(config(), Place(torch.device("cpu"))) == "fp32"
    monkeypatch.setattr(Place, "has_bf16", True)
    seconds = iter([1.0, 2.0, 2.0, 2.0])  # of bf16 and of fp32, twice
    monkeypatch.setattr(precision, "_seconds", lambda work: next(seconds))
    found = [precision.best_dtype(config(), Place(torch.device("cpu"))) for _ in range(2)]
    assert found == ["bf16", "fp32"]


def test_flex_attention_on_a_cpu_is_refused_before_there_is_a_folder(store, tmp_path):
    place = Place(torch.device("cpu"))
    with pytest.raises(InvalidConfig, match="use bands or sdpa on a CPU"):
        train(store, config(attention="flex", compile=True), tmp_path / "r", place=place)
    assert not (tmp_path / "r").exists()
