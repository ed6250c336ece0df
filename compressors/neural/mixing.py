"""What the coder of today's streams starts a document with, and how much memory it takes for it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from compressors.artifact import Artifact
from compressors.errors import InvalidConfig
from compressors.neural.histories import likely, transitions

if TYPE_CHECKING:
    from compressors.neural._mixing import Decision, Memory, Tables

N_FIXED, LANES = 3, 8  # as in `_mixing` and `_vectors`, which only coding loads
_SET_ROWS = (16, 256, 256)  # by the match, by the bits known, by the byte before
NAMES = ("mix_weights", "mix_final", "mix_maps", "mix_matches")
RECIPROCAL = np.array([(1 << 17) // (2 * n + 3) for n in range(1024)], np.int64)  # 1 / (n + 1.5) in 1/2^16
# log2 of the bytes of the histories: a byte of text takes about 60 of them.
_SMALLEST, _LARGEST = 13, 26
_BINARY_LIMIT = 160  # counts of the maps of histories, which are not fitted for binary data and always learn there


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The contexts whose histories a preset mixes, and how fast it learns."""

    text: tuple[int, ...]  # numbers of the contexts of `_mixed_code`
    binary: tuple[int, ...]  # for binary data
    counters: int  # of the last 0, 1, ... bytes
    sets: tuple[int, ...]  # of weights, by what chooses their row
    maps: int  # that refine the answer: 1 or 2
    map_bits: int  # log2 of the most rows they have
    settings: tuple[int, ...]  # see `_mixing`; maps of histories that learn cost `fast` a tenth of its speed for 0.2 %

    @property
    def n_inputs(self) -> int:
        """Inputs of the mixer, a whole number of vectors."""
        n = N_FIXED + len(self.text) + self.counters
        return n + -n % LANES

    @property
    def first_rows(self) -> list[int]:
        """(sets + 1,) where the rows of each set of weights begin."""
        return list(itertools.accumulate((_SET_ROWS[choice] for choice in self.sets), initial=0))


