"""What a run is: frozen dataclasses that read and write as JSON or TOML. (config, seed, step) decides everything else."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from compressors.errors import InvalidConfig
from proxylm.train_config import TrainConfig
from proxylm.view_spec import ViewSpec

__all__ = ["RECIPES", "MixConfig", "ModelConfig", "Phase", "Recipe", "RunConfig", "TrainConfig", "view_spec"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shapes of the decoder (`proxylm.model.decoder`)."""

    d_model: int = 128
    """Width of the model: numbers of the hidden state at each position."""
    n_layers: int = 4
    """Number of blocks, each of attention and a feed-forward layer."""
    n_heads: int = 4
    """Heads of attention in a block; `d_model` is a multiple of twice their number."""
    n_kv_heads: int | None = None
    """Heads of keys and values, which groups of heads share; None: `n_heads`."""
    d_ff: int | None = None
    """Width of the feed-forward layer; None: 8/3 of `d_model`, rounded up to 32."""
    rope_theta: float = 10_000.0
    """Base of the rotary positions: wavelengths go from 2 pi up to nearly this times 2 pi, in positions."""
    hash_ngrams: int = 0
    """Bytes of the longest hashed n-gram that is read with each byte (`proxylm.model.embeddings`), 2 to 8; 0: none."""
    ngram_rows: int = 1 << 16
    """Vectors that all hashed n-grams share, of `d_model` numbers each; used if `hash_ngrams` is not 0."""
    partial_key_offset: bool = False
    """Half of a key is that of the position before: copying takes one layer (`proxylm.model.decoder.Attention`)."""
    n_ahead: int = 0
    """Bytes after the next one that are predicted too, for faster generation (`proxylm.model.multi_token`), up to 7."""

    def __post_init__(self) -> None:
        for name in ("d_model", "n_layers", "n_heads", "n_kv_heads", "d_ff", "ngram_rows"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidConfig(f"model: {name} is {value}; expected 1 or more")
        if self.hash_ngrams != 0 and not 2 <= self.hash_ngrams <= 8:
            raise InvalidConfig(
                f"model: hash_ngrams is {self.hash_ngrams}; expected 2 to 8, the bytes of the longest, or 0 for none"
            )
        if not 0 <= self.n_ahead <= 7:  # 7 was the best number for bytes in arXiv 2404.19737, section 3.3
            raise InvalidConfig(f"model: n_ahead is {self.n_ahead}; expected 0 to 7")
        if not 0 < self.rope_theta < math.inf:
            raise InvalidConfig(f"model: rope_theta is {self.rope_theta}; expected a positive number")
        # Rotary positions turn pairs of numbers, so a head has an even width.
        if self.d_model % (2 * self.n_heads) or self.n_heads % self.kv_heads:
            raise InvalidConfig(
                f"model: d_model {self.d_model} must be a multiple of 2 * n_heads {self.n_heads}, and n_heads of "
                f"n_kv_heads {self.kv_heads}"
            )

    @property
    def kv_heads(self) -> int:
        """`n_kv_heads`, or its default."""
        return self.n_kv_heads or self.n_heads

    @property
    def ff(self) -> int:
        """`d_ff`, or its default."""
        # Three matrices cost what two of 4 d_model would.
        return self.d_ff or -(-self.d_model * 8 // 3 // 32) * 32


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One stretch of the mixing schedule, in which the rate goes from `start` to `end`.

    The rate is the share of the shown views that are compressed.
    """

    until: float
    """Where the phase ends, as a share of the run; of the last one 1."""
    start: float
    """Rate where the phase begins, 0 to 1."""
    end: float
    """Rate where the phase ends, 0 to 1; in between it changes linearly."""
    pair: bool = False
    """Whether both views of a document may share a context (`proxylm.data.mixture`)."""
    views: Mapping[str, float] = field(default_factory=dict)
    """Weight of each view that a compressed document may be shown as (`proxylm.view_spec`); empty: only `mix.view`."""


@dataclass(frozen=True)
class Recipe:
    """A schedule by name, and the settings it was found to work with: what a user does not set."""

    phases: tuple[Phase, ...]
    """The mixing schedule."""
    shows: str = ""
    """How the view is shown, behind its name: `merges=256`."""
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Defaults by section and name."""


_FIRST_COMPRESSED = (Phase(until=0.25, start=1.0, end=1.0), Phase(until=1.0, start=0.0, end=0.0))
RECIPES: dict[str, Recipe] = {
    "raw": Recipe((Phase(until=1.0, start=0.0, end=0.0),)),
    "comp": Recipe((Phase(until=1.0, start=1.0, end=1.0),)),
    # arXiv 2602.04289: pairs while the rate rises over the first fifth, then none.
    "proxy": Recipe((Phase(until=0.2, start=0.4, end=0.9, pair=True), Phase(until=1.0, start=0.9, end=0.9))),
    # Compressed first, raw last, switched at once: with `bags` this is span superposition.
    "comp-then-raw": Recipe(_FIRST_COMPRESSED),
    # The first 256 merges of BPE, then bytes: the best of the runs of up to 1e14 FLOPs (bench/recipes/chunked.toml).
    "merges": Recipe(
        _FIRST_COMPRESSED,
        shows="merges=256",
        settings={
            "model": {"d_model": 128, "n_layers": 4, "n_heads": 4, "hash_ngrams": 5, "partial_key_offset": True},
            "train": {"rows": 8, "row_length": 512, "matrix_lr": 0.02},
        },
    ),
}


@dataclass(frozen=True, kw_only=True)
class MixConfig:
    """Which views are shown, and when."""

    view: str | None = None
    """The compressed view and how it is shown (`proxylm.view_spec`); None where only raw bytes are."""
    recipe: str = "raw"
    """Schedule by name: raw, comp, proxy, comp-then-raw or merges (`proxylm.config.RECIPES`)."""
    phases: tuple[Phase, ...] = ()
    """A schedule in place of that of the recipe, phase after phase."""
    chunk: int | None = None
    """Bytes of the chunks that longer documents are dealt in; 0: whole documents; None: what fills one row.

    Rows of one document close to each other train badly: at d = 64 and 6.25e12 FLOPs, raw bytes end at 1.65 bits per
    byte with whole documents, at 1.58 with chunks of 4 rows, at 1.53 with chunks of one row.
    """

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise InvalidConfig(f"mix: unknown recipe {self.recipe!r}; known: {', '.join(RECIPES)}")
        if self.phases and self.recipe != "raw":
            raise InvalidConfig(f"mix: recipe {self.recipe!r} and phases contradict each other; leave one out")
        ends = [phase.until for phase in self.schedule]  # shares of the run
        if ends != sorted(set(ends)) or ends[-1] != 1.0 or ends[0] <= 0:
            raise InvalidConfig(f"mix: phases end at {ends}; expected rising shares of the run, the last 1.0")
        if not all(0 <= rate <= 1 for phase in self.schedule for rate in (phase.start, phase.end)):
            raise InvalidConfig("mix: a rate is outside 0..1")
        if self.chunk is not None and (self.chunk < 0 or self.chunk == 1):  # evaluation needs contexts of 2
            raise InvalidConfig(f"mix: chunk is {self.chunk}; expected 2 bytes or more, or 0 for whole documents")
        if self.view is None and any((phase.end or phase.start) and not phase.views for phase in self.schedule):
            raise InvalidConfig(f"mix: recipe {self.recipe!r} shows a compressed view; say which with view")
        for phase in self.schedule:
            if any(not 0 < weight < math.inf for weight in phase.views.values()):
                raise InvalidConfig(f"mix: views {dict(phase.views)}; expected positive weights")
            shown = list(phase.views) or list(filter(None, [self.view]))
            in_bags = [name for name in shown if view_spec(name).bags]
            if phase.pair and in_bags:
                raise InvalidConfig(
                    f"mix: {', '.join(in_bags)}: bags cannot share a context with their own bytes, and {self.recipe!r} has "
                    "pairs; use recipe comp-then-raw, or phases without pair"
                )
        _ = self.specs  # raises if one is not understood

    @property
    def views(self) -> tuple[str, ...]:
        """What compressed documents are shown as, each once: `view` first."""
        names = [self.view] if self.view is not None else []
        for phase in self.schedule:
            names += [name for name in phase.views if name not in names]
        return tuple(names)

    @property
    def specs(self) -> tuple[ViewSpec, ...]:
        """`views`, understood. Raises `InvalidConfig`."""
        return tuple(map(view_spec, self.views))

    @property
    def schedule(self) -> tuple[Phase, ...]:
        """`phases`, or those of the recipe."""
        return self.phases or RECIPES[self.recipe].phases

    @property
    def shows_raw(self) -> bool:
        """Whether raw bytes are ever shown."""
        return any(phase.start < 1 or phase.end < 1 for phase in self.schedule)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training run."""

    train: TrainConfig
    """How long and how fast."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """Shapes of the decoder."""
    mix: MixConfig = field(default_factory=MixConfig)
    """Which views are shown, and when."""

    @property
    def chunk(self) -> int:
        """Bytes of a chunk at most, 0: documents are dealt whole."""
        # The two opening marks take the rest of the row.
        return self.train.row_length - 2 if self.mix.chunk is None else self.mix.chunk

    def to_json(self) -> str:
        """All settings, as a file for `--config`."""
        return json.dumps(dataclasses.asdict(self), indent=1)


def view_spec(text: str) -> ViewSpec:
    """A view of the configuration, understood. Raises `InvalidConfig`."""
    try:
        return ViewSpec.parse(text)
    except ValueError as error:
        raise InvalidConfig(f"mix: {error}") from error
