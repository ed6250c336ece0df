"""What a preset looks at, and the shapes that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from compressors.errors import InvalidConfig
from compressors.neural.mixing import LAYOUTS, NAMES, Start, is_binary, packaged_start
from compressors.neural.mixing import parts as mix

if TYPE_CHECKING:
    from compressors.neural._context import Sight
    from compressors.neural._network import Network

Ints = npt.NDArray[np.int64]
SCALE_BITS = 4  # a sum of table entry times weight is in 1/2^4 of a hidden unit
LOGIT_SCALE = 1 / 1024  # nats in a sum of hidden unit times weight
LARGEST_TABLE = 18  # log2 of the slots a history may have: 13 histories then take 14 MB
LARGEST_PLACES = 22  # the same of where five bytes were last: 16 MB


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The features of a model and its sizes; the settings of its artifact."""

    contexts: tuple[int, ...]  # numbers of the contexts of `_context` that have a table
    successors: tuple[int, ...]  # of those whose successors in the document are looked at
    n_seconds: int  # how many of these show the byte before the last one, too
    width: int  # entries of a row: contexts and match
    history_width: int  # entries of a row: successors
    hidden: int
    bits: int = 16  # log2 of the rows of a context's table

    @cached_property
    def row_bits(self) -> Ints:
        """(contexts,) log2 of the rows of each context's table; that of only the last byte needs 256."""
        return np.array([min(self.bits, 8 if k == 0 else 16 if k == 1 else self.bits) for k in self.contexts], np.int64)

    @cached_property
    def n_rows(self) -> Ints:
        """(features,) rows of each table, in the order of `_context.rows_of`."""
        history = [16 * 256] + [8 * 256] * len(self.successors) + [2 * 256] * self.n_seconds
        return np.concatenate([np.int64(1) << self.row_bits, np.array(history, np.int64)])

    @cached_property
    def widths(self) -> Ints:
        """(features,) entries of a row."""
        n_history = len(self.successors) + self.n_seconds
        return np.array([self.width] * (len(self.contexts) + 1) + [self.history_width] * n_history, np.int64)

    @cached_property
    def sight(self) -> Sight:
        """What the kernels look at."""
        from compressors.neural._context import Sight

        return Sight(
            np.array(self.contexts, np.int64), np.array(self.successors, np.int64), self.row_bits, self.n_seconds
        )

    @property
    def n_inputs(self) -> int:
        return int(self.widths.sum())

    @cached_property
    def starts(self) -> Ints:
        """(features + 1,) where each table starts in the flat one."""
        return np.concatenate([[0], np.cumsum(self.n_rows * self.widths)])

    @cached_property
    def first_rows(self) -> Ints:
        """(features + 1,) the same in rows."""
        return np.concatenate([[0], np.cumsum(self.n_rows)])


PRESETS = {
    "best": Shape(
        contexts=tuple(range(14)), successors=tuple(range(1, 14)), n_seconds=13, width=12, history_width=8, hidden=128
    ),
    "fast": Shape(
        contexts=(0, 1, 2, 3, 5, 7, 9), successors=(1, 2, 3, 5, 6, 7), n_seconds=0, width=8, history_width=8, hidden=48
    ),
}


def preset(name: str) -> Shape:
    """The shape of that name. Raises `InvalidConfig`."""
    if name not in PRESETS:
        raise InvalidConfig(f"neural: no preset {name!r}; there are {', '.join(sorted(PRESETS))}")
    return PRESETS[name]


def history_size(n_bytes: int) -> int:
    """Slots of each table of a document's history: small for small documents, which must not wait for their zeroing."""
    return 1 << min(max(n_bytes.bit_length(), 8), LARGEST_TABLE)


def features(shape: Shape, data: npt.NDArray[np.uint8]) -> npt.NDArray[np.int32]:
    """(n, features) row of each table for every position of a document (n,)."""
    from compressors.neural import _context

    rows = np.empty((len(data), len(shape.n_rows)), np.int32)
    state = _context.State.new(len(shape.successors), history_size(len(data)))
    _context.features(data, shape.sight, state, rows)
    return rows


