"""What processes do together: `torchrun` starts this file with two, and the tests look at what they wrote."""

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
from compressors.errors import InputError
from proxylm.config import ModelConfig, RunConfig, TrainConfig
from proxylm.data.encode import encode
from proxylm.data.store import Store
from proxylm.training import step
from proxylm.training.checkpoint import latest
from proxylm.training.checkpoint_folder import CheckpointError
from proxylm.training.distributed import Place
from proxylm.training.fsdp import local
from proxylm.training.run_log import records
from proxylm.training.run_plan import RunPlan
from proxylm.training.trainer import Trainer, train

TEXT = [b"def held_out(text):\n    return text\n" * 9, b"", b"import os\n", b"x = 1\n"]


def config(**options):
    shape = ModelConfig(d_model=32, n_layers=2, n_heads=2, hash_ngrams=2, ngram_rows=64)
    train = {"steps": 4, "rows": 4, "row_length": 64, "checkpoint_every": 2, "eval_every": 2, "dtype": "fp32"} | options
    return RunConfig(model=shape, train=TrainConfig(**train))


def apart(store, folder, place):
    """Each process has a folder of its machine; only that of the first has checkpoints when the run resumes."""
    own = folder / f"machine-{place.rank}"
    train(store, config(), own / "run", held_out=TEXT, place=place)
    if place.rank == 0:
        shutil.rmtree(latest(own / "run"))
    dist.barrier()
    return sorted(path.name for path in own.glob("run/*"))


def damaged(store, folder, place):
    """The error of the first process ends both."""
    own = folder / f"damaged-{place.rank}"
    train(store, config(steps=2), own, place=place)
    if place.rank == 0:
        (latest(own) / "model.safetensors").write_bytes(b"nothing")
    dist.barrier()
    try:
        train(store, config(steps=2), own, place=place)
    except CheckpointError as error:
        return str(error)
    return None


def scored(store, place):
    """How many documents this process scores."""
    counts, evaluate = [], step.evaluate
    step.evaluate = lambda model, documents, **rest: counts.append(len(documents)) or evaluate(model, documents, **rest)
    Trainer(RunPlan.of(store, config()), place).held_out(TEXT)
    step.evaluate = evaluate
    return counts


def sharded(store, place, **options):
    """Of one step: messages that reduce gradients, dtypes that are gathered, units, losses, lengths of the gradients."""
    trainer = Trainer(RunPlan.of(store, config(shard=True, **options)), place)
    reduced, gathered, plain = [], [], {}

    def counting(name, kept):
        plain[name] = getattr(dist, name)

        def counted(*given, **named):
            tensors = [value for value in (*given, *named.values()) if isinstance(value, torch.Tensor)]
            kept.append(str(tensors[0].dtype))
            return plain[name](*given, **named)

        setattr(dist, name, counted)

    for names, kept in ((("reduce_scatter_single", "reduce_scatter_tensor"), reduced),
                        (("all_gather_single", "all_gather_into_tensor"), gathered)):  # fmt: skip
        counting(next(name for name in names if hasattr(dist, name)), kept)  # the second: before torch 2.13
    from torch.distributed.fsdp import FSDPModule

    norms = [trainer.step(number)[0] for number in range(2)]
    for name, function in plain.items():
        setattr(dist, name, function)
    return {
        "reduced": len(reduced),
        "gathered": sorted(set(gathered)),
        "units": [name for name, unit in trainer.model.named_modules() if isinstance(unit, FSDPModule)],
        "losses": [record["loss"] for record in norms],
        "norms": [record["gradient_norm"] for record in norms],
        "held": str(local(trainer.model.blocks[0].down.weight).dtype),
    }


def two_processes(store_path, folder):
    with Place.here() as place:
        store = Store.open(store_path)
        found = {
            "apart": apart(store, folder, place),
            "damaged": damaged(store, folder, place),
            "scored": scored(store, place),
            "whole": sharded(store, place),
            "parts": sharded(store, place, micro_rows=1),
            "bf16": sharded(store, place, dtype="bf16"),
            "again": sharded(store, place, recompute=True),
        }
        own = folder / f"machine-{place.rank}"
        train(store, config(), own / "run", held_out=TEXT, place=place)
        train(store, config(), folder / "straight", held_out=TEXT, place=place)
        try:
            place.from_first(lambda: (_ for _ in ()).throw(InputError(f"of {place.rank}")))
        except InputError as error:
            found["raised"] = str(error)
        (folder / f"found-{place.rank}.json").write_text(json.dumps(found))


