"""Training of the network: minibatches of positions, integers in the forward pass from the first step.

The forward pass sees every parameter rounded, as the coder does; gradients pass the rounding unchanged (straight-through,
Bengio et al., arXiv 1308.3432) and move the unrounded parameters. A float32 product of such integers is exact, so the
network trained here is the network that codes. numpy and two kernels are enough: a step touches a few rows of the tables.
"""

from __future__ import annotations

import hashlib
import io
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from compressors.artifact import Artifact
from compressors.atomic import write_atomically
from compressors.base import digest
from compressors.errors import InvalidConfig
from compressors.neural import _training, first_coder, fit_mixing
from compressors.neural.artifact import artifact_of
from compressors.neural.mixing import LAYOUTS, Start
from compressors.neural.model import LOGIT_SCALE, SCALE_BITS, Model, Shape, features, preset, squash_table

Progress = Callable[[int, int, str], None]  # bytes trained on, bytes in all, the loss in words
Floats = npt.NDArray[np.float32]
HELD_OUT = 16  # every 16th document is kept from the network: what comes after it is fitted on these
_BATCH = 1024  # positions of a step
_CHUNK = 1_000_000  # bytes of the documents whose positions are shuffled together
_SAVE_EVERY = 20  # chunks
_TABLE_RATE, _RATE, _WARM_UP = 0.75, 0.003, 200  # steps of Adagrad, of Adam, number of steps until full rate
_DENSE = ("weight1", "bias1", "weight2", "bias2")


