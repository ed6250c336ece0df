"""A run that goes wrong is stopped before its weights take the step, and the rows that did it are named."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from compressors.errors import ProxycError
from proxylm.data.loader import Batch

_MEMORY = 50  # steps whose mean a loss is held against; a resumed run begins to remember anew
_FEWEST = 256  # targets of a step below which a loss is mostly chance
_ENOUGH = 4096  # below, more is allowed, by the root of the targets: one row of base64 (511 bytes, 6.2 bits after 1.65) is no leap


class Diverged(ProxycError, FloatingPointError):
    """The loss is no number, or leaps."""


@dataclass
class Watch:
    """Holds every head's loss against its own past: `spike` times the mean of the last steps is a leap (0: never).

    Of fewer than 4,096 targets n, it is the mean and sqrt(4,096 / n) times as much above it, as a mean of fewer rows varies more.
    """

    spike: float
    _past: dict[int, deque[float]] = field(default_factory=lambda: defaultdict(lambda: deque(maxlen=_MEMORY)))

    def look(self, nats: Sequence[float], targets: Sequence[float]) -> str | None:
        """What is wrong with a step; nats and targets (heads,) sums over all processes."""
        for head, (lost, count) in enumerate(zip(nats, targets, strict=True)):
            if not math.isfinite(lost):
                return f"the loss is {lost}"
            if count < _FEWEST:
                continue
            bits, past = lost / count / math.log(2), self._past[head]
            mean = sum(past) / max(len(past), 1)
            leap = mean * (1 + (self.spike - 1) * max(1.0, math.sqrt(_ENOUGH / count)))
            if self.spike and len(past) == _MEMORY and bits > leap:
                return f"the loss is {bits:.2f} bits per symbol, after {mean:.2f} in the {_MEMORY} steps before"
            past.append(bits)
        return None

    def stop(self, what: str, step: int, batch: Batch, first_row: int, row_bits: Sequence[float]) -> None:
        """Raises `Diverged`, with the three worst rows of this process and the documents in them."""
        order = np.argsort([-bits if math.isfinite(bits) else -math.inf for bits in row_bits], kind="stable")[:3]
        rows = "; ".join(
            f"row {first_row + i} ({row_bits[i]:.2f} bits per symbol, documents {', '.join(map(str, batch.documents[i]))})"
            for i in order.tolist()
        )
        raise Diverged(f"step {step}: {what}. Worst: {rows}. Look at these documents, or lower the learning rates")
