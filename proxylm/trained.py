"""The trainer from Python: train a run, open it, score documents with it, continue prompts.

    from proxylm import RunConfig, Store, evaluate, generate, train

Every command that uses a trained model opens it here, so that all check the same things.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compressors.base import Compressor
from compressors.errors import InvalidConfig
from proxylm.config import RunConfig
from proxylm.data.store import Store
from proxylm.evaluation import bits_per_byte
from proxylm.evaluation.bits_per_byte import trained_spec, trained_window
from proxylm.evaluation.placement import placed
from proxylm.evaluation.result import Result
from proxylm.generation import Completion, Sampling, completions
from proxylm.model.decoder import Decoder
from proxylm.training import run_folder, trainer
from proxylm.training.foreign import Foreign, ModelMaker, OptimizersMaker

AnyPath = str | os.PathLike[str]


@dataclass(frozen=True)
class Trained:
    """The model of a run, on its device, and what the run was."""

    run: Path
    """Its folder."""
    model: Decoder
    """In evaluation mode."""
    config: RunConfig
    """The settings it was trained with."""

    def window(self, asked: int | None = None) -> int:
        """Context in bytes: what is asked for, else the longest that was trained. Warns beyond that."""
        trained = trained_window(self.config)
        if asked is not None and asked > trained:
            warnings.warn(
                f"a window of {asked:,} bytes is longer than any the run was trained on, {trained:,}", stacklevel=3
            )
        return asked or trained

    def reading(self, codec: Compressor | None) -> dict[str, Any]:
        """The codec and the view to score what `codec` made, as the run was shown it. Warns for bytes that it was not shown.

        Raises `FingerprintMismatch` or `InvalidConfig`.
        """
        if codec is None:
            self.warn_without_bytes()
            return {}
        return {"codec": codec, "view": trained_spec(self.config, run_folder.view_of(self.run, codec))}

    def warn_without_bytes(self) -> None:
        """Warn if the run was never shown raw bytes: its model does not know how they follow each other."""
        if not self.config.mix.shows_raw:
            warnings.warn(
                f"{self.run} was never shown raw bytes, and knows nothing of them; read its view with --codec CODEC",
                stacklevel=3,
            )


def open_run(
    run: AnyPath,
    *,
    best: bool = False,
    device: str = "auto",
    dtype: str = "auto",
    model: ModelMaker | None = None,
) -> Trained:
    """The newest model of a run, or the best on its held-out documents, ready to use.

    device: auto, cpu, cuda, cuda:1, ...; dtype of the matrix products: auto, fp32 or bf16. model: what `train` was given as
    its model. Raises `InputError`, `CheckpointError` (also for weights that are not finite) or `InvalidConfig`.
    """
    folder = Path(run)
    opened, config = run_folder.load_run(folder, best=best, foreign=Foreign(model))
    return Trained(folder, placed(opened, device, dtype), config)


def train(
    store: Store | AnyPath,
    config: RunConfig,
    run: AnyPath,
    *,
    model: ModelMaker | None = None,
    optimizers: OptimizersMaker | None = None,
    schedule: Callable[[float], float] | None = None,
    **options: Any,
) -> Trained:
    """Train a run into the folder `run` and open it.

    model, optimizers, schedule: callables that make your own in place of ours (`proxylm.training.foreign.Foreign`); a resumed
    run needs the same. options: those of `proxylm.training.trainer.train`.
    """
    foreign = Foreign(model, optimizers, schedule)
    opened = store if isinstance(store, Store) else Store.open(Path(store))
    trainer.train(opened, config, Path(run), foreign=foreign, **options)
    return open_run(run, model=model)


def evaluate(
    run: Trained | AnyPath, documents: Sequence[bytes], *, codec: Compressor | None = None, window: int | None = None
) -> Result:
    """Bits per byte of `documents` as raw bytes, or as the view that `codec` made; window: context in bytes.

    Raises as `open_run` and `proxylm.evaluation.bits_per_byte.evaluate`.
    """
    trained = run if isinstance(run, Trained) else open_run(run)
    reading = trained.reading(codec)
    return bits_per_byte.evaluate(trained.model, documents, window=trained.window(window), **reading)


def generate(run: Trained | AnyPath, prompts: Sequence[str | bytes], **sampling: Any) -> list[Completion]:
    """What follows each prompt; sampling: `proxylm.generation.Sampling`. Raises as `open_run`, and `InvalidConfig`."""
    trained = run if isinstance(run, Trained) else open_run(run)
    if not isinstance(trained.model, Decoder):
        raise InvalidConfig(f"{trained.run} has a model that is not a Decoder, and only that keeps keys and values")
    trained.warn_without_bytes()
    starts = [prompt.encode() if isinstance(prompt, str) else prompt for prompt in prompts]
    return completions(trained.model, starts, Sampling(**sampling), context=trained.window())