@dataclass(kw_only=True)
class Trainer:
    """Parameters and the state of the optimisers; `chunk` counts what was seen."""

    shape: Shape
    arrays: dict[str, npt.NDArray[Any]]
    step: int = 0
    chunk: int = 0
    seen: int = 0

    @classmethod
    def new(cls, shape: Shape, seed: int) -> Trainer:
        """Tables of zeros, but for the small ones, which break the symmetry."""
        random = np.random.default_rng(seed)
        table = np.zeros(shape.starts[-1], np.float32)
        for f, n_rows in enumerate(shape.n_rows):
            if n_rows <= 4096:
                place = slice(shape.starts[f], shape.starts[f + 1])
                table[place] = random.normal(0, 1.5, shape.starts[f + 1] - shape.starts[f])
        arrays = {
            "table": table,
            "squares": np.full(shape.first_rows[-1], 1e-8, np.float32),
            "weight1": random.normal(0, 64 * (2 / shape.n_inputs) ** 0.5, (shape.n_inputs, shape.hidden)),
            "bias1": np.full(shape.hidden, 125),
            "weight2": random.normal(0, 3, (256, shape.hidden)),
            "bias2": np.zeros(256),
        }
        for name in _DENSE:
            arrays[name] = arrays[name].astype(np.float32)
            arrays[f"{name}.m"], arrays[f"{name}.v"] = np.zeros_like(arrays[name]), np.zeros_like(arrays[name])
        return cls(shape=shape, arrays=arrays)

    def forward(self, rows: npt.NDArray[np.int32]) -> tuple[Floats, Floats, Floats]:
        """Inputs, sums before the nonlinearity and hidden units of a batch of positions; all are whole numbers."""
        x = np.empty((len(rows), self.shape.n_inputs), np.float32)
        _training.gather(rows, self.shape.starts, self.shape.widths, self.arrays["table"], x)
        sums = x @ np.rint(self.arrays["weight1"]) + np.rint(self.arrays["bias1"])
        hidden = np.clip(np.floor((sums + 2 ** (SCALE_BITS - 1)) / 2**SCALE_BITS), 0, 127).astype(np.float32)
        return x, sums, hidden

    def train(self, rows: npt.NDArray[np.int32], data: npt.NDArray[np.uint8], rate: float, table_rate: float) -> float:
        """One step; the loss of the batch in nats."""
        x, sums, hidden = self.forward(rows)
        weight = np.rint(self.arrays["weight2"])
        d_hidden, d_weight, d_bias = np.empty_like(hidden), np.zeros_like(weight), np.zeros(256, np.float32)
        loss: float = _training.nodes(
            hidden, hidden.astype(np.int16), weight.astype(np.int16), weight, np.rint(self.arrays["bias2"]),
            np.float32(LOGIT_SCALE), data, d_hidden, d_weight, d_bias,
        )  # fmt: skip
        d_hidden *= (sums > 0) & (hidden < 127)
        gradients = (x.T @ d_hidden, d_hidden.sum(0), d_weight, d_bias)
        dx = d_hidden @ np.rint(self.arrays["weight1"]).T
        shape = self.shape
        _training.scatter(
            rows, shape.starts, shape.first_rows, shape.widths, self.arrays["table"], self.arrays["squares"], dx,
            np.float32(table_rate),
        )  # fmt: skip
        self.step += 1
        unbias1, unbias2 = np.float32(1 / (1 - 0.9**self.step)), np.float32(1 / (1 - 0.995**self.step))
        for name, gradient, unit, limit in zip(
            _DENSE, gradients, (64, 256, 64, 256), (127, 2**20, 127, 2**20), strict=True
        ):
            p, m, v = self.arrays[name], self.arrays[f"{name}.m"], self.arrays[f"{name}.v"]
            _training.adam(
                p.reshape(-1), gradient.reshape(-1), m.reshape(-1), v.reshape(-1), np.float32(rate * unit), unbias1,
                unbias2, np.float32(limit),
            )  # fmt: skip
        return loss

    def quantised(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays of the integer network; weight1 is transposed to (hidden, inputs)."""
        rounded = {name: np.rint(self.arrays[name]) for name in ("table", *_DENSE)}
        return {
            "table": rounded["table"].astype(np.int8),
            "weight1": np.ascontiguousarray(rounded["weight1"].T.astype(np.int8)),
            "bias1": rounded["bias1"].astype(np.int32),
            "weight2": rounded["weight2"].astype(np.int8),
            "bias2": rounded["bias2"].astype(np.int32),
        }

    # -- interruption ------------------------------------------------------------------------------------------------

    def save(self, path: Path, task: str) -> None:
        """Write everything that the rest of the training depends on."""
        buffer = io.BytesIO()
        counts = {"step": self.step, "chunk": self.chunk, "seen": self.seen}
        np.savez(buffer, task=task, **counts, **self.arrays)  # type: ignore[arg-type] # arrays by name, no option
        write_atomically(path, buffer.getvalue())

    def resume(self, path: Path, task: str) -> None:
        """Go on from `path`. Raises `InvalidConfig` if it belongs to another training."""
        try:
            opened = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise InvalidConfig(f"{path} is not an unfinished training ({error}); delete it to begin again") from error
        if not isinstance(opened, np.lib.npyio.NpzFile):
            raise InvalidConfig(f"{path} is not an unfinished training; delete it to begin again")
        with opened as saved:
            if str(saved.get("task")) != task:
                raise InvalidConfig(
                    f"{path} is an unfinished training on other documents or settings; give these again, or delete it"
                )
            self.step, self.chunk, self.seen = (int(saved[name]) for name in ("step", "chunk", "seen"))
            self.arrays = {name: saved[name] for name in self.arrays}


def train(
    documents: Sequence[bytes], shape: Shape, *, n_bytes: int, seed: int, checkpoint: Path | None, progress: Progress
) -> Trainer:
    """Train on `n_bytes` bytes of `documents`, in a shuffled order, again and again if they are fewer.

    With `checkpoint` the state is saved there every few minutes, and an interrupted training resumes from it bit for bit.
    """
    trainer, chosen = Trainer.new(shape, seed), [document for document in documents if document]
    task = digest([asdict(shape), n_bytes, seed, _digest(chosen)])
    if checkpoint is not None and checkpoint.exists():
        trainer.resume(checkpoint, task)
    progress(trainer.seen, n_bytes, "")
    for number, pieces in enumerate(_chunks(chosen, seed)):
        if trainer.seen >= n_bytes:
            break
        if number < trainer.chunk:
            continue
        loss = _train_chunk(trainer, pieces, np.random.default_rng([seed, 1, number]), n_bytes)
        trainer.chunk = number + 1
        if checkpoint is not None and (trainer.chunk % _SAVE_EVERY == 0 or trainer.seen >= n_bytes):
            trainer.save(checkpoint, task)
        progress(trainer.seen, n_bytes, f"{loss:.3f} bits per byte")
    return trainer


def _digest(documents: Sequence[bytes]) -> str:
    """SHA-256 over those of the documents, in order."""
    return hashlib.sha256(b"".join(hashlib.sha256(document).digest() for document in documents)).hexdigest()


def _chunks(documents: Sequence[bytes], seed: int) -> Iterator[list[bytes]]:
    """Pieces of documents, about `_CHUNK` bytes at a time, in another order for every pass."""
    chunk: list[bytes] = []
    size = n_passes = 0
    while documents:
        for i in np.random.default_rng([seed, 0, n_passes]).permutation(len(documents)):
            for start in range(0, len(documents[i]), _CHUNK):
                chunk.append(documents[i][start : start + _CHUNK])
                size += len(chunk[-1])
                if size >= _CHUNK:
                    yield chunk
                    chunk, size = [], 0
        n_passes += 1
    if chunk:
        yield chunk


def _train_chunk(trainer: Trainer, pieces: list[bytes], random: np.random.Generator, n_bytes: int) -> float:
    """Train on every position of `pieces` once; the mean loss in bits per byte."""
    data = np.frombuffer(b"".join(pieces), np.uint8)
    rows = np.concatenate([features(trainer.shape, np.frombuffer(piece, np.uint8)) for piece in pieces])
    order, loss = random.permutation(len(data)), 0.0
    for first in range(0, len(order), _BATCH):
        batch = order[first : first + _BATCH]
        left = max(0.03, 1 - trainer.seen / n_bytes)
        rate = _RATE * left * min(1.0, trainer.step / _WARM_UP)
        loss += trainer.train(rows[batch], data[batch], rate, _TABLE_RATE * (0.15 + 0.85 * left))
        trainer.seen += len(batch)
    return loss / len(data) / float(np.log(2))


_BUDGET = {"best": 260_000_000, "fast": 160_000_000}  # bytes to train on
_MIXER_BYTES = 3_000_000  # of held-out documents: the mixers have some thousand weights


def fit(
    documents: Sequence[bytes], name: str, *, n_bytes: int, seed: int, checkpoint: Path | None, progress: Progress
) -> Artifact:
    """Train the network of preset `name`, then the mixer on documents it has not seen; the artifact."""
    shape, began = preset(name), time.monotonic()
    if not any(documents):
        raise InvalidConfig("neural: no documents to train on, or all are empty")
    seen = [document for i, document in enumerate(documents) if i % HELD_OUT != HELD_OUT - 1]
    trainer = train(seen, shape, n_bytes=n_bytes or _BUDGET[name], seed=seed, checkpoint=checkpoint, progress=progress)
    arrays = trainer.quantised() | {"mixer": np.tile(np.array([1 << 16, 0, 0, 0, 0], np.int32), (16, 1))}
    arrays |= Start.plain(LAYOUTS[name]).arrays()
    model = Model.of({"shape": asdict(shape), "preset": name}, {"squash": squash_table(), **arrays})
    unseen = documents[HELD_OUT - 1 :: HELD_OUT]
    mixer, left = model.mixer.copy(), _MIXER_BYTES
    for document in unseen:
        if left < 0:
            break
        first_coder.encode(model, document[:_CHUNK], mixer)
        left -= len(document)
    arrays |= fit_mixing.fit(model, unseen, _MIXER_BYTES).arrays()
    card = {
        "documents": len(documents),
        "bytes": sum(map(len, documents)),
        "sha256": _digest(documents),
        "bytes_trained_on": trainer.seen,
        "seed": seed,
        "seconds_of_last_run": round(time.monotonic() - began),
    }
    return artifact_of(name, arrays | {"mixer": mixer}, card)
