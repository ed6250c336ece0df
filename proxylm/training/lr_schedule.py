"""Learning rates over a run: linear warm-up, constant, linear decay to zero."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from proxylm.config import TrainConfig


def factor(config: TrainConfig, progress: float) -> float:
    """What every rate is multiplied by at `progress`, a share of the run, 0 to 1: between 0 and 1."""
    # Rises through 1 where the warm-up ends.
    warmed = progress / config.warmup if config.warmup else 1.0
    # Falls through 1 where the decay begins.
    left = (1 - progress) / config.decay if config.decay else 1.0
    return min(1.0, warmed, left)


def set_rates(optimizers: Iterable[torch.optim.Optimizer], config: TrainConfig, progress: float) -> None:
    """Give every group its rate at `progress`; `full_lr` of a group is its rate in between (`proxylm.training.optim`)."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["full_lr"] * factor(config, progress)
