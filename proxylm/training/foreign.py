"""Parts of a run that Python code gives in place of ours: run.json says their names, so that no resume forgets them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from compressors.errors import InvalidConfig
from proxylm.config import RunConfig
from proxylm.data.alphabet import Alphabet
from proxylm.model.decoder import Decoder
from proxylm.train_config import TrainConfig
from proxylm.training.distributed import Place
from proxylm.training.lr_schedule import factor
from proxylm.training.optim import make_optimizers

ModelMaker = Callable[[RunConfig, Alphabet], nn.Module]
OptimizersMaker = Callable[[nn.Module, TrainConfig], Sequence[torch.optim.Optimizer]]


@dataclass(frozen=True)
class Foreign:
    """Callables in place of the model, the optimizers and the schedule of the learning rate; None: ours."""

    model: ModelMaker | None = None
    """Makes a module like `Decoder`: `forward(ids, doc=None, cache=None, bags=None)` gives (B, T, d) of ids (B, T), and `heads`
    are `SlicedHeads` of width d. Within a row it must keep documents apart, by `doc`."""
    optimizers: OptimizersMaker | None = None
    """Makes optimizers of all parameters. Their state is saved as far as it is in tensors."""
    schedule: Callable[[float], float] | None = None
    """What all rates are multiplied by at a share of the run, 0 to 1; must be a function of nothing else."""

    @property
    def names(self) -> dict[str, str | None]:
        """For run.json: module and name of each; None where it is ours."""
        given = vars(self)
        return {part: None if it is None else _name(it) for part, it in given.items()}

    def make_model(self, config: RunConfig, alphabet: Alphabet) -> Decoder:
        """Raises `InvalidConfig` if it cannot be trained as `config` says."""
        if self.model is None:
            return Decoder.of(config, alphabet)
        made, train = self.model(config, alphabet), config.train
        if not isinstance(made, Decoder) and (train.shard or train.compile):
            raise InvalidConfig(
                f"the model {_name(self.model)} is not a Decoder; train.shard and train.compile work on its blocks: set both to false"
            )
        return cast(Decoder, made)

    def make_optimizers(self, model: Decoder, config: TrainConfig, place: Place) -> list[torch.optim.Optimizer]:
        """Those of the run; ours share work among the processes of `place`.

        Raises `InvalidConfig` if ours are asked for a model that is not a `Decoder`.
        """
        if self.optimizers is not None:
            return list(self.optimizers(model, config))
        if not isinstance(model, Decoder):
            raise InvalidConfig(
                f"the model {_name(self.model)} is not a Decoder, and our optimizers are for one; give optimizers, too"
            )
        return make_optimizers(model, config, place)

    def rate(self, config: TrainConfig, progress: float) -> float:
        """What every learning rate is multiplied by at `progress`, a share of the run."""
        return factor(config, progress) if self.schedule is None else float(self.schedule(progress))

    def check(self, config: TrainConfig) -> None:
        """Raise `InvalidConfig` where FLOPs are asked for that nobody can count."""
        if self.model is not None and config.flops is not None:
            raise InvalidConfig(
                "train.flops is set, and the FLOPs of a model from Python are not known; give train.steps"
            )


OURS = Foreign()


def _name(given: Any) -> str:
    """module.name of a function or class; of another object that of its class."""
    named = given if hasattr(given, "__qualname__") else type(given)
    return f"{named.__module__}.{named.__qualname__}"
