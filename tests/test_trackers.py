"""Trackers get the numbers of the log, resume, and never end a training."""

import glob
import json
import struct
import sys
import types
import warnings
from pathlib import Path

import pytest

from compressors.corpus import Document
from compressors.errors import InvalidConfig, MissingExtra
from proxylm.config import ModelConfig, RunConfig, TrainConfig
from proxylm.data.encode import encode
from proxylm.training import trackers
from proxylm.training.run_log import records
from proxylm.training.trainer import train

SHAPE = ModelConfig(d_model=16, n_layers=1, n_heads=2)


@pytest.fixture(scope="module")
def store(tmp_path_factory, documents):
    path = tmp_path_factory.mktemp("trackers") / "s"
    return encode([Document(str(i), d[:2000]) for i, d in enumerate(documents[:20])], path, {})


def config(*names, **options):
    train = TrainConfig(steps=4, rows=2, row_length=32, dtype="fp32", trackers=names, checkpoint_every=2, **options)
    return RunConfig(train=train, model=SHAPE)


class Interrupted(Exception):
    pass


def killed_at(step):
    def report(record):
        if record["step"] == step:
            raise Interrupted

    return report


class Kept(list):
    """A tracker that keeps what it is told; it may fail at a step or while it is closed."""

    def __init__(self, fails=None):
        self.fails, self.runs, self.closed = fails, [], 0

    def __call__(self, run):
        self.runs.append(run)
        if self.fails == "open":
            raise RuntimeError("no login")
        return self

    def log(self, step, numbers):
        if step == self.fails:
            raise OSError("No space\nleft on device")
        self.append((step, numbers))

    def close(self):
        self.closed += 1
        if self.fails == "close":
            raise SystemExit(3)


def test_a_tracker_gets_every_number_and_is_told_where_a_resume_begins(store, tmp_path, monkeypatch):
    kept = Kept()
    monkeypatch.setitem(trackers.TRACKERS, "kept", kept)
    with pytest.raises(Interrupted):
        train(store, config("kept"), tmp_path / "r", report=killed_at(3))
    assert kept.closed == 1
    train(store, config("kept"), tmp_path / "r")
    assert [step for step, _ in kept] == [0, 1, 2, 2, 3]
    assert [run.step for run in kept.runs] == [0, 2]
    assert kept.runs[0].id == kept.runs[1].id
    log = records(tmp_path / "r")
    assert [numbers["loss"] for _, numbers in kept[-2:]] == [record["loss"] for record in log[-2:]]
    assert {"learning_rate/matrices", "symbols/raw", "weight_norms/heads", "share_of_peak"} <= set(kept[-1][1])
    assert kept.runs[0].config["train"]["steps"] == 4
    train(store, config(), tmp_path / "r")  # a resume may leave it out


@pytest.mark.parametrize(
    ("fails", "logged", "said"),
    [("open", 0, "no login"), (1, 1, "No space left on device"), ("close", 4, "kept .* here on: 3$")],
)
def test_a_tracker_that_fails_is_one_warning_and_the_run_ends_as_without(
    store, tmp_path, monkeypatch, fails, logged, said
):
    kept = Kept(fails)
    monkeypatch.setitem(trackers.TRACKERS, "kept", kept)
    with pytest.warns(UserWarning, match=said) as warned:
        train(store, config("kept"), tmp_path / "r")
    assert len([w for w in warned if "tracker kept fails and is left out" in str(w.message)]) == 1
    assert (len(kept), len(records(tmp_path / "r"))) == (logged, 4)


def test_unknown_and_missing_trackers_are_refused_before_the_first_step(store, tmp_path, monkeypatch):
    with pytest.raises(InvalidConfig, match="unknown tracker 'mlflow'; known: tensorboard, wandb, trackio"):
        train(store, config("mlflow"), tmp_path / "a")
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(MissingExtra, match=r"^the tracker trackio needs trackio: pip install 'proxyc\[trackio\]'$"):
        train(store, config("trackio"), tmp_path / "b")
    assert records(tmp_path / "b") == []


