"""`proxyc doctor --gpu` is tried on the CPU."""

import json

import pytest
import torch
from click.testing import CliRunner

from proxylm.cli.main import proxyc
from proxylm.data.encode import encode
from proxylm.training import gpu_check
from proxylm.training.distributed import Place

QUICK = ["doctor", "--gpu", "--device", "cpu", "--quick"]


@pytest.fixture(autouse=True)
def _no_compiler(monkeypatch):
    """Half a minute for a model of two blocks; tests/test_precision.py compiles."""
    monkeypatch.setattr(torch, "compile", lambda forward, **_: forward)


def test_every_check_is_run_and_written(tmp_path):
    done = CliRunner().invoke(proxyc, [*QUICK, "-o", str(tmp_path / "d.json")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "d.json").read_text())
    assert (found["kind"], found["quick"]) == ("cpu", True)
    assert [check["name"] for check in found["checks"]] == list(gpu_check.CHECKS)
    *equal, speed = found["checks"]
    assert all(check["sound"] for check in equal)
    assert equal[3]["largest_difference"] == 0  # of a resumed run
    assert speed["symbols_per_second"] > 0
    assert speed["share_of_peak"] > 0
    assert speed["loader_share_of_a_step"] > 0
    assert [line[:3] for line in done.stdout.splitlines()] == ["ok "] * 5


MASKS = {
    "one document": lambda doc: torch.ones(doc.shape[1], doc.shape[1]).tril().bool().expand(len(doc), 1, -1, -1),
    "not causal": lambda doc: (doc[:, :, None] == doc[:, None, :])[:, None],
    "only itself": lambda doc: torch.eye(doc.shape[1]).bool().expand(len(doc), 1, -1, -1),
}


@pytest.mark.filterwarnings("ignore:train.dtype is bf16")
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("check", ["compiled", "bf16"])
def test_a_model_that_is_wrong_is_noticed(tmp_path, monkeypatch, mask, check):
    class Wrong(gpu_check.Trainer):
        def __init__(self, plan, place):
            super().__init__(plan, place)
            if plan.config.train.compile or plan.config.train.dtype == "bf16":
                self.model.mask_of = MASKS[mask]

    store = encode(gpu_check._documents(20), tmp_path / "store", {})
    bench = gpu_check.Bench(Place(torch.device("cpu")), store, tmp_path, True)
    assert gpu_check.CHECKS[check](bench)["sound"]
    monkeypatch.setattr(gpu_check, "Trainer", Wrong)
    assert not gpu_check.CHECKS[check](bench)["sound"]


def test_what_fails_or_is_late_is_a_finding(monkeypatch):
    def broken(bench):
        raise RuntimeError("no kernel\nimage")

    monkeypatch.setattr(
        gpu_check, "CHECKS", {"broken": broken, "wrong": lambda bench: gpu_check._alike([1.0], [1.1], 0.01)}
    )
    done = CliRunner().invoke(proxyc, [*QUICK, "--json"])
    assert done.exit_code == 1
    assert str(done.exception) == "2 checks failed: broken, wrong"
    assert json.loads(done.stdout)["checks"][0]["error"] == "RuntimeError: no kernel image"
    monkeypatch.setattr(gpu_check, "BUDGET", -1.0)
    late = CliRunner().invoke(proxyc, [*QUICK, "--json"])
    assert late.exit_code == 0
    assert all("have passed" in check["skipped"] for check in json.loads(late.stdout)["checks"])


def test_flags_of_the_device_need_gpu_and_a_device_that_is_there():
    done = CliRunner().invoke(proxyc, ["doctor", "--quick"])
    assert (done.exit_code, "need --gpu" in done.output) == (2, True)
    done = CliRunner().invoke(proxyc, ["doctor", "--gpu", "--device", "cuda:7"])
    assert "device 'cuda:7' is not there" in str(done.exception)
