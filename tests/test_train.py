import json
import os
import signal
import subprocess
import sys
import time

import forked
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file

import compressors
from compressors.corpus import Document
from compressors.errors import FingerprintMismatch, InputError, InvalidConfig
from proxylm.config import MixConfig, ModelConfig, RunConfig, TrainConfig
from proxylm.data.alphabet import Alphabet
from proxylm.data.encode import encode
from proxylm.data.store import Store
from proxylm.model.decoder import Decoder
from proxylm.training.checkpoint import latest
from proxylm.training.checkpoint_folder import CheckpointError
from proxylm.training.distributed import Place
from proxylm.training.divergence import Diverged
from proxylm.training.run_folder import load_run, view_of
from proxylm.training.run_plan import RunPlan
from proxylm.training.trainer import train

SHAPE = {"d_model": 32, "n_layers": 2, "n_heads": 2}
SETTINGS = [f"model.{key}={value}" for key, value in SHAPE.items()] + [
    "train.rows=4",
    "train.row_length=64",
    "train.checkpoint_every=5",
    "train.dtype=fp32",
]


@pytest.fixture(scope="module")
def store(tmp_path_factory, bpe, documents):
    path = tmp_path_factory.mktemp("train") / "s"
    return encode([Document(str(i), d[:3000]) for i, d in enumerate(documents)], path, {"bpe": bpe})


def config(recipe="proxy", **options):
    options = {"steps": 20, "rows": 4, "row_length": 64, "checkpoint_every": 5, "dtype": "fp32"} | options
    mix = MixConfig(view="bpe", recipe=recipe) if recipe != "raw" else MixConfig()
    return RunConfig(train=TrainConfig(**options), model=ModelConfig(**SHAPE), mix=mix)


def records(run):
    """The log without what depends on the clock and the process."""
    measured = ("seconds", "symbols_per_second", "bytes_per_second", "share_of_peak", "memory_bytes")
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in measured} for line in lines]


def weights(run):
    checkpoint = latest(run)
    return {p.name: p.read_bytes() for p in checkpoint.iterdir()}


def command(store, run, *more, steps=20):
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    return [
        "train",
        str(store.path),
        "-o",
        str(run),
        "--recipe",
        "proxy",
        "--view",
        "bpe",
        "--steps",
        str(steps),
        *settings,
        *more,
    ]


def test_same_seed_same_losses_other_seed_other_losses(store, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(store, config(seed=seed), tmp_path / name)
    assert records(tmp_path / "a") == records(tmp_path / "b")
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    assert records(tmp_path / "a") != records(tmp_path / "c")


def test_loss_falls_and_the_log_says_what_was_shown(store, tmp_path):
    train(store, config("raw", steps=60), tmp_path / "r")
    log = records(tmp_path / "r")
    assert sum(r["loss"] for r in log[-5:]) / 5 < log[0]["loss"] - 2
    assert log[0]["comp_bits_per_symbol"] is None
    assert log[0]["bytes"]["raw"] == log[0]["symbols"]["raw"] > 200
    assert sum(r["flops"] for r in log) == pytest.approx(RunPlan.of(store, config("raw", steps=60)).flops)


def test_sigkill_and_resume_equal_an_uninterrupted_run(store, tmp_path):
    whole = [forked.python(), "-m", "proxylm.cli.main", *command(store, tmp_path / "whole", steps=60)]
    killed = [sys.executable, "-m", "proxylm.cli.main", *command(store, tmp_path / "killed", steps=60)]
    subprocess.run(whole, check=True, capture_output=True)
    process = subprocess.Popen(killed, stdout=subprocess.DEVNULL)
    deadline = time.time() + 120
    while process.poll() is None and time.time() < deadline:
        found = latest(tmp_path / "killed")
        if found is not None and found.name >= "step-00000015":
            break
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert latest(tmp_path / "killed").name < "step-00000060"
    subprocess.run([forked.python(), *killed[1:]], check=True, capture_output=True)
    assert records(tmp_path / "killed") == records(tmp_path / "whole")
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")


def test_the_process_group_is_left_whatever_happens(monkeypatch):
    calls = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(dist, "init_process_group", lambda backend, **_: calls.append("joined"))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: calls.append("left"))

    def interrupted():
        with Place.here() as place:
            assert place.world == 2
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert calls == ["joined", "left"]


def test_what_no_process_has_used_keeps_no_gradient(monkeypatch):
    """The other process, played by `all_reduce`, has used `theirs`, and its gradient is all ones."""
    model = torch.nn.ParameterDict({name: torch.nn.Parameter(torch.zeros(2, 3)) for name in ("ours", "theirs", "none")})
    model["ours"].grad = torch.full((2, 3), 2.0)
    names = list(model)

    def all_reduce(flat):
        size = len(flat) // 3  # a gradient's numbers, or one that says whether there is a gradient
        flat[size * names.index("theirs") :][:size] += 1

    monkeypatch.setattr(dist, "all_reduce", all_reduce)
    monkeypatch.setattr(dist, "get_backend_config", lambda: "cpu:gloo")
    Place(torch.device("cpu"), world=2).reduce_gradients(model)
    assert model["ours"].grad.eq(2).all()
    assert model["theirs"].grad.eq(1).all()
    assert model["none"].grad is None


