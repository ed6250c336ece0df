"""Muon is that of torch, weight decay included; every parameter is in one named group."""

import pytest
import torch

from proxylm.config import ModelConfig, TrainConfig
from proxylm.data.alphabet import Alphabet
from proxylm.model.decoder import Decoder
from proxylm.training import optim

SHAPES = [(24, 24), (24, 24), (48, 16), (16, 48)]


def trained(make, steps=4):
    """Matrices after some steps with the same gradients."""
    torch.manual_seed(0)
    matrices = [torch.nn.Parameter(torch.randn(shape)) for shape in SHAPES]
    optimizer = make(matrices)
    for _ in range(steps):
        for matrix in matrices:
            matrix.grad = torch.randn(matrix.shape)
        optimizer.step()
    return matrices


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_muon_is_that_of_torch(monkeypatch, decay):
    """The iteration of torch is in bfloat16 only: ours takes its place, and the rest is compared in fp32."""
    muon = pytest.importorskip("torch.optim._muon", reason="torch has Muon from 2.9 on")
    in_bf16 = trained(lambda p: torch.optim.Muon(p, lr=0.02, weight_decay=decay))
    ours_in_bf16 = trained(lambda p: optim.Muon(p, 0.02, weight_decay=decay, bf16=True))
    monkeypatch.setattr(muon, "_zeropower_via_newtonschulz", lambda grad, *_: optim.orthogonal(grad[None])[0])
    theirs = trained(lambda p: torch.optim.Muon(p, lr=0.02, weight_decay=decay))
    ours = trained(lambda p: optim.Muon(p, 0.02, weight_decay=decay))
    for ours_one, theirs_one in zip(ours, theirs, strict=True):
        torch.testing.assert_close(ours_one, theirs_one, rtol=1e-6, atol=1e-6)
    for ours_one, theirs_one in zip(ours_in_bf16, in_bf16, strict=True):
        assert (ours_one - theirs_one).norm() < 2e-3 * theirs_one.norm()


def test_decay_pulls_matrices_and_embeddings_but_no_gain():
    """With gradients of zero only the decay moves a weight: by its rate."""
    shape = ModelConfig(d_model=16, n_layers=1, n_heads=2, hash_ngrams=2, ngram_rows=8)
    torch.manual_seed(0)
    model = Decoder(shape, Alphabet({}, {}), bags=4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.rand_like(parameter) + 1)
            parameter.grad = torch.zeros_like(parameter)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizers = optim.make_optimizers(model, TrainConfig(steps=1, weight_decay=0.5, adamw_weight_decay=0.25))
    names = [group["name"] for optimizer in optimizers for group in optimizer.param_groups]
    assert names == ["matrices", "heads", "embeddings", "gains", "ngrams"]
    for optimizer in optimizers:
        optimizer.step()
    rates = {"embedding.weight": 0.1 * 0.25, "embedding.ngrams.table": 0.02 * 0.25, "heads.raw": 0.005 * 0.25}
    for name, parameter in model.named_parameters():
        matrix = name.startswith("blocks") and parameter.ndim == 2
        torch.testing.assert_close(
            parameter.detach(), before[name] * (1 - (0.02 * 0.5 if matrix else rates.get(name, 0.0)))
        )
