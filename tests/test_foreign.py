"""A model, optimizers and a schedule from Python in place of ours."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import proxylm
from compressors.corpus import Document
from compressors.errors import InvalidConfig
from proxylm import RunConfig, evaluate, generate, open_run, train
from proxylm.config import TrainConfig
from proxylm.data.encode import encode
from proxylm.model.heads import SlicedHeads
from proxylm.training.checkpoint import latest
from proxylm.training.run_log import records


class Gru(nn.Module):
    """A recurrent model over the ids; each row is one document here."""

    def __init__(self, config, alphabet):
        super().__init__()
        self.embedding = nn.Embedding(alphabet.size, 24)
        self.gru = nn.GRU(24, 24, batch_first=True)
        self.heads = SlicedHeads(24, alphabet.comp_size)

    def forward(self, ids, doc=None, cache=None, bags=None):
        return self.gru(self.embedding(ids))[0]


def sgd(model, settings):
    return [torch.optim.SGD(model.parameters(), lr=settings.matrix_lr, momentum=0.9)]


def halved(progress):
    return 1.0 if progress < 0.5 else 0.5


@pytest.fixture(scope="module")
def store(tmp_path_factory, documents):
    path = tmp_path_factory.mktemp("foreign") / "s"
    return encode([Document(str(i), d[:2000]) for i, d in enumerate(documents[:20])], path, {})


def config(**options):
    return RunConfig(train=TrainConfig(**{"steps": 4, "rows": 2, "row_length": 32, "checkpoint_every": 2} | options))


OWN = {"model": Gru, "optimizers": sgd, "schedule": halved}


def test_own_parts_are_trained_resumed_opened_and_scored(store, tmp_path):
    trained = train(store, config(), tmp_path / "r", **OWN)
    log = records(tmp_path / "r")
    assert [record["learning_rate"]["0"] for record in log] == [0.02, 0.02, 0.01, 0.01]
    assert [record["flops"] for record in log] == [0.0] * 4  # nobody can count them
    assert json.loads((tmp_path / "r/run.json").read_text())["foreign"] == {
        "model": f"{__name__}.Gru", "optimizers": f"{__name__}.sgd", "schedule": f"{__name__}.halved",
    }  # fmt: skip
    shutil.copytree(tmp_path / "r", tmp_path / "cut")
    shutil.rmtree(latest(tmp_path / "cut"))
    train(store, config(), tmp_path / "cut", **OWN)
    for file in ("model", "optimizer"):
        one, two = (load_file(latest(tmp_path / run) / f"{file}.safetensors") for run in ("r", "cut"))
        assert all(one[name].equal(two[name]) for name in one)
    assert 0 < evaluate(trained, [b"def f(x):\n"]).bits_per_byte < 16
    assert isinstance(open_run(tmp_path / "r", model=Gru).model, Gru)
    with pytest.raises(InvalidConfig, match="a model that is not a Decoder"):
        generate(trained, ["def"])


@pytest.mark.parametrize(("part", "said"), [
    ("model", "give `train` the same model"), ("optimizers", "is not a Decoder, and our optimizers are for one; give optimizers, too"),
    ("schedule", r"another foreign\.schedule .*give `train` the same model, optimizers"),
])  # fmt: skip
def test_a_resume_without_them_is_refused(store, tmp_path, part, said):
    train(store, config(), tmp_path / "r", **OWN)
    rest = {name: given for name, given in OWN.items() if name != part}
    with pytest.raises(InvalidConfig, match=said):
        train(store, config(), tmp_path / "r", **rest)


def test_a_run_with_another_model_is_not_opened_as_ours(store, tmp_path):
    train(store, config(), tmp_path / "r", model=Gru, optimizers=sgd)
    with pytest.raises(
        InvalidConfig, match=r"trained with the model \S+Gru, not that of its settings; open it from Python"
    ):
        open_run(tmp_path / "r")
    train(store, config(), tmp_path / "ours")
    with pytest.raises(InvalidConfig, match=r"trained with the model of its settings, not \S+Gru"):
        open_run(tmp_path / "ours", model=Gru)


def test_a_run_from_before_there_were_foreign_parts_resumes(store, tmp_path):
    train(store, config(), tmp_path / "r")
    facts = json.loads((tmp_path / "r/run.json").read_text())
    assert facts.pop("foreign") == {"model": None, "optimizers": None, "schedule": None}
    (tmp_path / "r/run.json").write_text(json.dumps(facts))
    proxylm.train(store, config(), tmp_path / "r")


def test_what_does_not_work_with_another_model_is_said(store, tmp_path):
    with pytest.raises(InvalidConfig, match=r"train\.flops is set, and the FLOPs of a model from Python are not known"):
        train(store, config(steps=None, flops=1e9), tmp_path / "r", model=Gru, optimizers=sgd)
    with pytest.raises(InvalidConfig, match=r"is not a Decoder; train.shard and train.compile work on its blocks"):
        train(store, config(compile=True), tmp_path / "r", model=Gru, optimizers=sgd)
    assert not (tmp_path / "r").exists()
