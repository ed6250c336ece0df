"""What the rows of a step sum up to, in one process or in all of them, and what the log says of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from proxylm.config import RunConfig
from proxylm.data.alphabet import HeadSlice
from proxylm.data.batch import Batch, Shares
from proxylm.model import multi_token
from proxylm.model.flops import training_flops


@dataclass
class StepSums:
    """Sums over rows."""

    stop: int
    """Processes that a signal has reached."""
    checksum: int
    """Of the rows."""
    shares: Shares
    """What was shown."""
    targets: list[int]
    """(heads,) positions that each softmax predicts."""
    ahead: list[int]
    """(n_ahead,) targets of each extra head."""

    @classmethod
    def of(cls, batch: Batch, n_heads: int, n_ahead: int, stop: bool) -> StepSums:
        """Those of the rows of one process."""
        # (heads,)
        targets = np.bincount(batch.mode[batch.targets >= 0], minlength=n_heads).tolist()
        ahead = multi_token.counts(batch.targets, batch.doc, batch.mode, n_ahead)
        return cls(int(stop), batch.checksum, batch.shares, targets, ahead)

    def to_tensor(self) -> Tensor:
        """As float64, which is exact up to 2^53: to be added up over the processes."""
        shown = [number for counts in _counts(self.shares) for number in counts.values()]
        return torch.tensor([self.stop, self.checksum, *shown, *self.targets, *self.ahead], dtype=torch.float64)

    @classmethod
    def from_tensor(cls, values: Tensor, n_heads: int) -> StepSums:
        """The inverse of `to_tensor`."""
        numbers = iter(values.tolist())
        stop, checksum, shares = int(next(numbers)), int(next(numbers)), Shares()
        for counts in _counts(shares):
            for name in counts:
                counts[name] = next(numbers)
        scored = list(map(int, numbers))
        return cls(stop, checksum, shares, scored[:n_heads], scored[n_heads:])

    def record(
        self,
        config: RunConfig,
        heads: Sequence[HeadSlice],
        step: int,
        nats: Sequence[float],
        seconds: float,
        *,
        counts_flops: bool = True,
    ) -> dict[str, Any]:
        """What the log says of a step: losses in bits per symbol, what was shown, what it cost.

        nats (heads + n_ahead,): summed losses. counts_flops: whether those of the configuration are those of the model; else 0.
        """
        n_heads = len(heads)
        bits = [n / math.log(2) for n in nats]  # (heads + n_ahead,)
        n_raw, n_comp = self.targets[0], sum(self.targets[1:])  # head 0 is that of the bytes
        ahead = zip(bits[n_heads:], self.ahead, strict=True)
        flops = training_flops(
            config.model,
            config.train.row_length,
            config.train.rows,
            zip(heads, self.targets, strict=True),
            sum(self.ahead),
        )
        return {
            "step": step,
            "loss": sum(bits[:n_heads]) / (n_raw + n_comp),
            "raw_bits_per_symbol": bits[0] / n_raw if n_raw else None,
            "comp_bits_per_symbol": sum(bits[1:n_heads]) / n_comp if n_comp else None,
            "ahead_bits_per_symbol": {i: b / n for i, (b, n) in enumerate(ahead, 1) if n},
            "documents": self.shares.documents,
            "symbols": self.shares.symbols,
            "bytes": self.shares.n_bytes,
            "flops": flops if counts_flops else 0.0,
            "dtype": config.train.dtype,
            "rows_checksum": self.checksum,
            "seconds": seconds,
            "symbols_per_second": sum(self.shares.symbols.values()) / seconds,
            "bytes_per_second": sum(self.shares.n_bytes.values()) / seconds,
        }


def _counts(shares: Shares) -> tuple[dict[str, Any], ...]:
    """The counters in the order of `to_tensor`."""
    return shares.documents, shares.symbols, shares.n_bytes
