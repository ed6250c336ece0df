"""How many guesses of the extra heads a pass of generation reads: as many as pay, by those that were right so far.

Guesses that would not pay are not read. Some are made all the same, to see what they would have been worth: that costs some
hundredths of the time (`proxyc bench generation`), and leaves rows equally long, which are read faster.

What is decided depends only on the texts, their number and the kind of device, never on a clock: so the same prompts and seed
take the same passes, and give the same text to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

# What a pass costs: so much, so much for each row, and 1 for each guess of a row; where it reads guesses, so much more. On
# CPUs this fits steps of the model of `proxyc bench generation` with 1 to 32 rows to a fifth (one thread of Zen 4).
_PASS, _ROW, _ANY = {"cpu": 40.0}, 2.5, 5.0
_PASS_ON_GPUS = 300.0  # the weights are read once a pass, which takes as long as the products of some hundred positions
# So many times the bytes for the cost must come: prompts are read, rows become unequally long, and the more rows there are, the
# longer the slowest of them is read by itself. The first number, what each row adds, the most.
_WORTH, _WORTH_ROW, _WORTH_MOST = 1.15, 0.05, 1.55
_EVERY = 8  # passes, at least `n_ahead` + 1: then guesses are made that are not read
_KEPT = 256  # observations of a guess; then all count half, so that the newest text counts most


class Speculation:
    """Counts of how often each guess was right, of the rows that are read side by side."""

    def __init__(self, n_ahead: int, device: torch.device) -> None:
        self.n_ahead = n_ahead
        self._pass = _PASS.get(device.type, _PASS_ON_GPUS)
        # Of each guess, when all before it were right. At first 2 of 5: one or two rows read guesses at once, more wait.
        self._right, self._tried = [2.0] * n_ahead, [5.0] * n_ahead
        self._passes = 0

    def n_guesses(self, rows: int) -> int:
        """Guesses that a pass over `rows` rows reads: those that give the most bytes for its cost, or none."""
        worth = min(_WORTH + _WORTH_ROW * rows, _WORTH_MOST)
        best, most = 0, worth / (self._pass + rows * _ROW)
        n_bytes = likely = 1.0
        for n, (right, tried) in enumerate(zip(self._right, self._tried, strict=True), 1):
            likely *= right / tried  # that guess n is right, and all before it
            n_bytes += likely  # of one row
            gain = n_bytes / (self._pass + _ANY + rows * (_ROW + n))
            if gain > most:
                best, most = n, gain
        return best

    def watches(self) -> bool:
        """Whether guesses are made after this pass although none are read; called once a pass that reads none."""
        self._passes += 1
        return self.n_ahead > 0 and self._passes % _EVERY == 1

    def compare(self, guessed: Sequence[int], drawn: Sequence[int]) -> None:
        """Count which guesses of a row were right; drawn: what came in their place, less or more."""
        for i, (guess, came) in enumerate(zip(guessed, drawn, strict=False)):
            self._tried[i] += 1
            self._right[i] += guess == came
            if self._tried[i] > _KEPT:
                self._tried[i], self._right[i] = self._tried[i] / 2, self._right[i] / 2
            if guess != came:
                break
