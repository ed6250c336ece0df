"""A plain decoder in the shape of Qwen3: RMSNorm, RoPE, QK-norm, SwiGLU, grouped queries, untied embeddings.

Attention stays within a document, and positions restart there. B rows, T positions, D model width, H heads, K head width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
import torch.utils.checkpoint
from torch import Tensor, nn

from proxylm.config import ModelConfig, RunConfig
from proxylm.data.alphabet import Alphabet
from proxylm.model.attention import Mask, attend, document_mask
from proxylm.model.embeddings import Embeddings
from proxylm.model.heads import SlicedHeads
from proxylm.model.kv_cache import Cache, halves
from proxylm.model.selection import Selection

Extend = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # new keys and values (B, H_kv, T, K) -> with all before


class Positions(NamedTuple):
    """Where each of the T positions of B rows is in its document."""

    cos: Tensor  # (B, 1, T, K/2), as `sin`: of the angles that turn queries and keys
    sin: Tensor
    first: Tensor  # (B, 1, T, 1) True where a document begins


class Attention(nn.Module):
    """Causal self-attention under a mask, with QK-norm and rotary positions.

    With `partial_key_offset` (modded-nanogpt's name) a key is half its own and half that of the position before, so that one
    layer finds what followed the same context before: an induction head, for which plain attention needs two (cf. KV shifting,
    arXiv 2411.19574, section 3). The halves are the fast and the slow rotary pairs of each head. Caches give such keys themselves.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        D, self.width = config.d_model, config.d_model // config.n_heads
        self.q = nn.Linear(D, config.n_heads * self.width, bias=False)
        self.k = nn.Linear(D, config.kv_heads * self.width, bias=False)
        self.v = nn.Linear(D, config.kv_heads * self.width, bias=False)
        self.o = nn.Linear(config.n_heads * self.width, D, bias=False)
        self.q_norm, self.k_norm = nn.RMSNorm(self.width, 1e-6), nn.RMSNorm(self.width, 1e-6)
        self.grouped = config.kv_heads != config.n_heads  # several query heads share a key head
        self.partial_key_offset = config.partial_key_offset

    def forward(self, x: Tensor, where: Positions, mask: Mask | None, extend: Extend | None) -> Tensor:
        """(B, T, D) from x (B, T, D). mask: None for causality only. extend: puts keys and values behind those of a cache."""
        B, T, _ = x.shape
        q, k, v = (f(x).view(B, T, -1, self.width).transpose(1, 2) for f in (self.q, self.k, self.v))  # (B, H, T, K)
        # The norms and rotations are in fp32, under autocast too.
        q, k = _rotate(self.q_norm(q.float()), where), _rotate(self.k_norm(k.float()), where)
        if extend is not None:
            k, v = extend(k, v)  # (B, H_kv, all positions, K)
        elif self.partial_key_offset:
            k = _offset(k, where.first)
        y = attend(q, k, v, mask, grouped=self.grouped)  # (B, H, T, K)
        return self.o(y.transpose(1, 2).reshape(B, T, -1))  # type: ignore[no-any-return] # torch is untyped here


class Block(nn.Module):
    """Attention, then SwiGLU, each on a normed copy of the residual stream."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        D = config.d_model
        self.attention_norm, self.mlp_norm = nn.RMSNorm(D, 1e-6), nn.RMSNorm(D, 1e-6)
        self.attention = Attention(config)
        self.gate, self.up = nn.Linear(D, config.ff, bias=False), nn.Linear(D, config.ff, bias=False)
        self.down = nn.Linear(config.ff, D, bias=False)

    def forward(self, x: Tensor, where: Positions, mask: Mask | None, extend: Extend | None) -> Tensor:
        """(B, T, D) from x (B, T, D); the arguments of `Attention.forward`."""
        x = x + self.attention(self.attention_norm(x), where, mask, extend)
        y = self.mlp_norm(x)  # (B, T, D)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))  # type: ignore[no-any-return] # torch is untyped here


class Decoder(nn.Module):
    """ids -> hidden states; `heads` turns those into probabilities."""

    def __init__(self, config: ModelConfig, alphabet: Alphabet, bags: int = 0) -> None:
        """`bags`: bytes in the largest bag that is read at one position (`proxylm.data.bags`), 0 for none."""
        super().__init__()
        self.config, self.alphabet = config, alphabet
        self.mask_of: Callable[[Tensor], Mask] = document_mask  # training may put another kind here
        self.recompute = False  # training may ask to keep only the inputs of the blocks
        self.embedding = Embeddings(config, alphabet, bags)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = nn.RMSNorm(config.d_model, 1e-6)
        # Untied from the embedding.
        self.heads = SlicedHeads(config.d_model, alphabet.comp_size, config.n_ahead)
        # Uniform with variance 1 / inputs, so that a layer keeps the size of what it is given.
        for parameter in (p for p in self.blocks.parameters() if p.ndim == 2):
            nn.init.uniform_(parameter, -((3 / parameter.shape[1]) ** 0.5), (3 / parameter.shape[1]) ** 0.5)
        for name, parameter in self.blocks.named_parameters():
            if name.endswith(("attention.o.weight", "down.weight")):  # residual branches begin as zero
                nn.init.zeros_(parameter)

    @classmethod
    def of(cls, config: RunConfig, alphabet: Alphabet) -> Decoder:
        """The model of a run."""
        return cls(config.model, alphabet, max((spec.bags or 0 for spec in config.mix.specs), default=0))

    def matrices(self) -> Iterable[nn.Parameter]:
        """The hidden weight matrices, which Muon trains."""
        modules = [self.blocks] if self.heads.ahead is None else [self.blocks, self.heads.ahead]
        return (p for module in modules for p in module.parameters() if p.ndim == 2)

    def forward(
        self,
        ids: Tensor,
        doc: Tensor | None = None,
        cache: Cache | None = None,
        bags: Tensor | None = None,
        selection: Selection | None = None,
    ) -> Tensor:
        """(B, T, D) hidden states of ids (B, T).

        doc (B, T): attention and positions stay within equal neighbouring values; None: one document a row.
        cache: what was read before of each row; gets these ids too, but its `lengths` are left to the caller.
        bags (B, T, size): the bytes of each position's target, where it is a bag: read at the next position.
        selection: where bags and merges are read, so that the device need not count them.
        """
        T = ids.shape[1]
        mask: Mask | None
        if cache is not None:
            mask, positions = cache.mask(T), cache.positions(T)
        elif doc is not None:
            mask, positions = self.mask_of(doc), document_positions(doc)
        else:
            mask, positions = None, torch.arange(T, device=ids.device)[None]
        where = self.where(positions)
        x = self.embedding(ids, doc, cache, bags, selection)  # (B, T, D)
        for layer, block in enumerate(self.blocks):
            extend = None if cache is None else partial(cache.extend, layer)
            if self.recompute and torch.is_grad_enabled():
                x = torch.utils.checkpoint.checkpoint(
                    block, x, where, mask, extend, use_reentrant=False, preserve_rng_state=False
                )
            else:
                x = block(x, where, mask, extend)
        return self.norm(x)  # type: ignore[no-any-return] # torch is untyped here

    def where(self, positions: Tensor) -> Positions:
        """Angles of the rotary positions, from positions (B, T), which count from 0 in each document."""
        half = self.config.d_model // self.config.n_heads // 2  # pairs of a head
        frequency = self.config.rope_theta ** (-torch.arange(half, device=positions.device, dtype=torch.float32) / half)
        angle = positions[:, None, :, None].float() * frequency  # (B, 1, T, K/2)
        return Positions(angle.cos(), angle.sin(), (positions == 0)[:, None, :, None])


def _rotate(x: Tensor, where: Positions) -> Tensor:
    """Rotary positions in the half-split layout of Hugging Face (x1, x2) -> (x1 cos - x2 sin, x2 cos + x1 sin)."""
    a, b = x.chunk(2, -1)  # (B, H, T, K/2) each
    return torch.cat([a * where.cos - b * where.sin, b * where.cos + a * where.sin], -1)


def _offset(k: Tensor, first: Tensor) -> Tensor:
    """(B, H, T, K) turned keys; of each the slow pairs are those of the position before, zeros at `first`."""
    # Padding by one in front shifts all keys to the position behind theirs.
    before = F.pad(k[:, :, :-1], (0, 0, 1, 0)).masked_fill(first, 0)
    return torch.cat([halves(k)[0], halves(before)[1]], -1).flatten(-2)


def document_positions(doc: Tensor) -> Tensor:
    """(B, T) positions that restart at 0 with every document."""
    index = torch.arange(doc.shape[1], device=doc.device).expand_as(doc)  # (B, T) place in the row
    begins = torch.ones_like(doc, dtype=torch.bool)  # position 0 begins one in any case
    begins[:, 1:] = doc[:, 1:] != doc[:, :-1]
    # The running maximum is the place at which the document at hand began.
    return index - torch.where(begins, index, 0).cummax(1).values