@pytest.fixture(scope="module")
def made(tmp_path_factory, documents):
    folder = tmp_path_factory.mktemp("processes")
    store = encode([Document(str(i), d[:2000]) for i, d in enumerate(documents[:20])], folder / "s", {})
    launch = [
        forked.python(),
        "-W",
        "ignore",
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        __file__,
    ]
    done = subprocess.run(
        [*launch, str(folder / "s"), str(folder)],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    train(store, config(), folder / "one", held_out=TEXT)
    return folder, [json.loads((folder / f"found-{rank}.json").read_text()) for rank in range(2)], store


def test_machines_without_a_common_folder_resume_where_the_first_says(made):
    folder, found, _ = made
    assert found[1]["apart"] == []  # only the first writes
    one, resumed = folder / "one", folder / "machine-0/run"
    assert [r["loss"] for r in records(resumed)] == pytest.approx([r["loss"] for r in records(one)], rel=1e-4)
    for file in ("model", "optimizer"):
        expected, tensors = (load_file(latest(run) / f"{file}.safetensors") for run in (one, resumed))
        assert all((tensors[key] - value).norm() <= 1e-4 * value.norm() for key, value in expected.items())


def test_a_resumed_run_has_the_bits_of_one_without_a_break(made):
    folder, _, _ = made
    straight, resumed = folder / "straight", folder / "machine-0/run"
    assert [r["loss"] for r in records(resumed)] == [r["loss"] for r in records(straight)]
    for file in ("model", "optimizer"):
        expected, tensors = (load_file(latest(run) / f"{file}.safetensors") for run in (straight, resumed))
        assert all(tensors[key].equal(value) for key, value in expected.items())


def test_an_error_of_the_first_process_ends_all(made):
    _, found, _ = made
    assert found[0]["damaged"] == found[1]["damaged"]
    assert "cannot be read" in found[1]["damaged"]
    assert found[0]["raised"] == found[1]["raised"] == "of 0"


def test_held_out_documents_are_shared(made):
    folder, found, _ = made
    assert [of["scored"] for of in found] == [[3], [1]]  # the first takes the empty one, too
    one, two = (records(folder / run) for run in ("one", "machine-0/run"))
    scores = [[r["held_out_bits_per_byte"] for r in log if "held_out_bits_per_byte" in r] for log in (one, two)]
    assert scores[1] == pytest.approx(scores[0], rel=1e-4)


def test_gradients_are_reduced_once_a_step(made):
    _, found, store = made
    whole, parts = found[0]["whole"], found[0]["parts"]
    assert parts["reduced"] == whole["reduced"] > 0
    assert parts["losses"] == pytest.approx(whole["losses"], rel=1e-5)
    assert parts["norms"] == pytest.approx(whole["norms"], rel=1e-4)
    trainer = Trainer(RunPlan.of(store, config()), Place(torch.device("cpu")))  # one process, nothing sliced
    plain = [trainer.step(number)[0] for number in range(2)]
    assert whole["losses"] == pytest.approx([record["loss"] for record in plain], rel=1e-5)
    assert whole["norms"] == pytest.approx([record["gradient_norm"] for record in plain], rel=1e-4)


def test_blocks_are_gathered_in_bf16_and_kept_in_fp32(made):
    _, found, _ = made
    assert "torch.bfloat16" not in found[0]["whole"]["gathered"]
    assert "torch.bfloat16" in found[0]["bf16"]["gathered"]
    assert found[0]["bf16"]["losses"] == pytest.approx(found[0]["whole"]["losses"], rel=0.02)
    assert found[0]["bf16"]["losses"] != found[0]["whole"]["losses"]
    assert found[0]["bf16"]["held"] == "torch.float32"


def test_the_table_of_ngrams_is_a_unit(made):
    _, found, _ = made
    assert "embedding.ngrams" in found[0]["whole"]["units"]


def test_blocks_that_are_computed_again_train_alike_in_slices(made):
    _, found, _ = made
    assert found[0]["again"]["losses"] == found[0]["whole"]["losses"]


if __name__ == "__main__":
    two_processes(Path(sys.argv[1]), Path(sys.argv[2]))
