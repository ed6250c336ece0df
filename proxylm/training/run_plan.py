"""How long a run is and what it costs, from its row plan: every length is found by one search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from compressors.errors import InvalidConfig
from proxylm.config import RunConfig
from proxylm.data.loader import Loader
from proxylm.data.row_plan import Scan
from proxylm.data.store import Store
from proxylm.model.flops import training_flops


@dataclass(frozen=True)
class RunPlan:
    """A run of known length. Make one with `of`."""

    store: Store
    config: RunConfig
    loader: Loader
    """Its rows."""
    steps: int
    """Its length."""

    @classmethod
    def of(cls, store: Store, config: RunConfig, *, n_bytes: float | None = None, steps: int | None = None) -> RunPlan:
        """The steps of `config`, or as many as fit into its FLOPs; or, in place of both, as many as show `n_bytes` of text.

        steps: how many these are, where that is known; searching for the most that fit plans the run several times.

        Raises `InvalidConfig` if not even one step fits, or a view cannot be shown as `config` says.
        """
        loader = Loader(store, config, config.train.rows)

        def plan(steps: int) -> RunPlan:
            loader.planner.restart(steps * config.train.rows)
            return cls(store, config, loader, steps)

        if steps is not None:
            return plan(steps)
        if n_bytes is not None:
            return plan(most_steps(lambda steps: plan(steps).n_bytes, n_bytes) or 1)
        if config.train.steps is not None:
            return plan(config.train.steps)
        assert config.train.flops is not None
        steps = most_steps(lambda steps: plan(steps).flops, config.train.flops)
        if not steps:
            raise InvalidConfig(
                f"train.flops {config.train.flops:g} is less than one step; give {plan(1).flops:.3g} or more"
            )
        return plan(steps)

    @cached_property
    def _scan(self) -> Scan:
        """What all rows show, counted from lengths: no id is read."""
        return self.loader.planner.scan(0, self.steps * self.config.train.rows)

    @cached_property
    def flops(self) -> float:
        """Training FLOPs of the run."""
        counts, n_ahead = self._scan.targets.tolist(), self.config.model.n_ahead
        heads = zip(self.loader.heads, counts, strict=False)
        rows, further = self.steps * self.config.train.rows, sum(counts[len(counts) - n_ahead :])
        return training_flops(self.config.model, self.config.train.row_length, rows, heads, further)

    @cached_property
    def shows_text(self) -> bool:
        """Whether any of its rows shows a byte: usually the first step does, and no more is planned."""
        rows, last = self.config.train.rows, 0
        while last < self.steps:
            first, last = last, min(max(2 * last, 1), self.steps)
            if self.loader.planner.scan(first * rows, last * rows).n_bytes:
                return True
        return False

    @property
    def n_bytes(self) -> float:
        """Bytes of text that the run shows."""
        return self._scan.n_bytes

    @property
    def passes(self) -> float:
        """Passes over the corpus that the run begins."""
        return self._scan.passes


def most_steps(cost: Callable[[int], float], budget: float) -> int:
    """The most steps whose cost is within the budget, 0 if there are none.

    Cost grows with the steps, and nearly in proportion. So the first guesses are close, and three or four runs are planned.
    """
    fits, too_many, guess = 0, 0, 1  # too_many 0: no bound is known yet
    while too_many - fits != 1:
        spent = cost(guess)
        if spent <= budget:
            fits = guess
        else:
            too_many = guess
        # In proportion, and at least one step on.
        guess = max(int(guess * budget / spent), fits + 1)
        if too_many:  # stay between the bounds
            guess = min(guess, too_many - 1)
    return fits
