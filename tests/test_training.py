"""What a long run needs: signals, leaps of the loss, held-out scores, pictures."""

import json
import os
import signal
import subprocess
import time
from dataclasses import replace

import forked
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from compressors.corpus import Document
from compressors.errors import InputError, InvalidConfig
from proxylm.config import MixConfig, ModelConfig, RunConfig, TrainConfig
from proxylm.data.encode import encode
from proxylm.evaluation.bits_per_byte import evaluate, trained_window
from proxylm.training import checkpoint, checkpoint_folder
from proxylm.training.checkpoint import latest
from proxylm.training.checkpoint_folder import CheckpointError
from proxylm.training.distributed import Place
from proxylm.training.divergence import Diverged
from proxylm.training.memory import OutOfMemory
from proxylm.training.run_folder import Log, load_run
from proxylm.training.run_log import records
from proxylm.training.run_plan import RunPlan
from proxylm.training.trainer import Trainer, train

SHAPE = ModelConfig(d_model=32, n_layers=2, n_heads=2)


@pytest.fixture(scope="module")
def store(tmp_path_factory, bpe, documents):
    path = tmp_path_factory.mktemp("training") / "s"
    return encode([Document(str(i), d[:3000]) for i, d in enumerate(documents)], path, {"bpe": bpe})


def config(**options):
    options = {"steps": 20, "rows": 4, "row_length": 64, "checkpoint_every": 5, "dtype": "fp32"} | options
    return RunConfig(train=TrainConfig(**options), model=SHAPE, mix=MixConfig(view="bpe", recipe="proxy"))


def losses(run):
    return [record["loss"] for record in records(run)]


def test_ctrl_c_writes_a_checkpoint_and_the_run_goes_on_as_if_nothing_had_been(store, tmp_path):
    settings = [f"model.{key}={value}" for key, value in (("d_model", 32), ("n_layers", 2), ("n_heads", 2))]
    settings += ["train.rows=4", "train.row_length=64", "train.checkpoint_every=1000", "train.dtype=fp32"]
    command = [
        forked.python(),
        "-m",
        "proxylm.cli.main",
        "train",
        str(store.path),
        "--recipe",
        "proxy",
        "--view",
        "bpe",
    ]
    command += ["--steps", "400", *(part for setting in settings for part in ("--set", setting)), "-o"]
    process = subprocess.Popen([*command, str(tmp_path / "a")], stdout=subprocess.DEVNULL)
    log = tmp_path / "a/log.jsonl"
    deadline = time.time() + 120
    while process.poll() is None and time.time() < deadline and not (log.exists() and log.read_text().count("\n") > 3):
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)  # SIGTERM is what a grid sends: tests/test_grid.py
    assert process.wait() == -signal.SIGINT
    reached = int(latest(tmp_path / "a").name.removeprefix("step-"))
    assert 3 < reached == len(records(tmp_path / "a")) < 400
    chosen = config(steps=400, checkpoint_every=1000)
    trainer = Trainer(RunPlan.of(store, chosen), Place(torch.device("cpu")))
    straight = [trainer.step(step)[0]["loss"] for step in range(reached)]
    assert straight == losses(tmp_path / "a")
    weights = load_file(latest(tmp_path / "a") / "model.safetensors")
    assert all(weights[name].equal(value) for name, value in trainer.model.state_dict().items())


def test_a_loss_that_is_not_a_number_names_rows_and_documents_and_spares_the_weights(store):
    trainer = Trainer(RunPlan.of(store, config(rows=16)), Place(torch.device("cpu")))
    with torch.no_grad():
        trainer.model.heads.raw[5, 0] = float("inf")
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    with pytest.raises(Diverged, match=r"step 3: the loss is inf.*row (4[8-9]|5\d|6[0-3]) \(.*documents \d"):
        trainer.step(3)
    assert all(before[name].equal(value) for name, value in trainer.model.state_dict().items())


def test_held_out_documents_are_scored_and_the_best_model_is_kept(store, tmp_path, documents):
    chosen, scored = config(eval_every=5), [documents[0][:500]]
    train(store, chosen, tmp_path / "r", held_out=scored)
    found = {
        i + 1: r["held_out_bits_per_byte"]
        for i, r in enumerate(records(tmp_path / "r"))
        if "held_out_bits_per_byte" in r
    }
    assert list(found) == [5, 10, 15, 20]
    best = min(found, key=found.get)
    state = json.loads((tmp_path / "r/checkpoints/best/state.json").read_text())
    assert state == {"step": best, "bits_per_byte": found[best]}
    model, config_again = load_run(tmp_path / "r", best=True)
    assert evaluate(model, scored, window=trained_window(config_again)).bits_per_byte == pytest.approx(found[best])
    train(store, config(steps=2), tmp_path / "none")
    with pytest.raises(InputError, match="no best model"):
        load_run(tmp_path / "none", best=True)


