"""Heads sliced by mode, and a cross-entropy that never holds (tokens x vocabulary).

At raw positions the softmax runs over specials + bytes, at comp positions over specials + symbols: no probability leaks
between the views, and the work of the large head is spent only where it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from proxylm.data.alphabet import BYTE_OFFSET, COMP_OFFSET, RAW_SIZE, RAW_SLICE, HeadSlice
from proxylm.model.multi_token import Ahead, predicts
from proxylm.model.selection import Selection, of_mask

# Logits held at once. On CPUs 2^22 fp32 numbers, 16 MB: they stay near the cache, and the matrix products stay large. A GPU
# needs thousands of rows for a product: 2^27 are 512 MB, and 4,096 rows of a vocabulary of 32,768.
CHUNK_LOGITS = {"cpu": 1 << 22}
_CHUNK_LOGITS_ON_GPUS = 1 << 27


class SlicedHeads(nn.Module):
    """Two heads that share the rows of the specials: `raw` (320, d) and `comp` (comp_size, d); extra ones use `raw`, too."""

    def __init__(self, d_model: int, comp_size: int, n_ahead: int = 0) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.empty(RAW_SIZE, d_model))
        self.comp = nn.Parameter(torch.empty(comp_size, d_model)) if comp_size else None
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.001)  # near-uniform predictions at first
        self.ahead = Ahead(d_model, n_ahead) if n_ahead else None

    def raw_logits(self, hidden: Tensor) -> Tensor:
        """(..., 320) logits over specials and bytes."""
        return F.linear(hidden, self.raw)

    def guesses(self, hidden: Tensor, n: int | None = None) -> Tensor:
        """(..., n) ids of the likeliest bytes after the next one, of the first `n` extra heads, or of all; hidden (..., d)."""
        assert self.ahead is not None
        return self.raw_logits(self.ahead(hidden, n))[..., BYTE_OFFSET:].argmax(-1) + BYTE_OFFSET

    def nats(
        self,
        hidden: Tensor,
        targets: Tensor,
        mode: Tensor,
        slices: Sequence[HeadSlice],
        bags: Tensor | None = None,
        doc: Tensor | None = None,
        selection: Selection | None = None,
    ) -> Tensor:
        """(len(slices) + n_ahead,) summed -ln p of the scored targets, each under the softmax of its mode; of the extra heads.

        hidden (B, T, d); targets (B, T) ids, -1 = not scored; mode (B, T) place in `slices`. bags (B, T, size): bytes of the
        targets that are bags, -1 = none: these count the mean over their bytes. doc (B, T): segments; without it the extra
        heads are left out. selection: the positions of each; without it the device counts them.
        """
        totals, flat, ids = [], hidden.flatten(0, 1), targets.flatten()
        for number, head in enumerate(slices):
            # (N,) what is scored under this softmax.
            here = of_mask((targets >= 0) & (mode == number)) if selection is None else selection.heads[number]
            wanted = _in_slice(ids[here], head)  # (N,)
            if bags is not None and head == RAW_SLICE:
                wanted = _of_bags(wanted, bags.flatten(0, 1)[here])
            totals.append(linear_cross_entropy(flat[here], wanted, *self._weights(head)))
        if self.ahead is not None and doc is not None:
            if selection is None:
                ahead = [predicts(targets, doc, mode, i) for i in range(1, len(self.ahead.blocks) + 1)]  # (B, T - i)
                places = [of_mask(F.pad(here, (0, i))) for i, here in enumerate(ahead, 1)]
            else:
                places = list(selection.ahead)
            totals += [linear_cross_entropy(x, t, self.raw) for x, t in self.ahead.examples(hidden, targets, places)]
        return torch.stack(totals)

    @torch.no_grad()
    def token_nats(self, hidden: Tensor, targets: Tensor, head: HeadSlice) -> Tensor:
        """(N,) -ln p of each target under one softmax; hidden (N, d), targets (N,) ids."""
        weights, targets = self._weights(head), _in_slice(targets, head)
        rows = _rows(len(head), hidden.device)
        parts = [
            F.cross_entropy(torch.cat([x @ w.T for w in weights], 1).float(), t, reduction="none")
            for x, t in zip(hidden.split(rows), targets.split(rows), strict=True)
        ]
        return torch.cat(parts)

    def _weights(self, head: HeadSlice) -> list[Tensor]:
        """(V_i, d) the rows of one softmax, as one or two slices: to put them together would copy them."""
        common = self.raw[: head.common]
        return [common] if self.comp is None or head.first == head.last else [common, self.comp[head.first : head.last]]


def _rows(vocabulary: int, device: torch.device) -> int:
    """Tokens at a time."""
    return max(1, CHUNK_LOGITS.get(device.type, _CHUNK_LOGITS_ON_GPUS) // vocabulary)


def _of_bags(targets: Tensor, bags: Tensor) -> Tensor:
    """(N, size) ids of the bytes in each bag, -1 behind the last; of other targets the id itself and -1."""
    ids = torch.where(bags >= 0, bags.long() + BYTE_OFFSET, -1)
    ids[:, 0] = torch.where(bags[:, 0] >= 0, ids[:, 0], targets)
    return ids


def _in_slice(ids: Tensor, head: HeadSlice) -> Tensor:
    """Ids as places in one softmax."""
    return torch.where(ids < head.common, ids, ids - (COMP_OFFSET + head.first - head.common))


def linear_cross_entropy(x: Tensor, targets: Tensor, *weights: Tensor) -> Tensor:
    """Sum over the tokens of -ln softmax(x @ concat(weights).T)[target]; x (N, d), weights (V_i, d).

    targets (N,), or (N, size) with -1 behind the last of each: then the mean over them.
    """
    total: Tensor = _LinearCrossEntropy.apply(x, targets if targets.ndim == 2 else targets[:, None], *weights)
    return total


class _LinearCrossEntropy(torch.autograd.Function):
    """Computes the gradients chunk by chunk in the forward pass, so that neither pass keeps logits."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, targets: Tensor, *weights: Tensor) -> Tensor:
        """() the sum; x (N, d), targets (N, size), weights (V_i, d)."""
        needed = any(ctx.needs_input_grad)
        sizes = [len(w) for w in weights]
        d_x = torch.zeros_like(x) if needed else None
        d_weights = [torch.zeros_like(w) for w in weights] if needed else []
        if torch.is_autocast_enabled(x.device.type):  # products in bf16; sums, and the softmax, in fp32
            x, *weights = (t.to(torch.get_autocast_dtype(x.device.type)) for t in (x, *weights))  # type: ignore[assignment] # a list again
        total = x.new_zeros((), dtype=torch.float32)
        rows = _rows(sum(sizes), x.device)
        # The gradient of a chunk is made while its logits are at hand.
        for first in range(0, len(x), rows):
            here = slice(first, first + rows)
            part, target = x[here], targets[here]
            logits = torch.empty(len(part), sum(sizes), device=x.device)  # (n, V) fp32
            for w, column in zip(weights, logits.split(sizes, 1), strict=True):
                column.copy_(part @ w.T)  # (n, V_i)
            log_z = torch.logsumexp(logits, 1, keepdim=True)  # (n, 1)
            # (n, size) 1 / ids of the target.
            share = (target >= 0) / (target >= 0).sum(1, keepdim=True)
            target = target.clamp(min=0)  # where the share is 0
            total -= ((logits.gather(1, target) - log_z) * share).sum()
            if d_x is not None:
                # The gradient is softmax - target; it is made in place of the logits.
                d_logits = logits.sub_(log_z).exp_().scatter_add_(1, target, -share)
                for w, d_w, d_part in zip(weights, d_weights, d_logits.to(x.dtype).split(sizes, 1), strict=True):
                    d_x[here] += d_part @ w
                    d_w += d_part.T @ part
        ctx.gradients = (d_x, None, *d_weights)
        return total

    @staticmethod
    def backward(ctx: Any, d_total: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients are those of the sum; d_total () scales them."""
        return tuple(g if g is None else g * d_total for g in ctx.gradients)
