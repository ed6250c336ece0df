"""A sharded run of two processes is the run of one; its checkpoints are read by any number. `torchrun` starts this file too."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import forked
import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file

from compressors.corpus import Document
from proxylm.config import MixConfig, ModelConfig, Phase, RunConfig, TrainConfig
from proxylm.data.encode import encode
from proxylm.data.store import Store
from proxylm.training.checkpoint import latest
from proxylm.training.distributed import Place
from proxylm.training.fsdp import local
from proxylm.training.run_folder import load_run
from proxylm.training.run_log import records
from proxylm.training.run_plan import RunPlan
from proxylm.training.trainer import Trainer, train

TEXT = [b"def held_out(text):\n    return text\n" * 9]
MIXES = {
    "proxy": MixConfig(view="bpe", recipe="proxy", chunk=0),
    # Half of the documents: in some passes one process has bags, and the other none.
    "bags": MixConfig(view="bpe:bags=4", phases=(Phase(until=1.0, start=0.5, end=0.5),), chunk=0),
}


def config(mix):
    """Nothing divides by two: rows of matrices, matrices of a shape, the rows of a head."""
    shape = {"d_model": 30, "n_heads": 3, "n_kv_heads": 1, "d_ff": 33, "n_ahead": 2}
    options = {
        "steps": 10,
        "rows": 4,
        "row_length": 64,
        "checkpoint_every": 5,
        "eval_every": 5,
        "shard": True,
        "dtype": "fp32",
    }
    return RunConfig(
        model=ModelConfig(n_layers=3 if mix == "proxy" else 1, **shape),
        train=TrainConfig(micro_rows=1 if mix == "bags" else None, **options),
        mix=MIXES[mix],
    )


def cut(run, name):
    """A copy of a run that ended after the first of its checkpoints."""
    shutil.copytree(run, run.parent / name)
    shutil.rmtree(latest(run.parent / name))
    return run.parent / name


def held(store, place):
    """Numbers of this process after a step: of parameters, of gradients, of the state of both optimizers, of the whole."""
    trainer = Trainer(RunPlan.of(store, config("proxy")), place)
    gradients = []
    for optimizer in trainer.optimizers:
        optimizer.register_step_pre_hook(
            lambda done, *_: gradients.extend(local(p.grad).numel() for g in done.param_groups for p in g["params"])
        )
    trainer.step(0)
    parameters = list(trainer.model.parameters())
    states = [
        value for optimizer in trainer.optimizers for state in optimizer.state.values() for value in state.values()
    ]
    return {
        "parameters": sum(local(p).numel() for p in parameters),
        "gradients": sum(gradients),
        "states": sum(local(value).numel() for value in states if value.ndim),
        "whole": sum(p.numel() for p in parameters),
        "whole states": sum(value.numel() for value in states if value.ndim),
    }


def two_processes(store, folder):
    """What `torchrun` runs."""
    with Place.here() as place:
        (folder / f"held-{place.rank}.json").write_text(json.dumps(held(Store.open(store), place)))
        for run, mix in (("two", "proxy"), ("two-two", "proxy"), ("one-two", "proxy"), ("bags-two", "bags")):
            if run == "two-two" and place.rank == 0:
                cut(folder / "two", run)
            dist.barrier()
            train(Store.open(store), config(mix), folder / run, held_out=TEXT, place=place)


def tensors(run, name):
    return load_file(latest(run) / f"{name}.safetensors")


def assert_same_but_for_rounding(one, other):
    for a, b in zip(records(one), records(other), strict=True):
        for key in ("rows_checksum", "symbols", "bytes", "documents", "flops"):
            assert a[key] == b[key]
        for key in ("loss", "held_out_bits_per_byte"):
            assert a.get(key, 0) == pytest.approx(b.get(key, 0), rel=1e-4)
        assert a["ahead_bits_per_symbol"] == pytest.approx(b["ahead_bits_per_symbol"], rel=1e-4)
    for name in ("model", "optimizer"):
        expected, found = tensors(one, name), tensors(other, name)
        assert {key: t.shape for key, t in found.items()} == {key: t.shape for key, t in expected.items()}
        for key, value in expected.items():
            assert (found[key] - value).norm() <= 1e-4 * value.norm(), key


def assert_same_bits(one, other):
    for name in ("model", "optimizer"):
        expected, found = tensors(one, name), tensors(other, name)
        assert all(found[key].equal(expected[key]) for key in expected)
    assert [record["loss"] for record in records(one)] == [record["loss"] for record in records(other)]


def assert_half_each(one, two):
    for name, total in (("parameters", "whole"), ("gradients", "whole"), ("states", "whole states")):
        assert one[name] + two[name] == one[total]
        assert two[name] <= one[name] < 0.52 * one[total]  # the odd rows are the first process's


def test_two_sharded_processes_are_one(tmp_path, bpe, documents):
    """Runs are named by the numbers of processes that resumed them."""
    store = encode([Document(str(i), d[:3000]) for i, d in enumerate(documents)], tmp_path / "s", {"bpe": bpe})
    train(store, config("proxy"), tmp_path / "one", held_out=TEXT)
    train(store, config("bags"), tmp_path / "bags", held_out=TEXT)
    cut(tmp_path / "one", "one-two")
    launch = [forked.python(), "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", __file__]
    done = subprocess.run(
        [*launch, str(tmp_path / "s"), str(tmp_path)],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    train(store, config("proxy"), cut(tmp_path / "two", "two-one"), held_out=TEXT)

    for other in ("two", "one-two", "two-one"):
        assert_same_but_for_rounding(tmp_path / "one", tmp_path / other)
    assert_same_but_for_rounding(tmp_path / "bags", tmp_path / "bags-two")
    assert_same_bits(tmp_path / "two", tmp_path / "two-two")
    assert_half_each(*(json.loads((tmp_path / f"held-{rank}.json").read_text()) for rank in range(2)))
    one, two = (sorted(str(p.relative_to(run)) for p in run.rglob("*")) for run in (tmp_path / "one", tmp_path / "two"))
    assert one == two
    for best in (False, True):
        model, _ = load_run(tmp_path / "two", best=best)
        assert all(type(parameter.data) is torch.Tensor for parameter in model.parameters())


if __name__ == "__main__":
    two_processes(Path(sys.argv[1]), Path(sys.argv[2]))
