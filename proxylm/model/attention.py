"""Attention under a document mask: dense through SDPA, or as blocks through FlexAttention (arXiv 2412.05496).

The dense mask is (B, 1, T, T), and all its pairs are computed. A block mask says for each block of 128 queries which blocks
of 128 keys it sees: those of other documents, and later ones, are skipped. What it needs (torch 2.13):

    GPU   `train.compile`, which makes the kernel; without it all T x T scores are held, and nothing is skipped
    CPU   forward passes only, compiled or not: torch has no backward for it, so runs are refused

Bands are for training on CPUs: eight softmaxes, each over the keys up to the end of its queries, which `train.compile` fuses.
B rows, T positions, H heads, K head width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from compressors.errors import InvalidConfig

BLOCK = 128  # what the kernels of FlexAttention are made for
# Scores up to this need no shift: the sum of 512 exp(64) is 3e30, and fp32 and bf16 hold 3e38. exp(-87) is the least they hold,
# so a row comes to nothing only if its largest score lies 151 below its bound.
SAFE = 64.0
BANDS = 8  # 56 % of all pairs; many more make compiling long

Mask = Tensor | BlockMask | tuple[Tensor, ...]


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Mask | None, *, grouped: bool) -> Tensor:
    """(B, H, T, K) from q (B, H, T, K) and k, v (B, H or fewer, T_k, K). None: causal; everything if T is 1."""
    if isinstance(mask, BlockMask):
        # Autocast leaves the normed q and k in fp32, and FlexAttention wants one dtype; SDPA casts on its own.
        y = flex_attention(q.to(v.dtype), k.to(v.dtype), v, block_mask=mask, enable_gqa=grouped)
        assert isinstance(y, Tensor)
        return y
    if isinstance(mask, tuple):
        return _in_bands(q, k, v, mask)
    if grouped and mask is not None and q.device.type != "cpu":
        # No fused kernel of SDPA takes both a mask and grouped heads: it would hold all scores in fp32.
        groups = q.shape[1] // k.shape[1]
        k, v, grouped = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1), False
    causal = mask is None and q.shape[2] > 1  # one query behind a cache sees all keys
    return F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal, enable_gqa=grouped)


def document_mask(doc: Tensor) -> Tensor:
    """(B, 1, T, T) True where a query (second last axis) may see a key: same document, not later."""
    T = doc.shape[1]
    causal = torch.ones(T, T, dtype=torch.bool, device=doc.device).tril()
    return ((doc[:, :, None] == doc[:, None, :]) & causal)[:, None]


def document_bands(doc: Tensor) -> tuple[Tensor, ...]:
    """The same for one band of queries after the other, each with the keys up to its own end."""
    mask, T = document_mask(doc), doc.shape[1]
    size = -(-T // BANDS)  # queries of a band, rounded up
    return tuple(mask[:, :, first : first + size, : first + size] for first in range(0, T, size))


def _in_bands(q: Tensor, k: Tensor, v: Tensor, masks: tuple[Tensor, ...]) -> Tensor:
    """SDPA band by band; exponentials and their sums are in fp32, the products are in the dtype of v.

    Scores are not searched for their largest: no score exceeds |q| max |k|, and queries and keys are normed, so this bound is
    small. The sum divides the output, not the T x T weights. Both spare passes over the scores: at d = 128 in bf16 a
    training step takes 0.86 of the time (Zen 4, one thread).
    """
    # Query heads of a key head; queries of a band.
    groups, size = q.shape[1] // k.shape[1], masks[0].shape[2]
    q = q * q.shape[-1] ** -0.5
    bound = q.float().norm(dim=-1, keepdim=True) * k.float().norm(dim=-1).amax(-1)[..., None, None].repeat_interleave(
        groups, 1
    )
    above = (bound.detach() - SAFE).clamp(
        min=0
    )  # (B, H, T, 1) what is taken from the scores; it leaves the softmax as it is
    q, k, v = q.to(v.dtype), k.to(v.dtype).repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
    bands = []
    for band, mask in enumerate(masks):
        first, last = band * size, mask.shape[3]  # its queries; keys up to its end
        scores = (q[:, :, first:last] @ k[:, :, :last].mT).float() - above[:, :, first:last]  # (B, H, queries, keys)
        weights = torch.where(mask, scores.exp(), 0.0)
        sums = weights.sum(-1, keepdim=True)  # (B, H, queries, 1), over 0: every query sees itself
        bands.append(((weights.to(v.dtype) @ v[:, :, :last]).float() / sums).to(v.dtype))  # (B, H, queries, K)
    return torch.cat(bands, 2)


def document_blocks(doc: Tensor) -> BlockMask:
    """The same as blocks; doc (B, T), each document in one stretch.

    Made only from the ends of the blocks, where `create_block_mask` evaluates all T x T pairs.
    """
    T, n = doc.shape[1], -(-doc.shape[1] // BLOCK)
    # (B, n) the document at the first and at the last position of each block; the last block may be shorter.
    first, last = doc[:, ::BLOCK], torch.cat([doc[:, BLOCK - 1 :: BLOCK], doc[:, -1:]], 1)[:, :n]
    square = torch.ones(n, n, dtype=torch.bool, device=doc.device)  # query blocks x key blocks
    touched = square.tril(-1) & (first[:, :, None] == last[:, None, :])  # below the diagonal
    whole = touched & (last[:, :, None] == first[:, None, :])  # one document from the first key to the last query
    partly = touched & ~whole | square.tril() & square.triu()  # and the diagonal, for causality

    def sees(b: Tensor, h: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (doc[b, query] == doc[b, key]) & (query >= key)

    return BlockMask.from_kv_blocks(
        *_listed(partly), *_listed(whole), BLOCK_SIZE=BLOCK, mask_mod=sees, seq_lengths=(T, T)
    )


def _listed(blocks: Tensor) -> tuple[Tensor, Tensor]:
    """(B, 1, n) how many key blocks each query block has, and (B, 1, n, n) which: those first."""
    ones = blocks[:, None].int()  # (B, 1, n, n)
    # Sorting ones before zeros, stably, lists the blocks that are seen in their order.
    return ones.sum(-1, dtype=torch.int32), ones.argsort(dim=-1, descending=True, stable=True).int()


def mask_maker(attention: str, device: torch.device) -> Callable[[Tensor], Mask]:
    """What makes a mask of `doc` in a training run. Raises `InvalidConfig` where that cannot be trained with."""
    if attention == "flex" and device.type == "cpu":
        raise InvalidConfig("train.attention is flex, which torch trains on GPUs only; use bands or sdpa on a CPU")
    makers: dict[str, Callable[[Tensor], Mask]] = {
        "sdpa": document_mask,
        "bands": document_bands,
        "flex": document_blocks,
    }
    return makers[attention]
