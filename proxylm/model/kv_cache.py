"""Keys and values (and ids) of what has been read: allocated once, with one length for each row of a batch.

Rows need no padding in front. Shorter texts are padded behind, where the mask hides what was written for the padding until
the next ids are written over it. What has been read is forgotten by making `lengths` smaller.

With `partial_key_offset` the slow pairs of a key are written one place further on, to be read there: so nothing is moved later.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from proxylm.config import ModelConfig


class Cache:
    """Room for `rows` texts of up to `positions` ids; `lengths` says how many of each have been read."""

    def __init__(self, config: ModelConfig, rows: int, positions: int, like: Tensor) -> None:
        """`like`: a tensor whose dtype and device the keys and values get."""
        # One place more than ids, for shifted keys.
        shape = config.n_layers, rows, config.kv_heads, positions + 1, config.d_model // config.n_heads
        self.keys, self.values = like.new_zeros(shape), like.new_zeros(shape)  # (L, B, H_kv, positions + 1, K)
        self.partial_key_offset = config.partial_key_offset
        # What was read: n-grams look back.
        self.ids = torch.zeros(rows, positions, dtype=torch.int64, device=like.device)
        self.lengths = [0] * rows
        self._placed: tuple[tuple[int, ...], Tensor] | None = None  # what `_places` made, and of what

    def positions(self, T: int) -> Tensor:
        """(B, T) positions of the next T ids of every row."""
        lengths = torch.tensor(self.lengths, device=self.keys.device)
        return lengths[:, None] + torch.arange(T, device=self.keys.device)

    def mask(self, T: int) -> Tensor | None:
        """(B, 1, T, longest + T) True where the next ids may look; None where that is plain causality, or everything."""
        if not any(self.lengths) or (T == 1 and len(set(self.lengths)) == 1):
            return None
        keys = torch.arange(max(self.lengths) + T, device=self.keys.device)  # (longest + T,)
        return (keys <= self.positions(T)[:, :, None])[:, None]

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Write k and v (B, H_kv, T, K) behind what each row has; all keys, offset if the model has it so, and values.

        `lengths` stay: they grow once all layers have been through.
        """
        # end: of what the longest row will hold.
        keys, values, end = self.keys[layer], self.values[layer], max(self.lengths) + k.shape[2]
        if self.partial_key_offset:
            # Fast pairs stay at their position, slow ones go to the next.
            for part, shift in enumerate((0, 1)):
                self._write(keys, k, shift, part)
        else:
            self._write(keys, k)
        self._write(values, v)
        return keys[:, :, :end], values[:, :, :end]

    def _write(self, cached: Tensor, new: Tensor, shift: int = 0, part: int | None = None) -> None:
        """Copy new (B, H_kv, T, K) into cached (B, H_kv, positions + 1, K), `shift` places behind what each row has.

        part: only one of the `halves` of both.
        """
        T, first = new.shape[2], self.lengths[0] + shift
        if len(set(self.lengths)) == 1:
            cached = cached[:, :, first : first + T]  # one copy where all rows are equally long
            cached, new = (cached, new) if part is None else (halves(cached)[part], halves(new)[part])
            cached.copy_(new)
        else:
            cached, new = cached.view(-1, cached.shape[-1]), new.flatten(0, 2)
            cached, new = (cached, new) if part is None else (halves(cached)[part], halves(new)[part])
            cached.index_copy_(0, self._places(T) + shift if shift else self._places(T), new)

    def _places(self, T: int) -> Tensor:
        """(B * H_kv * T,) where the next T positions are in the flattened rows, heads and positions of a layer."""
        key = (T, *self.lengths)
        if self._placed is None or self._placed[0] != key:
            _, B, H, P, _ = self.keys.shape
            first = torch.arange(B * H, device=self.keys.device).view(B, H, 1) * P  # of each row and head
            self._placed = key, (first + self.positions(T)[:, None]).flatten()
        return self._placed[1]

    def read(self, ids: Tensor, n: int) -> Tensor:
        """(B, n) the ids read just before these (B, T), 0 for none; these are remembered too."""
        rows = torch.arange(len(self.lengths), device=ids.device)[:, None]
        self.ids[rows, self.positions(ids.shape[1])] = ids
        # (B, n) places of the ids before; negative in front of the text.
        back = self.positions(n) - n
        return torch.where(back >= 0, self.ids[rows, back.clamp(min=0)], 0)

    def put(self, rows: Sequence[int], other: Cache) -> None:
        """Replace some rows by those of another cache."""
        where, n = torch.tensor(rows, device=self.keys.device), max(other.lengths) + 1
        self.keys[:, where, :, :n] = other.keys[:, :, :, :n]
        self.values[:, where, :, :n] = other.values[:, :, :, :n]
        self.ids[where, : n - 1] = other.ids[:, : n - 1]
        for row, length in zip(rows, other.lengths, strict=True):
            self.lengths[row] = length

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all other rows."""
        where = torch.tensor(rows, device=self.keys.device, dtype=torch.int64)
        # `index_select` gives contiguous tensors, which `_write` needs.
        self.keys, self.values = self.keys.index_select(1, where), self.values.index_select(1, where)
        self.ids = self.ids[where]
        self.lengths = [self.lengths[row] for row in rows]


def halves(k: Tensor) -> tuple[Tensor, Tensor]:
    """(..., 2, K/4) views of keys (..., K): their fast rotary pairs, and their slow ones, which come last in both parts of a pair."""
    pairs = k.unflatten(-1, (2, -1))  # (..., 2, K/2): the two parts of each pair
    fast = (pairs.shape[-1] + 1) // 2  # frequencies fall along the pairs, so the first half is fast
    return pairs[..., :fast], pairs[..., fast:]
