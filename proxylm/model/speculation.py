"""How many guesses of the extra heads a pass of generation reads: as many as pay, by those that were right so far.

What is decided depends only on the texts, their number and the kind of device, never on a clock: so the same prompts and seed take
the same passes, and give the same text to the last bit of rounding.
"""

from __future__ import annotations

import torch

# What a pass costs beside its guesses, where a guess of one row costs 1: so much, and so much for each row. On CPUs this fits
# models of width 128 and 384 with 1 to 32 rows (`proxyc bench generation`; one thread of Zen 4).
_PASS, _ROW = {"cpu": 19.0}, 2.0
# A GPU reads all weights for each pass: that takes as long as the products of some hundred positions.
_PASS_ON_GPUS = 300.0
_EVERY = 64  # passes: then all guesses are read once, to see whether they have become better
_KEPT = 256  # observations of a guess; then all count half, so that the newest text counts most


class Speculation:
    """Counts of how often each guess was right, for the rows that are read side by side."""

    def __init__(self, n_ahead: int, device: torch.device) -> None:
        self._pass = _PASS.get(device.type, _PASS_ON_GPUS)
        # Of each guess, when all before it were right. At first, 3 of 4: all are tried before any is given up.
        self._right, self._tried = [3.0] * n_ahead, [4.0] * n_ahead
        self._passes = 0

    def n_guesses(self, rows: int) -> int:
        """Guesses that the next pass over `rows` rows reads: those that give the most bytes for its cost."""
        self._passes += 1
        if self._passes % _EVERY == 0:
            return len(self._right)
        best, most, n_bytes, likely = 0, 1 / (self._pass + rows * _ROW), 1.0, 1.0
        for n, (right, tried) in enumerate(zip(self._right, self._tried, strict=True), 1):
            likely *= right / tried  # that guess n is right, and all before it
            n_bytes += likely  # of one row
            gain = n_bytes / (self._pass + rows * (_ROW + n))
            if gain > most:
                best, most = n, gain
        return best

    def saw(self, n_right: int, n_read: int) -> None:
        """In one row, the first `n_right` of `n_read` guesses were right."""
        for i in range(min(n_right + 1, n_read)):
            self._tried[i] += 1
            self._right[i] += i < n_right
            if self._tried[i] > _KEPT:
                self._tried[i], self._right[i] = self._tried[i] / 2, self._right[i] / 2