def test_a_best_model_survives_a_kill_between_the_renames(store, tmp_path, monkeypatch):
    trainer = Trainer(RunPlan.of(store, config()), Place(torch.device("cpu")))
    checkpoint.save_best(tmp_path, trainer.model, 5, 2.0)
    renames = []

    def killed(source, target):
        renames.append(target)
        if len(renames) == 2:
            raise KeyboardInterrupt
        os.rename(source, target)

    monkeypatch.setattr(checkpoint_folder.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save_best(tmp_path, trainer.model, 10, 1.5)
    monkeypatch.undo()
    assert checkpoint.load_model(tmp_path, trainer.model, best=True) == 5
    checkpoint.save_best(tmp_path, trainer.model, 15, 3.0)  # worse than what was there: not taken
    checkpoint.save(tmp_path, trainer.model, trainer.optimizers, {"step": 15}, keep=1)  # tidies up, but keeps the best
    assert checkpoint.load_model(tmp_path, trainer.model, best=True) == 5
    checkpoint.save_best(tmp_path, trainer.model, 20, 1.9)
    assert json.loads((tmp_path / "checkpoints/best/state.json").read_text()) == {"step": 20, "bits_per_byte": 1.9}
    assert {path.name for path in (tmp_path / "checkpoints").iterdir()} == {"best", "step-00000015"}
    (tmp_path / "checkpoints/best/state.json").write_text("")
    with pytest.raises(CheckpointError, match="without --best"):
        checkpoint.load_model(tmp_path, trainer.model, best=True)
    checkpoint.save_best(tmp_path, trainer.model, 25, 9.0)  # a damaged one is replaced
    assert checkpoint.load_model(tmp_path, trainer.model, best=True) == 25


def test_two_processes_do_not_train_in_one_folder_and_held_out_text_must_have_bytes(store, tmp_path):
    (tmp_path / "r").mkdir()
    with Log(tmp_path / "r/log.jsonl", 0, write=True), pytest.raises(InputError, match="another process trains"):
        train(store, config(steps=2), tmp_path / "r")
    train(store, config(steps=2), tmp_path / "r")  # the first has gone
    with pytest.raises(InputError, match="no byte to score"):
        train(store, config(steps=2), tmp_path / "other", held_out=[b""])
    assert not (tmp_path / "other").exists()


def test_a_damaged_run_folder_is_named_in_one_line(store, tmp_path):
    train(store, config(steps=10), tmp_path / "r")
    log = tmp_path / "r/log.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole[:-40])
    with pytest.raises(InputError, match=r"log.jsonl, line 10: no record"):
        records(tmp_path / "r")
    with pytest.raises(InputError, match="checkpoint is of step 10"):
        train(store, config(steps=10), tmp_path / "r")
    log.write_bytes(whole)
    facts = (tmp_path / "r/run.json").read_text()
    for wrong, match in (
        ("{}", r"run.json has format 1, written by a version before 0.1; this version reads format 2: use"),
        ('{"format": 2}', r"run.json lacks alphabet, chosen, config"),
        ("[]", "has format"),
    ):
        (tmp_path / "r/run.json").write_text(wrong)
        with pytest.raises(InputError, match=match):
            load_run(tmp_path / "r")
    (tmp_path / "r/run.json").unlink()
    with pytest.raises(InputError, match=r"has checkpoints and no run.json"):
        train(store, config(steps=10), tmp_path / "r")
    (tmp_path / "r/run.json").write_text(facts)
    harmless = {
        "keep": 5,
        "checkpoint_every": 3,
        "eval_every": 2,
        "norms_every": 7,
        "peak_flops": 1e12,
        "recompute": True,
    }
    train(store, config(steps=10, **harmless), tmp_path / "r")  # it resumes
    with pytest.raises(InvalidConfig, match=r"train.steps \(10, now 12\).*begin another one with --init"):
        train(store, config(steps=12), tmp_path / "r")
    with pytest.raises(InvalidConfig, match=r"another held_out \(None, now .*proxyc eval"):
        train(store, config(steps=10), tmp_path / "r", held_out=[b"text"])


def test_a_run_that_never_shows_bytes_has_no_held_out_score(store, tmp_path):
    only_symbols = replace(config(), mix=MixConfig(view="bpe", recipe="comp"))
    with pytest.raises(InvalidConfig, match=r"never shows raw bytes, as which held-out documents are scored"):
        train(store, only_symbols, tmp_path / "r", held_out=[b"text"])
    assert not (tmp_path / "r").exists()


def test_weights_that_are_not_finite_are_not_saved_scored_or_used(store, tmp_path, monkeypatch):
    one_step = config(steps=1, matrix_lr=1e38, embedding_lr=1e38, head_lr=1e38, warmup=0.0)
    with pytest.raises(Diverged, match=r"^step 1: weights are not finite after it, and are not saved"):
        train(store, one_step, tmp_path / "r", held_out=[b"text"])
    assert latest(tmp_path / "r") is None
    assert not (tmp_path / "r/checkpoints/best").exists()
    train(store, config(steps=1), tmp_path / "sound")
    file = latest(tmp_path / "sound") / "model.safetensors"
    tensors = load_file(file)
    tensors["heads.raw"][3, 3] = float("nan")
    save_file(tensors, file)
    with pytest.raises(
        CheckpointError, match=r"weights of heads.raw are not finite; it is the only one: delete it to train from"
    ):
        load_run(tmp_path / "sound")


def test_a_gradient_that_is_not_finite_spares_the_weights(store):
    trainer = Trainer(RunPlan.of(store, config()), Place(torch.device("cpu")))
    trainer.model.norm.weight.register_hook(lambda gradient: gradient * float("inf"))
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    with pytest.raises(Diverged, match=r"step 0: the loss is \d.*its gradient is not finite\. Worst: row"):
        trainer.step(0)
    assert all(before[name].equal(value) for name, value in trainer.model.state_dict().items())


def test_a_full_disk_is_one_line(store, tmp_path, monkeypatch):
    def full(*_):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint_folder, "save_file", full)
    with pytest.raises(
        CheckpointError, match=r"^cannot write [^\n]*No space left on device[^\n]*resumes at the checkpoint"
    ):
        train(store, config(steps=1), tmp_path / "r")
    assert not list((tmp_path / "r/checkpoints").iterdir())


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has a total capacity of 9 GiB"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_too_little_memory_is_one_line_on_every_device(store, tmp_path, monkeypatch, error):
    def large(*_):
        raise error

    monkeypatch.setattr(Trainer, "_nats", large)
    with pytest.raises(OutOfMemory, match=r"^not enough memory for a pass over 4 rows of 64 positions; set [^\n]*$"):
        train(store, config(steps=1), tmp_path / "other")


