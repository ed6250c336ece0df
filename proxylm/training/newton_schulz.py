"""Orthogonal matrices by a Newton-Schulz iteration (K. Jordan et al., 2024), with as few products as its result allows.

Every step multiplies x by p(G) = a + b G + c G^2 of its Gram matrix G = x x^T, from the left. All these factors are polynomials
in the first G: they commute, so that those of several steps are made from the short side only, and multiply x once. And they
are symmetric: half of a product is enough. Neither changes the result but for rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor

_A, _B, _C = 3.4445, -4.7750, 2.0315  # K. Jordan's: steepest at 0, so that five steps suffice
# Steps before the Gram matrix is made again from x. Its rounding makes small eigenvalues negative, and those grow by a^2 = 12 a
# step. Five steps in bfloat16 diverge where singular values fall off; three are nearer to the exact result than plain steps.
_STEPS = 3
# The short side from which half a product saves time on a CPU, one matrix at a time (Zen 4: 0.55 to 0.85 of the time of Muon).
_LARGE = {torch.bfloat16: 512, torch.float32: 256}
_BANDS = 4  # 5/8 of a product; narrower ones are slower


def orthogonal(matrices: Tensor, steps: int = 5, *, bf16: bool = False) -> Tensor:
    """Nearly orthogonal matrices (n, rows, columns) with the singular vectors of `matrices`; singular values in about 0.7-1.2.

    bf16: iterate in bfloat16, as GPUs do in any case. The result has the dtype of `matrices`.
    """
    x = matrices.bfloat16() if bf16 or matrices.is_cuda else matrices
    tall = x.shape[1] > x.shape[2]  # the Gram matrix is taken of the shorter side
    x = x.mT if tall else x
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)  # largest singular value 1 at most
    if x.device.type == "cpu" and x.shape[1] >= _LARGE.get(x.dtype, 256):
        x = torch.stack([_iterated(one, steps) for one in x])
    else:
        x = _iterated(x, steps)
    return (x.mT if tall else x).to(matrices.dtype)


def products(short: int, long: int) -> tuple[int, int]:
    """Multiplications of five steps for a matrix: of plain steps, and by the factors."""
    return short * short * (10 * long + 5 * short), short * short * (4 * long + 14 * short)


def _iterated(x: Tensor, steps: int) -> Tensor:
    """`steps` of the iteration; x (n, short, long), or one large matrix (short, long)."""
    plain, by_factors = products(*x.shape[-2:])
    if plain <= by_factors:
        add = torch.addmm if x.ndim == 2 else torch.baddbmm  # a sum in the product spares a pass over x
        for _ in range(steps):
            x = add(x, _polynomial(_symmetric(x, x.mT)), x, beta=_A)
        return x
    for first in range(0, steps, _STEPS):
        x = _factor(_symmetric(x, x.mT), min(_STEPS, steps - first)) @ x
    return x


def _factor(gram: Tensor, steps: int) -> Tensor:
    """(..., short, short) what x is multiplied by in `steps` steps, from its Gram matrix."""
    factor = None
    for left in reversed(range(steps)):
        p = _polynomial(gram)
        p.diagonal(dim1=-2, dim2=-1).add_(_A)
        factor = p if factor is None else _symmetric(p, factor)
        if left:  # the Gram matrix of p x
            gram = _symmetric(p, _symmetric(gram, p))
    assert factor is not None
    return factor


def _polynomial(gram: Tensor) -> Tensor:
    """b G + c G^2."""
    if gram.ndim == 2:
        return _B * gram + _C * _half(gram, gram)
    return torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C)


def _symmetric(left: Tensor, right: Tensor) -> Tensor:
    """left @ right (..., n, n), which is symmetric: half of it is computed of one large matrix."""
    return _half(left, right) if left.ndim == 2 else left @ right


def _half(left: Tensor, right: Tensor) -> Tensor:
    """left @ right (n, n), which is symmetric: band by band of rows, each up to the diagonal and mirrored."""
    n = len(left)
    size = -(-n // _BANDS)  # rows of a band, rounded up
    product = left.new_empty(n, n)
    for first in range(0, n, size):
        last = min(first + size, n)
        product[first:last, :last] = left[first:last] @ right[:, :last]
        product[:first, first:last] = product[first:last, :first].T
    return product