def test_two_processes_read_the_same_rows_and_learn_the_same(store, tmp_path):
    """Not forked ones, whose sets of strings would have one order.

    A thread of the process group that is left at the end aborts a finished run now and then: none is left, and `main` does not
    wait for the interpreter's end.
    """
    train(store, config(), tmp_path / "one")
    script = tmp_path / "proxyc.py"
    script.write_text(
        "import atexit, glob, os, sys\n"
        "from proxylm.cli.main import main, proxyc\n"
        "names = lambda: [open(task).read() for task in glob.glob('/proc/self/task/*/comm')]\n"
        "atexit.register(lambda: print('left:', [name for name in names() if 'gloo' in name], file=sys.stderr))\n"
        "main() if os.environ['RANK'] == '0' else proxyc(sys.argv[1:])\n"
    )
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        str(script),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launch, *command(store, tmp_path / "two")], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("left: []") == done.stderr.count("left:") == 1, done.stderr
    assert "deprecated" not in done.stderr
    one, two = records(tmp_path / "one"), records(tmp_path / "two")
    for a, b in zip(one, two, strict=True):
        for key in ("rows_checksum", "symbols", "bytes", "documents", "flops"):
            assert a[key] == b[key]
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-3)


def test_the_only_step_of_a_run_learns(store, tmp_path):
    train(store, config(steps=1), tmp_path / "r")
    torch.manual_seed(0)
    fresh = Decoder(ModelConfig(**SHAPE), Alphabet({"bpe": store.view("bpe")["vocab_size"]})).state_dict()
    learnt = load_file(latest(tmp_path / "r") / "model.safetensors")
    assert all(not learnt[name].equal(fresh[name]) for name in ("embedding.weight", "heads.raw", "heads.comp"))


def test_a_view_that_is_added_does_not_keep_a_run_from_going_on(tmp_path, bpe):
    documents = [Document(str(i), b"some text, %d " % i * 50) for i in range(9)]
    made = encode(documents, tmp_path / "s", {"bpe": bpe})
    train(made, config(steps=2), tmp_path / "r")
    train(encode(None, tmp_path / "s", {"gz": compressors.get("gzip")}), config(steps=2), tmp_path / "r")
    other = encode(documents[:5], tmp_path / "t", {"bpe": bpe})
    with pytest.raises(InvalidConfig, match="another store"):
        train(other, config(steps=2), tmp_path / "r")


def test_a_loss_that_is_no_number_stops_the_run(store, tmp_path):
    with pytest.raises(Diverged, match="learning rates"):
        train(store, config(steps=9, matrix_lr=1e30, embedding_lr=1e30, head_lr=1e30), tmp_path / "r")


def test_flops_budget_is_planned_and_kept(store):
    for recipe in ("raw", "comp", "proxy"):
        chosen = config(recipe, steps=None, flops=3e9)
        plan = RunPlan.of(store, chosen)
        assert plan.steps > 3
        one_more = RunPlan.of(store, config(recipe, steps=plan.steps + 1))
        assert RunPlan.of(store, config(recipe, steps=plan.steps)).flops == plan.flops <= 3e9 < one_more.flops
    with pytest.raises(InvalidConfig, match="less than one step"):
        RunPlan.of(store, config(steps=None, flops=10.0))


def test_another_configuration_or_codec_is_refused(store, tmp_path, bpe, documents):
    train(store, config(steps=2), tmp_path / "r")
    with pytest.raises(InvalidConfig, match=r"another config\.train\.steps"):
        train(store, config(steps=3), tmp_path / "r")
    facts = json.loads((tmp_path / "r/run.json").read_text())
    del facts["config"]["train"]["shard"]  # as if the run were older than the setting
    (tmp_path / "r/run.json").write_text(json.dumps(facts))
    train(store, config(steps=2), tmp_path / "r")
    with pytest.raises(FingerprintMismatch, match="trained on bpe"):
        view_of(tmp_path / "r", type(bpe).fit(documents[:5], vocab_size=300))
    assert view_of(tmp_path / "r", bpe) == "bpe"
    with pytest.raises(InputError, match="not a training run"):
        load_run(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a file, and a run is a folder"):
        train(store, config(), tmp_path / "file")


def test_last_checkpoints_are_kept_and_a_damaged_one_is_named(store, tmp_path):
    train(store, config(keep=2), tmp_path / "r")
    assert [p.name for p in sorted((tmp_path / "r/checkpoints").iterdir())] == ["step-00000015", "step-00000020"]
    assert load_file(latest(tmp_path / "r") / "model.safetensors")
    file = latest(tmp_path / "r") / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match="step-00000020"):
        load_run(tmp_path / "r")


def test_a_truncated_view_is_refused_before_training(store, tmp_path, bpe):
    made = encode([Document("a", b"some text " * 50)], tmp_path / "s", {"bpe": bpe})
    file = made.path / "00000/bpe.bin"
    os.truncate(file, file.stat().st_size // 2)
    done = subprocess.run(
        [forked.python(), "-m", "proxylm.cli.main", *command(made, tmp_path / "r")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "bpe.bin" in done.stderr
    assert Store.open(store.path)
