"""The settings of `train`: how long a run is, how it learns, and where and how it computes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from compressors.errors import InvalidConfig

SCHEDULES = ("wsd", "cosine", "linear")  # of the learning rate: `proxylm.training.lr_schedule`


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long and how fast."""

    steps: int | None = None
    """Length of the run in optimizer steps. Give this or `flops`."""
    flops: float | None = None
    """Length of the run in FLOPs of matrix products, forward and backward: the most steps that fit are made."""
    rows: int = 16
    """Rows of a step, over all processes: the batch size is `rows` times `row_length` positions."""
    row_length: int = 512
    """Positions of a row: the longest context, and two more."""
    matrix_lr: float = 0.02
    """Learning rate of the hidden matrices (Muon)."""
    embedding_lr: float = 0.1
    """Learning rate of embeddings and gains (AdamW)."""
    head_lr: float = 0.005
    """Learning rate of the heads (AdamW)."""
    ngram_lr: float = 0.02
    """Learning rate of the vectors of hashed n-grams (AdamW)."""
    ahead_weight: float = 0.3
    """Weight of the mean loss of the extra heads (`model.n_ahead`); the loss of the next byte has weight 1."""
    warmup: float = 0.02
    """Share of the run, from its start, in which the learning rates rise from zero, 0 to 1."""
    schedule: str = "wsd"
    """Learning rates behind the warm-up: wsd (constant, then linear to zero), cosine, or linear: both to zero at the end."""
    decay: float = 0.5
    """Share of the run, to its end, in which the learning rates of `wsd` fall to zero, 0 to 1."""
    clip_norm: float | None = None
    """Longest gradient, over all parameters together: a longer one is shortened to this; None: no limit."""
    weight_decay: float = 0.0
    """Decoupled decay of the hidden matrices (Muon): a step multiplies them by 1 - learning rate times this."""
    adamw_weight_decay: float = 0.0
    """The same for embeddings, heads and n-grams (AdamW); gains have none."""
    seed: int = 0
    """Decides the first weights and the order of the documents, 0 to 2^63 - 1."""
    dtype: str = "auto"
    """Number format of the matrix products: fp32, bf16, or auto, which measures the two; weights stay fp32."""
    compile: bool = False
    """Compile the blocks: half a minute for 1.4 times the speed on a CPU; needs a C++ compiler."""
    attention: str = "auto"
    """sdpa; or compiled: bands on CPUs, flex on GPUs (`proxylm.model.attention`); auto: the one that fits."""
    recompute: bool = False
    """Keep only what goes into each block, and compute its inside again in the backward pass: less memory, a third more work."""
    tf32: bool = False
    """Let GPUs do fp32 products with 10 bits of mantissa (TF32), which is several times as fast."""
    deterministic: bool = False
    """Use only operations that give the same bits each time, which CPUs do anyway: GPUs then resume bit for bit, more slowly."""
    shard: bool = False
    """Spread parameters, gradients and optimizer states over the processes (FSDP2), where one cannot hold them."""
    micro_rows: int | None = None
    """Rows of one forward pass of a process, where memory does not hold all of its rows; None: all of them."""
    checkpoint_every: int = 200
    """Steps between checkpoints; the last step has one in any case."""
    keep: int = 2
    """How many of the last checkpoints are kept."""
    eval_every: int | None = None
    """Steps between scores of held-out documents; None: only at the end."""
    trackers: tuple[str, ...] = ()
    """Where the log goes beside log.jsonl: tensorboard, wandb, trackio, or one of a plugin (`proxylm.training.trackers`)."""
    norms_every: int = 50
    """Steps between records that have the norms of the weights."""
    peak_flops: float | None = None
    """FLOPs that one device can do in a second, of which the log gives the share; None: measured at the start."""

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.flops is None):
            raise InvalidConfig(
                f"train: steps is {self.steps}, flops is {self.flops}; say how long the run is with exactly one of --steps and --flops"
            )
        if (self.steps is not None and self.steps < 1) or (self.flops is not None and not 0 < self.flops < math.inf):
            raise InvalidConfig(f"train: steps {self.steps}, flops {self.flops}; expected a positive number")
        least = {
            "rows": 1,
            "row_length": 8,
            "checkpoint_every": 1,
            "keep": 1,
            "micro_rows": 1,
            "eval_every": 1,
            "norms_every": 1,
        }
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise InvalidConfig(f"train: {name} is {value}; expected {low} or more")
        decays, rates = ("weight_decay", "adamw_weight_decay"), ("matrix_lr", "embedding_lr", "head_lr", "ngram_lr")
        for name in ("ahead_weight", *rates, *decays):
            if not 0 <= getattr(self, name) < math.inf:
                raise InvalidConfig(f"train: {name} is {getattr(self, name)}; expected 0 or more")
        for name in ("warmup", "decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidConfig(f"train: {name} is {getattr(self, name)}; expected a share of the run, 0 to 1")
        for name in ("clip_norm", "peak_flops"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InvalidConfig(f"train: {name} is {value}; expected a positive number")
        if self.schedule not in SCHEDULES:
            raise InvalidConfig(f"train: unknown schedule {self.schedule!r}; known: {', '.join(SCHEDULES)}")
        if self.dtype not in ("auto", "fp32", "bf16"):
            raise InvalidConfig(f"train: dtype is {self.dtype!r}; expected auto, fp32 or bf16")
        if self.attention not in ("auto", "sdpa", "bands", "flex") or (
            self.attention in ("bands", "flex") and not self.compile
        ):
            raise InvalidConfig(
                f"train: attention is {self.attention!r}, compile is {self.compile}; expected auto or sdpa, or bands or "
                "flex with compile = true"
            )
        if not 0 <= self.seed < 1 << 63:
            raise InvalidConfig(f"train: seed is {self.seed}; expected 0 to 2^63 - 1")