LAYOUTS = {
    "best": Layout(
        text=(*range(8), 9, 10, 11, 12, 13, 14), binary=(*range(8), *range(14, 20)), counters=2, sets=(0, 1, 2),
        maps=2, map_bits=16, settings=(16, 8, 4, 64, 160, 254),
    ),
    "fast": Layout(
        text=(1, 2, 4, 6), binary=(1, 3, 14, 17), counters=0, sets=(0, 1),
        maps=1, map_bits=10, settings=(16, 8, 4, 64, 0, 254),
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Start:
    """The mixers and maps that every document of text starts with; those of binary data are not fitted."""

    layout: Layout
    weights: npt.NDArray[np.int32]  # (rows of all sets, inputs)
    final: npt.NDArray[np.int32]  # (16, sets)
    maps: npt.NDArray[np.uint32]  # (contexts, 256)
    matches: npt.NDArray[np.uint32]  # (16,)

    @classmethod
    def plain(cls, layout: Layout) -> Start:
        """Nothing is known: mostly the network is believed."""
        row, n_sets = np.zeros(layout.n_inputs, np.int32), len(layout.sets)
        row[:3] = 40_000, 6_000, 10_000
        first = N_FIXED + len(layout.text)
        row[N_FIXED:first] = 9_000
        row[first : first + layout.counters] = 6_000
        right = np.array([((1 << 22) * (4 * n + 1) // (4 * n + 3)) << 10 for n in range(16)], np.uint32)
        return cls(
            layout=layout, weights=np.tile(row, (layout.first_rows[-1], 1)),
            final=np.full((16, n_sets), 65_536 // n_sets, np.int32),
            maps=np.tile(likely(), (len(layout.text), 1)), matches=right,
        )  # fmt: skip

    @classmethod
    def of(cls, layout: Layout, arrays: Mapping[str, npt.NDArray[Any]]) -> Start:
        """The start in an artifact. Raises `InvalidConfig` if its shapes are others."""
        plain = cls.plain(layout)
        parts = {name.removeprefix("mix_"): arrays[name] for name in NAMES if name in arrays}
        for name, like in plain.arrays().items():
            found = parts.get(name.removeprefix("mix_"))
            if found is None or (found.shape, found.dtype) != (like.shape, like.dtype):
                raise InvalidConfig(f"neural: the artifact is damaged ({name}); make a new one with `proxyc fit`")
        return cls(layout=layout, **parts)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What an artifact keeps."""
        return {name: getattr(self, name.removeprefix("mix_")) for name in NAMES}

    @cached_property
    def binary(self) -> Start:
        """The start for binary data."""
        return Start.plain(self.layout)


ASSET = "neural-mixing"


@cache
def packaged_start(preset: str) -> Start:
    """The start that comes with the package, for networks that have none with them."""
    arrays = Artifact.packaged(ASSET).arrays
    return Start.of(LAYOUTS[preset], {name: arrays[f"{preset}_{name}"] for name in NAMES})


@cache
def packaged_tests() -> Mapping[str, str]:
    """Digest of the first coder's stream under a network of the package -> that of today's coder."""
    return dict(Artifact.packaged(ASSET).settings["self_test"])


def is_binary(data: bytes) -> bool:
    """Whether one of 50 bytes or more is a control character that texts do not have."""
    head = data[:65_536]
    return 50 * sum(head.count(byte) for byte in (0, 1, 2, 3, 4, 5, 6, 7, 8, 14, 15, 16)) >= max(len(head), 1)


def parts(
    start: Start, binary: bool, n_bytes: int, squash: npt.NDArray[np.int32], stretch: npt.NDArray[np.int64],
    output: npt.NDArray[np.int8], bias: npt.NDArray[np.int32],
) -> tuple[Decision, Memory, Tables]:  # fmt: skip
    """Everything of `_mixing` for a document of `n_bytes` of which nothing was seen, at the network's output layer."""
    from compressors.neural._mixing import APM_STEPS, MAP_LIMIT, Decision, Memory, Tables

    layout = start.layout
    which = layout.binary if binary else layout.text
    begin, settings = start.binary if binary else start, np.array(layout.settings, np.int64)
    if binary:
        settings[MAP_LIMIT] = settings[MAP_LIMIT] or _BINARY_LIMIT
    n_apm = 1 << min(max(n_bytes.bit_length() - 2, 9), layout.map_bits)
    n_slots = 1 << min(max(n_bytes.bit_length() + 2, 10), 20)
    n_histories = 1 << min(max((48 * n_bytes * len(which) // 12).bit_length(), _SMALLEST), _LARGEST)
    tables = Tables(
        squash, stretch.astype(np.int16), transitions(), RECIPROCAL, np.array(which, np.int64),
        np.array(layout.sets, np.int64), np.array(layout.first_rows, np.int64), settings,
    )  # fmt: skip
    memory = Memory(
        begin.weights.reshape(-1).copy(), begin.final.copy(), begin.maps.copy(), begin.matches.copy(),
        output.astype(np.int16) << 8, bias[:256] << 8, _aligned(n_histories),
        np.zeros((layout.counters, n_slots), np.uint32), np.tile(_even_map(squash, APM_STEPS), (layout.maps, n_apm)),
    )  # fmt: skip
    n_sets = len(layout.sets)
    decision = Decision(
        np.zeros(layout.n_inputs, np.int32), np.zeros(len(which), np.int64), np.zeros(len(which), np.int64),
        np.zeros(layout.counters, np.uint64), np.zeros(n_sets, np.int64), np.zeros(n_sets, np.int64),
        np.zeros(layout.maps, np.int64), np.zeros(8, np.int64),
    )  # fmt: skip
    return decision, memory, tables


def _aligned(n: int) -> npt.NDArray[np.uint8]:
    """(n,) zeros that begin at a line of the processor's cache: four buckets are one line."""
    room = np.zeros(n + 64, np.uint8)
    first = -room.ctypes.data % 64
    return room[first : first + n]


def _even_map(squash: npt.NDArray[np.int32], steps: int) -> npt.NDArray[np.uint32]:
    """(steps,) the map that changes nothing: the probability of every whole nat, in 1/2^22."""
    return (squash[np.minimum(256 * np.arange(steps), len(squash) - 1)] << 6).astype(np.uint32)
