"""Learning rates over a run: a linear warm-up from zero, and behind it a shape by name that ends at zero.

A new shape is a function and a line in `_SHAPES`, and its name in `proxylm.train_config.SCHEDULES`. It depends on nothing but
the settings and the progress, so a resumed run has the rates of an uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch

from proxylm.train_config import TrainConfig


def factor(config: TrainConfig, progress: float) -> float:
    """What every rate is multiplied by at `progress`, a share of the run, 0 to 1: between 0 and 1."""
    # Rises through 1 where the warm-up ends.
    warmed = progress / config.warmup if config.warmup else 1.0
    return min(1.0, warmed, _SHAPES[config.schedule](config, progress))


def _wsd(config: TrainConfig, progress: float) -> float:
    """Warm-up, stable, decay (arXiv 2404.06395): constant, and linear to zero over the share `decay` at the end."""
    # Falls through 1 where the decay begins.
    return (1 - progress) / config.decay if config.decay else 1.0


def _cosine(config: TrainConfig, progress: float) -> float:
    """Half a period of a cosine from the end of the warm-up, from one to zero (arXiv 1608.03983, without restarts)."""
    return 0.5 * (1 + math.cos(math.pi * _behind_warmup(config, progress)))


def _linear(config: TrainConfig, progress: float) -> float:
    """A line from one, at the end of the warm-up, to zero."""
    return 1 - _behind_warmup(config, progress)


def _behind_warmup(config: TrainConfig, progress: float) -> float:
    """The share of what follows the warm-up that is done, 0 to 1."""
    return max(0.0, (progress - config.warmup) / (1 - config.warmup)) if config.warmup < 1 else 0.0


_SHAPES: dict[str, Callable[[TrainConfig, float], float]] = {"wsd": _wsd, "cosine": _cosine, "linear": _linear}


def set_rates(optimizers: Iterable[torch.optim.Optimizer], share: float) -> None:
    """Give every group its rate times `share`; `full_lr` of a group, its rate at first, is kept."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group.setdefault("full_lr", group["lr"])
            group["lr"] = group["full_lr"] * share