def test_packages_add_trackers_by_entry_point(monkeypatch):
    point = types.SimpleNamespace(name="mine", load=lambda: Kept)
    monkeypatch.setattr(trackers, "entry_points", lambda group: [point] if group == "proxylm.trackers" else [])
    assert trackers.maker("mine") is Kept


def test_tensorboard_has_the_numbers_of_the_log(store, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with pytest.raises(Interrupted):
        train(store, config("tensorboard"), tmp_path / "r", report=killed_at(3))
    train(store, config("tensorboard"), tmp_path / "r")  # step 2 is done again, and is there once
    read = EventAccumulator(str(tmp_path / "r/tensorboard"))
    read.Reload()
    assert [event.value for event in read.Scalars("loss")] == pytest.approx(
        [r["loss"] for r in records(tmp_path / "r")]
    )
    assert {"symbols/raw", "flops", "gradient_norm", "learning_rate/heads"} <= set(read.Tags()["scalars"])


def test_wandb_offline_has_the_numbers_and_a_resume_keeps_the_run(store, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    for name, value in (("MODE", "offline"), ("SILENT", "true"), ("DIR", str(tmp_path)), ("CACHE_DIR", str(tmp_path))):
        monkeypatch.setenv(f"WANDB_{name}", value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the client
        with pytest.raises(Interrupted):
            train(store, config("wandb"), tmp_path / "r", report=killed_at(3))
        train(store, config("wandb"), tmp_path / "r")
    id_ = (tmp_path / "r/tracker-id").read_text()
    first, second = sorted(
        glob.glob(f"{tmp_path}/r/wandb/offline-run-*/run-{id_}.wandb")
    )  # one run: the id is the same
    assert [step for step, _ in wandb_history(first)] == [0, 1, 2]
    assert wandb_history(second) == [(r["step"], pytest.approx(r["loss"])) for r in records(tmp_path / "r")[2:]]


def wandb_history(path):
    """(step, loss) of an offline run: records of a LevelDB log in blocks of 32 KiB, behind a header of 7 bytes."""
    from wandb.proto import wandb_internal_pb2

    data, at, record, found = Path(path).read_bytes(), 7, b"", []
    while at < len(data):
        if (left := -at % 32768) and left < 7:  # too little of the block for a header
            at += left
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + 7])
        record, at = record + data[at + 7 : at + 7 + size], at + 7 + size
        if kind in (1, 4):  # a whole record, or the last part of one
            known = wandb_internal_pb2.Record.FromString(record)
            record = b""
            if known.WhichOneof("record_type") == "history":
                items = {(i.key or i.nested_key[0]): json.loads(i.value_json) for i in known.history.item}
                found.append((items["_step"], items["loss"]))
    return found


def test_trackio_is_called_as_its_signatures_say(store, tmp_path, monkeypatch, capsys):
    """A stand-in with the signatures of trackio 0.43: the package needs another Pillow than the other tools here."""
    logged, opened = [], []

    class Run:
        def log(self, metrics, step=None):
            logged.append((step, metrics["loss"]))

        def finish(self):
            print("* Run finished.")

    def init(project, name=None, *, config=None, resume="never", embed=True):
        opened.append((project, name, resume, embed, config["train"]["steps"]))
        return Run()

    monkeypatch.setitem(sys.modules, "trackio", types.SimpleNamespace(init=init))
    with pytest.raises(Interrupted):
        train(store, config("trackio"), tmp_path / "r", report=killed_at(3))
    train(store, config("trackio"), tmp_path / "r")
    id_ = (tmp_path / "r/tracker-id").read_text()
    assert opened == [("proxyc", f"r-{id_}", "allow", False, 4)] * 2
    assert [step for step, _ in logged] == [0, 1, 2, 2, 3]
    assert capsys.readouterr().out == ""