@dataclass(frozen=True, kw_only=True, eq=False)
class Model:
    """The integer network, the tables of its arithmetic, and the mixers that every document starts with."""

    shape: Shape
    table: npt.NDArray[np.int8]
    weight1: npt.NDArray[np.int8]  # (hidden, inputs)
    bias1: npt.NDArray[np.int32]
    weight2: npt.NDArray[np.int8]  # (256, hidden)
    bias2: npt.NDArray[np.int32]
    squash: npt.NDArray[np.int32]  # (2 LIMIT + 1,) logit in 1/256 nat -> probability in 1/2^16
    mixer: npt.NDArray[np.int32]  # (16, 5) of `first_coder`
    start: Start
    own_start: bool  # in the artifact; else the package's

    @classmethod
    def of(cls, settings: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> Model:
        """The model in an artifact. Raises `InvalidConfig` if its parts do not fit together."""
        try:
            values: dict[str, Any] = {
                key: tuple(value) if isinstance(value, list) else value for key, value in settings["shape"].items()
            }
            shape = Shape(**values)
            dtypes = {"table": np.int8, "weight1": np.int8, "weight2": np.int8}
            parts: dict[str, Any] = {
                p: arrays[p].astype(dtypes.get(p, np.int32), "C", "safe", copy=False) for p in PARTS
            }
            layout = LAYOUTS[settings.get("preset", "fast")]
            own = not set(NAMES).isdisjoint(arrays)  # networks of before `mixing` have none
            start = Start.of(layout, arrays) if own else packaged_start(settings.get("preset", "fast"))
            model = cls(shape=shape, start=start, own_start=own, **parts)
            inputs, hidden = shape.n_inputs, shape.hidden
            expected = (
                (shape.starts[-1],),
                (hidden, inputs),
                (hidden,),
                (256, hidden),
                (256,),
                (2 * LIMIT + 1,),
                (16, 5),
            )
            wrong = [p for p, e in zip(PARTS, expected, strict=True) if getattr(model, p).shape != e]
            if wrong or not 0 <= min(shape.contexts) <= max(shape.contexts + shape.successors) < 14:
                raise ValueError(f"{', '.join(wrong) or 'contexts'} of unexpected shape")
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise InvalidConfig(
                f"neural: the artifact is damaged ({error}); make a new one with `proxyc fit`"
            ) from error
        return model

    def encode(self, data: bytes, binary: bool = False) -> bytes | None:
        """The coded bytes, or None if they would be more than `data`; `binary`: with the contexts for binary data."""
        raw, stream = np.frombuffer(data, np.uint8).copy(), np.empty(len(data) + 64, np.uint8)
        used = self._code(raw, 0, stream, binary)
        return None if used < 0 else stream[:used].tobytes().rstrip(b"\0")  # the decoder reads zeros after the end

    def decode(self, stream: bytes, n_bytes: int, binary: bool = False) -> bytes:
        """The `n_bytes` bytes that `encode` was given; anything, if it was given none."""
        raw = np.zeros(n_bytes, np.uint8)
        self._code(raw, 1, np.frombuffer(stream, np.uint8).copy(), binary)
        return raw.tobytes()

    def costs(self, data: bytes) -> npt.NDArray[np.float64]:
        """(n,) bits that coding each byte of `data` takes: what `encode` spends, byte by byte."""
        from compressors.neural import _costs

        bits = np.empty(len(data), np.float64)
        _costs.costs(np.frombuffer(data, np.uint8), bits, *self.parts(len(data), is_binary(data)))
        return bits

    def _code(self, raw: npt.NDArray[np.uint8], decoding: int, stream: npt.NDArray[np.uint8], binary: bool) -> int:
        from compressors.neural import _mixed_code

        parts = self.parts(len(raw), binary)
        return int(_mixed_code.code(raw, decoding, stream, *parts, np.array([-1, 0])))

    def parts(self, n_bytes: int, binary: bool, start: Start | None = None) -> tuple[Any, ...]:
        """(sight, state, network, ahead, decision, memory, tables) for a document of which nothing was seen."""
        from compressors.neural import _context, _mixed_code

        shape, n_places = self.shape, 1 << min(max(n_bytes.bit_length(), 10), LARGEST_PLACES)
        state = _context.State.new(len(shape.successors), history_size(n_bytes), n_places)
        _, output, stretch = self.packed
        mixing = mix(start or self.start, binary, n_bytes, self.squash, stretch, output, self.bias2)
        ahead = _mixed_code.Ahead.new(len(shape.widths), len(mixing[0].buckets))
        return shape.sight, state, self.network(), ahead, *mixing

    def network(self) -> Network:
        """The network before the first position."""
        from compressors.neural import _network

        weight1, weight2, _ = self.packed
        starts, widths = self.shape.starts[:-1], self.shape.widths
        return _network.Network.new(starts, widths, self.table, weight1, self.bias1, weight2, self.bias2)

    @cached_property
    def packed(self) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8], Ints]:
        """Both weights as the kernels read them, and `stretch`."""
        from compressors.neural import _network

        return _network.by_pairs(self.weight1), _network.by_nodes(self.weight2), stretch(self.squash)


PARTS = ("table", "weight1", "bias1", "weight2", "bias2", "squash", "mixer")
LIMIT = 2815  # 11 nats, as in `_code`


def squash_table() -> npt.NDArray[np.int32]:
    """(2 LIMIT + 1,) the logistic function. It is computed when a model is fitted, and kept with it: never at run time."""
    return np.rint(65536 / (1 + np.exp(-np.arange(-LIMIT, LIMIT + 1) / 256))).clip(1, 65535).astype(np.int32)


def stretch(squash: npt.NDArray[np.int32]) -> Ints:
    """(4096,) the logit of each probability in 1/2^12, the inverse of `squash` in integers."""
    return np.searchsorted(squash, 16 * np.arange(4096) + 8).astype(np.int64) - LIMIT
