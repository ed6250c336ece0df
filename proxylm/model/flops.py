"""What training costs, counted from the shapes that are computed."""

from __future__ import annotations

from collections.abc import Iterable

from proxylm.config import ModelConfig
from proxylm.data.alphabet import RAW_SIZE, HeadSlice


def training_flops(
    config: ModelConfig, row_length: int, rows: int, heads: Iterable[tuple[HeadSlice, int]], n_ahead: int = 0
) -> float:
    """Matrix-product FLOPs of forward and backward (3 x forward, 2 per multiply-add) for `rows` rows.

    row_length: positions of a row. heads: each softmax and the positions with a target of it, so that a head counts only
    where it is used. n_ahead: targets of the extra heads, all together. Attention counts all T x T pairs, as the dense
    mask computes them; bands and FlexAttention (`proxylm.model.attention`) compute fewer, but count alike.
    """
    D, L = config.d_model, config.n_layers
    width = D // config.n_heads
    projections = D * width * 2 * (config.n_heads + config.kv_heads)  # q and o; k and v
    # SwiGLU has 3 matrices; scores and mixing.
    block = projections + 3 * D * config.ff + 2 * row_length * D
    # An extra head: a block, a softmax.
    softmaxes = sum(len(head) * n for head, n in heads) + (D + RAW_SIZE) * n_ahead
    return 6.0 * (rows * row_length * L * block + softmaxes * D)
