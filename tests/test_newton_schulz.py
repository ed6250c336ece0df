"""Muon's iteration with fewer products is the plain one but for rounding, which in bfloat16 it has less of."""

import pytest
import torch

from proxylm.training import newton_schulz
from proxylm.training.newton_schulz import orthogonal


def plain(x, steps=5):
    """The iteration as K. Jordan writes it, in the dtype of x."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = x / x.norm(dim=(1, 2), keepdim=True)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def error(found, exact):
    return float((found.double() - exact).norm() / exact.norm())


def matrices(values, columns):
    """(2, len(values), columns) of these singular values."""
    torch.manual_seed(0)
    rows = len(values)
    left = torch.linalg.qr(torch.randn(2, rows, rows, dtype=torch.float64))[0]
    right = torch.linalg.qr(torch.randn(2, columns, rows, dtype=torch.float64))[0]
    return (left * values) @ right.mT


@pytest.mark.parametrize("steps", [1, 3, 4, 5])
@pytest.mark.parametrize("shape", [(2, 24, 24), (2, 24, 33), (2, 24, 72), (2, 258, 258), (2, 258, 520)])
def test_fewer_products_give_the_same(shape, steps):
    """Square, nearly square and wide; the last two by half products, in bands that do not divide the rows."""
    torch.manual_seed(0)
    x = torch.randn(shape)
    exact = plain(x.double(), steps)
    assert error(orthogonal(x, steps), exact) < 2e-5
    assert error(orthogonal(x.mT, steps).mT, exact) < 2e-5


@pytest.mark.parametrize("fall", ["rank", "power"])
def test_bf16_is_no_farther_from_the_exact_result_than_plain_steps(fall):
    """Where singular values fall off, the Gram matrix has small eigenvalues, which its rounding makes negative."""
    rank = torch.arange(1, 129, dtype=torch.float64)
    values = rank**-2 if fall == "power" else torch.where(rank <= 8, 1.0, 0.0).double()
    x = matrices(values, 384).float()
    exact = plain(x.double())
    assert error(orthogonal(x, bf16=True), exact) < error(plain(x.bfloat16()), exact)


def test_half_a_product_is_all_of_it():
    torch.manual_seed(0)
    x = torch.randn(10, 7)
    torch.testing.assert_close(newton_schulz._half(x, x.T), x @ x.T)
