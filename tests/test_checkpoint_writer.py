"""Checkpoints that a thread writes: the same files, of the step they are named after, and nothing lost however a run ends."""

import shutil
import signal
import threading

import pytest
from safetensors import SafetensorError
from safetensors.torch import load_file

from compressors.corpus import Document
from proxylm.config import ModelConfig, RunConfig, TrainConfig
from proxylm.data.encode import encode
from proxylm.training import checkpoint, checkpoint_folder
from proxylm.training.checkpoint import latest
from proxylm.training.checkpoint_folder import CheckpointError
from proxylm.training.run_log import records
from proxylm.training.trainer import Stopped, train

SETTINGS = {"steps": 8, "rows": 2, "row_length": 64, "checkpoint_every": 2, "keep": 9, "dtype": "fp32"}
CONFIG = RunConfig(model=ModelConfig(d_model=16, n_layers=1, n_heads=2), train=TrainConfig(**SETTINGS))


@pytest.fixture(scope="module")
def store(tmp_path_factory, documents):
    path = tmp_path_factory.mktemp("writer") / "s"
    return encode([Document(str(i), d[:2000]) for i, d in enumerate(documents[:20])], path, {})


@pytest.fixture(scope="module")
def plain(store, tmp_path_factory):
    """The same run, whose checkpoints are too small for a thread."""
    run = tmp_path_factory.mktemp("plain") / "run"
    train(store, CONFIG, run, held_out=[b"text\n" * 40])
    return run


@pytest.fixture
def large(monkeypatch):
    """As for large ones; the threads that write."""
    threads, write = [], checkpoint._write

    def noted(*given):
        threads.append(threading.current_thread().name.partition("_")[0])
        return write(*given)

    monkeypatch.setattr(checkpoint, "LARGE", 0)
    monkeypatch.setattr(checkpoint, "_write", noted)
    yield threads
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("checkpoint")]


def assert_same(one, other):
    assert [r["loss"] for r in records(one)] == [r["loss"] for r in records(other)]
    folders = sorted(path.name for path in (one / "checkpoints").iterdir())
    assert folders == sorted(path.name for path in (other / "checkpoints").iterdir())
    for folder in folders:
        for file in (one / "checkpoints" / folder).glob("*.safetensors"):
            expected, found = load_file(file), load_file(other / "checkpoints" / folder / file.name)
            assert all(found[key].equal(value) for key, value in expected.items())


def test_training_continues_meanwhile_and_the_files_are_of_their_step(store, plain, tmp_path, large, monkeypatch):
    """The first write ends only when the step behind its own is done. A copy of the folder before that is that of a kill."""
    beyond, save_file, run = threading.Event(), checkpoint_folder.save_file, tmp_path / "run"

    def slow(*given):
        assert beyond.wait(60)
        return save_file(*given)

    def report(record):
        if record["step"] == 2:  # the third; the checkpoint is of two
            assert latest(run) is None
            beyond.set()
        if record["step"] == 4:  # the checkpoint of four is being written, or is there
            shutil.copytree(run, tmp_path / "killed", ignore=shutil.ignore_patterns(".*", "step-00000004"))

    monkeypatch.setattr(checkpoint_folder, "save_file", slow)
    train(store, CONFIG, run, held_out=[b"text\n" * 40], report=report)
    assert set(large) == {"checkpoint"}
    assert_same(plain, run)
    assert latest(tmp_path / "killed").name == "step-00000002"
    train(store, CONFIG, tmp_path / "killed", held_out=[b"text\n" * 40])
    assert_same(plain, tmp_path / "killed")


def test_a_signal_waits_for_the_checkpoint(store, plain, tmp_path, large, monkeypatch):
    save_file = checkpoint_folder.save_file

    def slow(*given):
        threading.Event().wait(0.2)
        return save_file(*given)

    def ctrl_c(record):
        if record["step"] == 4:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(checkpoint_folder, "save_file", slow)
    with pytest.warns(Stopped, match="after step 6 of 8, with a checkpoint"), pytest.raises(KeyboardInterrupt):
        train(store, CONFIG, tmp_path / "run", held_out=[b"text\n" * 40], report=ctrl_c)
    assert latest(tmp_path / "run").name == "step-00000006"
    train(store, CONFIG, tmp_path / "run", held_out=[b"text\n" * 40])
    assert_same(plain, tmp_path / "run")


@pytest.mark.parametrize("full", [2, 8])
def test_a_full_disk_is_one_line_and_leaves_the_checkpoint_before(store, tmp_path, large, monkeypatch, full):
    """Soon after the write has failed, or at the end of the run."""
    save_file = checkpoint_folder.save_file

    def fails(tensors, path):
        if f"step-{full:08d}" in str(path):
            raise SafetensorError("I/O error: No space left on device (os error 28)")
        return save_file(tensors, path)

    monkeypatch.setattr(checkpoint_folder, "save_file", fails)
    with pytest.raises(CheckpointError, match=r"^cannot write [^\n]*No space left on device[^\n]*resumes at the check"):
        train(store, CONFIG, tmp_path / "run")
    assert len(records(tmp_path / "run")) <= full + 2
    found = latest(tmp_path / "run")
    assert (found and found.name) == (None if full == 2 else "step-00000006")
