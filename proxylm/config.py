"""What a run is: frozen dataclasses that read and write as JSON or TOML. (config, seed, step) decides everything else."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from compressors.errors import InvalidConfig
from proxylm.data.views import Reading


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shapes of the decoder. `d_ff` None means 8/3 of `d_model`, rounded up to 32; `n_kv_heads` None means `n_heads`."""

    d_model: int = 128
    n_layers: int = 4
    n_heads: int = 4
    n_kv_heads: int | None = None
    d_ff: int | None = None
    rope_theta: float = 10_000.0
    ngrams: int = 0  # longest hashed n-gram of bytes that is read with each byte (`proxylm.model.embeddings`); 0: none
    ngram_rows: int = 1 << 16  # vectors that all n-grams share
    shifted_keys: bool = (
        False  # half of a key is that of the position before: copying takes one layer (`proxylm.model.decoder`)
    )
    n_ahead: int = (
        0  # bytes after the next one that are predicted too, for faster generation (`proxylm.model.multi_token`)
    )

    def __post_init__(self) -> None:
        for name in ("d_model", "n_layers", "n_heads", "n_kv_heads", "d_ff", "ngram_rows"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidConfig(f"model: {name} is {value}; expected 1 or more")
        if self.ngrams != 0 and not 2 <= self.ngrams <= 8:
            raise InvalidConfig(
                f"model: ngrams is {self.ngrams}; expected 2 to 8, the bytes of the longest, or 0 for none"
            )
        if not 0 <= self.n_ahead <= 7:  # 7 was the best number for bytes in arXiv 2404.19737, section 3.3
            raise InvalidConfig(f"model: n_ahead is {self.n_ahead}; expected 0 to 7")
        if not 0 < self.rope_theta < math.inf:
            raise InvalidConfig(f"model: rope_theta is {self.rope_theta}; expected a positive number")
        if self.d_model % (2 * self.n_heads) or self.n_heads % self.kv_heads:
            raise InvalidConfig(
                f"model: d_model {self.d_model} must be a multiple of 2 * n_heads {self.n_heads}, and n_heads of n_kv_heads {self.kv_heads}"
            )

    @property
    def kv_heads(self) -> int:
        return self.n_kv_heads or self.n_heads

    @property
    def ff(self) -> int:
        return self.d_ff or -(-self.d_model * 8 // 3 // 32) * 32


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One stretch of the mixing schedule: up to `until` (share of the run) the rate goes from `start` to `end`.

    The rate is the share of the shown views that are compressed. With `pair`, both views of a document may share a
    context (see `proxylm.data.mixture`). `views` weighs what a compressed document is shown as (see `proxylm.data.views`); empty
    means the run's `mix.view`.
    """

    until: float
    start: float
    end: float
    pair: bool = False
    views: Mapping[str, float] = field(default_factory=dict)


RECIPES: dict[str, tuple[Phase, ...]] = {
    "raw": (Phase(until=1.0, start=0.0, end=0.0),),
    "comp": (Phase(until=1.0, start=1.0, end=1.0),),
    # arXiv 2602.04289: pairs while the rate rises over the first fifth, then none.
    "proxy": (Phase(until=0.2, start=0.4, end=0.9, pair=True), Phase(until=1.0, start=0.9, end=0.9)),
    # Compressed first, raw last, switched at once: with `bags` this is span superposition.
    "comp-then-raw": (Phase(until=0.25, start=1.0, end=1.0), Phase(until=1.0, start=0.0, end=0.0)),
}


@dataclass(frozen=True, kw_only=True)
class MixConfig:
    """Which views are shown, and when. `recipe` names a schedule of `RECIPES`; `phases`, if given, replace it."""

    view: str | None = None  # how the compressed view is read (`proxylm.data.views`); not needed for raw bytes alone
    recipe: str = "raw"
    phases: tuple[Phase, ...] = ()
    # Longer documents are dealt in chunks of so many bytes at most, each on its own; 0: whole; None: what fills one row.
    # Rows of one document close to each other train badly: at d = 64 and 6.25e12 FLOPs, bytes alone end at 1.65 bits per
    # byte with whole documents, at 1.58 with chunks of 4 rows, at 1.53 with chunks of one (with n-grams and shifted keys;
    # without them at 1.83 and, of one row, 1.77).
    chunk: int | None = None
    # Symbols that are one byte have the byte's id and embedding; for views with a refinable vocabulary.
    shared_bytes: bool = False
    composed: bool = False  # compressed symbols are read as the bags of their bytes, plus a vector of their own

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise InvalidConfig(f"mix: unknown recipe {self.recipe!r}; known: {', '.join(RECIPES)}")
        ends = [phase.until for phase in self.schedule]
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
            alone = [name for name in shown if Reading.parse(name).bags]
            if phase.pair and alone:
                raise InvalidConfig(
                    f"mix: {', '.join(alone)}: bags cannot share a context with their own bytes, and {self.recipe!r} has "
                    "pairs; use recipe comp-then-raw, or phases without pair"
                )
        _ = self.readings  # raises if one is not understood

    @property
    def views(self) -> tuple[str, ...]:
        """What compressed documents are shown as, each once: `view` first."""
        names = [self.view] if self.view is not None else []
        for phase in self.schedule:
            names += [name for name in phase.views if name not in names]
        return tuple(names)

    @property
    def readings(self) -> tuple[Reading, ...]:
        """`views`, understood. Raises `InvalidConfig`."""
        return tuple(map(Reading.parse, self.views))

    @property
    def largest_bag(self) -> int:
        """Bytes in the largest bag; 0 if there are none."""
        return max((reading.bags for reading in self.readings), default=0)

    @property
    def schedule(self) -> tuple[Phase, ...]:
        return self.phases or RECIPES[self.recipe]


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long and how fast. Give `steps`, or `flops` (the number of steps that fits into them is planned)."""

    steps: int | None = None
    flops: float | None = None
    rows: int = 16  # per step, over all processes
    row_length: int = 512
    matrix_lr: float = 0.02  # Muon
    embedding_lr: float = 0.1  # AdamW, as the head and the rest
    head_lr: float = 0.005
    ngram_lr: float = 0.02
    ahead_weight: float = 0.3  # of the mean loss of the extra heads beside that of the next byte
    warmup: float = 0.02  # shares of the run
    decay: float = 0.5
    seed: int = 0
    dtype: str = "fp32"  # of the matrix products: "bf16" where the hardware has units for it; weights stay fp32
    compile: bool = (
        False  # the blocks, by torch.compile: half a minute for 1.4 times the speed on a CPU; needs a C++ compiler
    )
    attention: str = "sdpa"  # or compiled: "bands" on CPUs, "flex" on GPUs (`proxylm.model.attention`)
    shard: bool = False  # parameters, gradients and optimizer states over the processes, where one cannot hold them
    micro_rows: int | None = None  # rows of one forward pass of a process, where memory does not hold all of a step
    checkpoint_every: int = 200
    keep: int = 2
    eval_every: int | None = None  # steps between scores of held-out documents; None: only at the end

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.flops is None):
            raise InvalidConfig(f"train: steps {self.steps} and flops {self.flops}; give exactly one of them")
        for name, low in (("rows", 1), ("row_length", 8), ("checkpoint_every", 1), ("keep", 1)):
            if getattr(self, name) < low:
                raise InvalidConfig(f"train: {name} is {getattr(self, name)}; expected {low} or more")
        if (self.steps is not None and self.steps < 1) or (self.flops is not None and not 0 < self.flops < math.inf):
            raise InvalidConfig(f"train: steps {self.steps}, flops {self.flops}; expected a positive number")
        for name in ("ahead_weight", "matrix_lr", "embedding_lr", "head_lr", "ngram_lr"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InvalidConfig(f"train: {name} is {getattr(self, name)}; expected 0 or more")
        for name in ("warmup", "decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidConfig(f"train: {name} is {getattr(self, name)}; expected a share of the run, 0 to 1")
        for name in ("micro_rows", "eval_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidConfig(f"train: {name} is {value}; expected 1 or more")
        if self.dtype not in ("fp32", "bf16"):
            raise InvalidConfig(f"train: dtype is {self.dtype!r}; expected fp32 or bf16")
        if self.attention not in ("sdpa", "bands", "flex") or (self.attention != "sdpa" and not self.compile):
            raise InvalidConfig(
                f"train: attention is {self.attention!r}, compile is {self.compile}; expected sdpa, or bands or flex with compile = true"
            )
        if not 0 <= self.seed < 1 << 63:
            raise InvalidConfig(f"train: seed is {self.seed}; expected 0 to 2^63 - 1")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One training run."""

    train: TrainConfig
    model: ModelConfig = field(default_factory=ModelConfig)
    mix: MixConfig = field(default_factory=MixConfig)

    @property
    def chunk(self) -> int:
        """Bytes of a chunk at most, 0: documents are dealt whole."""
        return self.train.row_length - 2 if self.mix.chunk is None else self.mix.chunk

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1)
