"""Benches use a trained model where `--device` and `--dtype` say; without them, where the machine is fastest."""

import contextlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner

from bench import demo, isolated
from bench.downstream import arms, copying, rescore
from bench.downstream.alignment import alignment
from bench.speed import generation, train_parts
from bench.speed import train as train_speed
from compressors.corpus import Document
from compressors.errors import InvalidConfig
from proxylm import trained
from proxylm.config import RunConfig
from proxylm.config_files import from_mapping
from proxylm.data.encode import encode
from proxylm.evaluation.placement import placed
from proxylm.training.trainer import train

CONFIG = {
    "train": {"steps": 2, "rows": 2, "row_length": 64},
    "model": {"d_model": 32, "n_layers": 1, "n_heads": 2, "n_ahead": 1},
    "mix": {"recipe": "proxy", "view": "bpe:merges=64"},
}
BF16 = ["--device", "cpu", "--dtype", "bf16"]


@pytest.fixture(scope="module")
def store(tmp_path_factory, bpe, documents):
    path = tmp_path_factory.mktemp("bench-devices") / "s"
    return encode([Document(str(i), d[:2000]) for i, d in enumerate(documents[:10])], path, {"bpe": bpe})


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench-devices") / "run"
    train(store, from_mapping(RunConfig, CONFIG), folder)
    return folder


@pytest.fixture
def asked(monkeypatch):
    """What every opened model was placed with; a model that is not placed refuses to compute."""
    calls, load = [], trained.run_folder.load_run

    def load_refusing(*args, **options):
        model, config = load(*args, **options)
        model.forward = lambda *args, **options: pytest.fail("the model was not moved")
        return model, config

    def place(model, device="auto", dtype="auto"):
        calls.append((device, dtype))
        del model.forward
        return placed(model, device, dtype)

    monkeypatch.setattr(trained.run_folder, "load_run", load_refusing)
    monkeypatch.setattr(trained, "placed", place)
    return calls


def test_the_runs_of_a_grid_are_scored_in_fp32_on_any_device(run, documents, asked):
    texts = [documents[20][:500]]
    found = arms.read_run(run, "raw", None, texts)
    assert asked == [("auto", "fp32")]
    rounded = arms.read_run(run, "raw", None, texts, device="cpu", dtype="bf16")
    assert asked[1:] == [("cpu", "bf16")]
    if not torch.cuda.is_available():
        exact = arms.read_run(run, "raw", None, texts, device="cpu", dtype="fp32")
        assert found.text_bits.tolist() == exact.text_bits.tolist()  # bit for bit
        assert rounded.text_bits.tolist() != exact.text_bits.tolist()


def test_alignment_and_the_text_of_the_demo_follow_the_machine(run, store, asked):
    assert alignment(run, store)["gradient"] is not None
    assert len(demo._sample(run)) >= len(demo.PROMPT)
    assert asked == [("auto", "fp32"), ("auto", "auto")]


def test_no_bench_opens_a_run_without_placing_its_model():
    modules = Path(demo.__file__).parent.rglob("*.py")
    assert [module.name for module in modules if "load_run" in module.read_text()] == []