def test_a_run_may_begin_with_the_weights_of_another(store, tmp_path):
    train(store, config(steps=2), tmp_path / "first")
    raw = replace(config(steps=1, matrix_lr=0.0, embedding_lr=0.0, head_lr=0.0), mix=MixConfig())
    train(store, raw, tmp_path / "second", init=tmp_path / "first")
    first, second = (load_run(tmp_path / name)[0].state_dict() for name in ("first", "second"))
    assert second["embedding.weight"].equal(first["embedding.weight"][:320])  # the rows of raw bytes
    assert all(second[name].equal(first[name]) for name in second if name != "embedding.weight")
    train(store, raw, tmp_path / "second", init=tmp_path / "first")  # finished: nothing to do
    with pytest.raises(InvalidConfig, match="another init"):
        train(store, raw, tmp_path / "second")
    wider = replace(raw, model=replace(SHAPE, d_model=48))
    with pytest.raises(InvalidConfig, match=r"cannot be the beginning: .* give the same model settings"):
        train(store, wider, tmp_path / "third", init=tmp_path / "first")
    with pytest.raises(InputError, match="no checkpoint to begin with"):
        train(store, raw, tmp_path / "third", init=tmp_path / "none")


@pytest.mark.parametrize("bad", [{"dtype": "fp8"}, {"micro_rows": 0}, {"eval_every": 0}])
def test_bad_settings_are_named(bad):
    with pytest.raises(InvalidConfig, match=next(iter(bad))):
        config(**bad)


def test_a_run_that_would_show_no_byte_is_refused(tmp_path):
    empty = encode([Document("e", b"")], tmp_path / "s", {})
    with pytest.raises(InputError, match="show no byte"):
        train(empty, RunConfig(train=TrainConfig(steps=2, rows=2, row_length=16)), tmp_path / "r")
