"""Checkpoints of a sharded run that each process writes its part of. `torchrun` starts this file with two."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import forked
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter

from compressors.corpus import Document
from proxylm.config import ModelConfig, RunConfig, TrainConfig
from proxylm.data.encode import encode
from proxylm.data.store import Store
from proxylm.training import checkpoint, slices
from proxylm.training.checkpoint import latest
from proxylm.training.checkpoint_folder import CheckpointError
from proxylm.training.distributed import Place
from proxylm.training.run_folder import load_run
from proxylm.training.run_log import records
from proxylm.training.trainer import train

TEXT = [b"def held_out(text):\n    return text\n" * 9]
SETTINGS = {
    "steps": 6,
    "rows": 4,
    "row_length": 64,
    "checkpoint_every": 2,
    "eval_every": 2,
    "shard": True,
    "dtype": "fp32",
}
# One head: the second process has no slice of some gains.
CONFIG = RunConfig(
    model=ModelConfig(d_model=30, n_layers=2, n_heads=3, n_kv_heads=1, d_ff=33), train=TrainConfig(**SETTINGS)
)


def begin(store, run, place, **rest):
    train(store, CONFIG, run, held_out=TEXT, place=place, **rest)


def written(before):
    """What is called before this process's slices of a checkpoint are written, with its folder."""
    write = HuggingFaceStorageWriter.write_data

    def write_data(self, *given):
        before(Path(self.path).parent.name.strip("."))
        return write(self, *given)

    HuggingFaceStorageWriter.write_data = write_data
    return lambda: setattr(HuggingFaceStorageWriter, "write_data", write)


def late(store, run, place):
    """The files of step 2 are written only when step 3 is done: they are of their step."""
    beyond = threading.Event()
    undo = written(lambda name: name != "step-00000002.tmp" or beyond.wait(60))
    begin(store, run, place, report=lambda record: record["step"] == 2 and beyond.set())
    undo()


def apart(store, run, place):
    """The second process does not see what the first makes, as on a machine with other disks."""
    is_dir = Path.is_dir
    Path.is_dir = lambda self: place.rank == 0 and is_dir(self)
    begin(store, run, place)
    Path.is_dir = is_dir


def full(store, run, place):
    """The last checkpoint does not fit on the disk of the second process; the error of this one."""

    def fails(name):
        if name == "step-00000006.tmp" and place.rank == 1:
            raise OSError(28, "No space left on device")

    undo = written(fails)
    try:
        begin(store, run, place)
    except CheckpointError as error:
        return str(error)
    finally:
        undo()


def killed(store, run, place):
    """The second process dies while the checkpoint of step 4 is written."""

    def dies(name):
        if name == "step-00000004.tmp" and place.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    written(dies)
    begin(store, run, place)


def two_processes(path, folder):
    store = Store.open(path)
    with Place.here() as place:
        begin(store, folder / "plain", place)
        slices.LARGE = 0
        late(store, folder / "two", place)
        if place.rank == 0:
            shutil.copytree(folder / "two", folder / "resumed")
            shutil.rmtree(latest(folder / "resumed"))
        dist.barrier()
        begin(store, folder / "resumed", place)
        apart(store, folder / f"machine-{place.rank}", place)
        (folder / f"full-{place.rank}").write_text(str(full(store, folder / "full", place)))
        killed(store, folder / "killed", place)


@pytest.fixture(scope="module")
def made(tmp_path_factory, documents):
    folder = tmp_path_factory.mktemp("slices")
    store = encode([Document(str(i), d[:2000]) for i, d in enumerate(documents[:20])], folder / "s", {})
    launch = [forked.python(), "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", __file__]
    done = subprocess.run(
        [*launch, str(folder / "s"), str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert "SIGKILL" in done.stderr, done.stderr  # as far as that all went well
    return folder, store


def assert_same(one, other):
    assert [r["loss"] for r in records(one)] == [r["loss"] for r in records(other)]
    for kind in ("model", "optimizer"):
        expected, found = (slices.tensors_of(latest(run), kind) for run in (one, other))
        assert expected.keys() == found.keys()
        assert all(found[key].equal(value) for key, value in expected.items())


@pytest.mark.parametrize("run", ["two", "resumed", "machine-0"])
def test_the_tensors_are_those_of_whole_files(made, run):
    folder, _ = made
    assert_same(folder / "plain", folder / run)
    assert checkpoint.fingerprint(folder / run) == checkpoint.fingerprint(folder / "plain")
    for best in (False, True):
        model, _ = load_run(folder / run, best=best)
        expected, _ = load_run(folder / "plain", best=best)
        assert all(map(torch.equal, model.state_dict().values(), expected.state_dict().values()))


def test_each_process_writes_its_slices_and_the_first_the_rest(made):
    folder, _ = made
    newest = latest(folder / "two")
    assert len(list((newest / "slices").iterdir())) == 2
    sizes = [file.stat().st_size for file in (newest / "slices").iterdir()]
    assert max(sizes) < 1.1 * min(sizes)
    assert all(tensor.ndim == 0 for tensor in load_file(newest / "optimizer.safetensors").values())  # steps
    assert not (latest(folder / "plain") / "slices").exists()
    assert (folder / "two/checkpoints/best/slices").exists()


def test_machines_without_a_common_folder_put_it_together(made):
    folder, _ = made
    assert not list(folder.glob("machine-*/checkpoints/*/slices"))
    assert not (folder / "machine-1").exists()


def test_a_full_disk_of_one_process_is_one_line_in_all_and_leaves_the_checkpoint_before(made):
    folder, _ = made
    for rank in range(2):
        said = (folder / f"full-{rank}").read_text()
        assert said.startswith(f"cannot write {folder}/full/checkpoints/step-00000006: ")
        assert "No space left on device; make room" in said
        assert "\n" not in said
    assert latest(folder / "full").name == "step-00000004"


def test_after_a_crash_in_the_middle_the_checkpoint_before_is_used(made):
    """By one process, which reads slices of two."""
    folder, store = made
    assert latest(folder / "killed").name == "step-00000002"
    train(store, CONFIG, folder / "killed", held_out=TEXT)
    assert latest(folder / "killed").name == "step-00000006"
    assert not list((folder / "killed/checkpoints").glob(".*"))
    losses = [[r["loss"] for r in records(folder / run)] for run in ("plain", "killed")]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_a_missing_file_is_one_line(made):
    folder, store = made
    run = shutil.copytree(folder / "two", folder / "damaged")
    next((latest(run) / "slices").glob("shard-00002*")).unlink()
    shutil.rmtree(run / "checkpoints/best")
    for read in (lambda: load_run(run), lambda: train(store, CONFIG, run, held_out=TEXT)):
        with pytest.raises(CheckpointError, match=r"cannot be read \(slices/shard-00002[^\n]* is missing\); delete it"):
            read()


if __name__ == "__main__":
    two_processes(Path(sys.argv[1]), Path(sys.argv[2]))