def test_commands_hand_on_what_they_are_asked(run, tmp_path, documents, asked, monkeypatch):
    done = CliRunner().invoke(copying.main, [str(run), *BF16], catch_exceptions=False)
    assert done.exit_code == 0
    held_out, record = tmp_path / "held.txt", {"name": run.name, "reads": "raw"}
    held_out.write_bytes(documents[20][:500])
    monkeypatch.setattr(rescore.results, "read", lambda folder: [record])
    monkeypatch.setattr(rescore.tables, "all_of", lambda found: [])
    arguments = [str(run.parent), str(held_out), *BF16]
    done = CliRunner().invoke(rescore.rescore, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert asked == [("cpu", "bf16")] * 2
    done = CliRunner().invoke(rescore.rescore, arguments[:2], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert asked[2:] == [("auto", "fp32")]


def test_generation_places_every_model_of_the_comparison(run, asked, monkeypatch):
    pytest.importorskip("transformers")
    placed_here = []

    def place(model, *where):
        placed_here.append(where)
        return placed(model, *where)

    monkeypatch.setattr(generation, "placed", place)
    monkeypatch.setattr(generation, "NEW_BYTES", 4)
    monkeypatch.setattr(generation, "_prompts", lambda: [bytes([65 + i]) * 5 for i in range(8)])
    done = CliRunner().invoke(generation.main, [str(run), "--rounds", "1", *BF16], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert asked == [("cpu", "bf16")]
    assert placed_here == [("cpu", "bf16")] * 2  # that of transformers, and the one without extra heads
    assert generation._ids([b"ab"], torch.device("meta")).device.type == "meta"


def test_training_is_measured_on_the_device_with_its_attention(store, monkeypatch):
    measured = []

    def answer(function, **asked):
        measured.append((function, asked["device"], asked.get("dtype")))
        return {"symbols_per_second": 1.0, "flops_per_second": 1.0, "product_flops": 1.0}

    monkeypatch.setattr(isolated, "answer", answer)
    arguments = [str(store.path), "--view", "bpe", "--rounds", "1", *BF16, "--json"]
    done = CliRunner().invoke(train_speed.main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert [row["width"] for row in json.loads(done.stdout)] == list(train_speed.WIDTHS)
    assert set(measured) == {("bench.speed.train:step", "cpu", "bf16"), ("bench.speed.train:part", "cpu", None)}
    assert "step, bands" in train_parts.parts_on(torch.device("cpu"))
    assert "step, flex" in train_parts.parts_on(torch.device("cuda"))


class Simple(torch.nn.Module):
    """A model as small as can be, with the call of `transformers`."""

    def __init__(self, config):
        super().__init__()
        self.embedding = torch.nn.Embedding(config.vocab_size, config.vocab_size)

    def forward(self, input_ids):
        return SimpleNamespace(logits=self.embedding(input_ids))


def test_both_ways_to_train_put_their_model_on_the_device(store, monkeypatch):
    transformers = pytest.importorskip("transformers")
    places = []
    monkeypatch.setattr(train_speed, "Trainer", lambda plan, place: places.append((place.device, plan.config.train)))
    config = train_speed._config(128, "fp32", compiled=True)
    for device, attention in (("cpu", "bands"), ("cuda", "flex")):
        train_speed._ours(store, config, torch.device(device))
        assert places[-1][0] == torch.device(device)
        assert places[-1][1].attention == attention
    # That of transformers, and autocast, do not know meta.
    monkeypatch.setattr(transformers, "Qwen3ForCausalLM", Simple)
    monkeypatch.setattr(torch, "autocast", lambda *args, **options: contextlib.nullcontext())
    step = train_speed._plain(store, config, torch.device("meta"))
    step(0)  # a tensor left on the CPU would be refused beside those of meta


@pytest.mark.parametrize("name", ["copying", "generation", "rescore", "train"])
def test_a_wrong_device_is_one_clear_error(name, run, store, tmp_path, documents, monkeypatch):
    held_out = tmp_path / "held.txt"
    held_out.write_bytes(documents[20][:500])
    monkeypatch.setattr(rescore.results, "read", lambda folder: [{"name": run.name, "reads": "raw"}])
    command, arguments = {
        "copying": (copying.main, [run]),
        "generation": (generation.main, [run]),
        "rescore": (rescore.rescore, [run.parent, held_out]),
        "train": (train_speed.main, [store.path, "--view", "bpe"]),
    }[name]
    done = CliRunner().invoke(command, [*map(str, arguments), "--device", "cuda:99"])
    assert isinstance(done.exception, InvalidConfig)
    assert "device 'cuda:99' is not there; expected one of: auto, cpu" in str(done.exception)
    assert "\n" not in str(done.exception)
