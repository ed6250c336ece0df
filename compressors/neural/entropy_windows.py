"""`entropy-windows`: windows cut where the model is uncertain, as Zheng et al. published them (arXiv 2602.04289).

The model reads the document with full context; a segment begins wherever the entropy of the next byte is high. In
each segment model and coder start again, and the bytes are coded in windows of W bits: a window takes
bytes until the next one would need more bits, and its symbol is a number that arithmetic coding of its
bytes could give. As published, the symbol does not say how many bytes that were: a chunk and the same
chunk with a likely end share a symbol, so it is a one-way view.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from compressors.artifact import Artifact
from compressors.base import Compressor, Spans, Symbols, Vocab, check_range
from compressors.neural import first_coder
from compressors.neural.artifact import model_of, network_of
from compressors.neural.model import Model

# Entropy, in 1/256 bit, above which a segment begins. 4 bits give about the 2.6 bytes a window that were published.
THRESHOLD = 1024
# Read before every window: a network trained on documents takes what it reads first for the start of one, where hardly
# any word is likely. Without it windows hold a quarter fewer bytes.
_BEFORE = b"x = "
_KNOWN = 1 << 16  # segments whose windows are kept


@dataclass(frozen=True, kw_only=True)
class PublishedWindows(Compressor):
    """Windows of `width` bits cut by a network, as published: a one-way view, which neither decodes nor writes files.

    `preset` and `artifact` as in `neural`. Slow: every byte is read by the network twice.
    """

    name: ClassVar[str] = "entropy-windows"
    lossless: ClassVar[bool] = False
    preset: str = "fast"
    artifact: Artifact | None = None
    width: int = 16

    def __post_init__(self) -> None:
        check_range(self.name, "width", self.width, 8, 16)
        network = network_of(self.artifact, self.preset)
        object.__setattr__(self, "artifact", network)
        object.__setattr__(self, "preset", network.settings.get("preset", self.preset))

    @cached_property
    def _cutter(self) -> EntropyWindows:
        assert self.artifact is not None
        return EntropyWindows(model_of(self.artifact), self.width)

    @property
    def vocab(self) -> Vocab:
        return Vocab(size=1 << self.width)

    def encode(self, data: bytes) -> Symbols:
        return self._cutter.encode(data)[0]

    def spans(self, data: bytes) -> Spans:
        return self._cutter.encode(data)[1]


class EntropyWindows:
    """Cuts and codes with one model; `width` bits a window."""

    def __init__(self, model: Model, width: int) -> None:
        self.vocab = Vocab(size=1 << width)
        self._model, self._width = model, width
        self._known: dict[bytes, list[tuple[int, int]]] = {}

    def encode(self, data: bytes) -> tuple[Symbols, Spans]:
        """(symbols, bytes under each)."""
        # A byte above the threshold begins a segment; the first byte always does.
        begins = np.flatnonzero(self._entropies(data) > THRESHOLD)
        cuts = [0, *begins[begins > 0].tolist(), len(data)]
        found: list[tuple[int, int]] = []
        for begin, end in itertools.pairwise(cuts):
            found += self._segment(data[begin:end])
        columns = np.array(found, np.int64).reshape(-1, 2)
        return columns[:, 0].astype(self.vocab.dtype), columns[:, 1]

    def _segment(self, data: bytes) -> list[tuple[int, int]]:
        """(symbol, bytes) of the windows of a segment; it repeats itself in the text, so it is looked up first."""
        windows = self._known.get(data)
        if windows is None:
            windows, begin = [], 0
            while begin < len(data):
                taken, symbol = self._follow(_BEFORE + data[begin:], len(_BEFORE), self._width, np.empty(0, np.uint32))
                windows.append((int(symbol), int(taken)))
                begin += taken
            if len(self._known) < _KNOWN:
                self._known[data] = windows
        return windows

    def _entropies(self, data: bytes) -> npt.NDArray[np.uint32]:
        """(n,) entropy of every byte before it is known, in 1/256 bit."""
        entropy = np.empty(len(data), np.uint32)
        self._follow(data, 0, 0, entropy)
        return entropy

    def _follow(self, data: bytes, before: int, bits: int, entropy: npt.NDArray[np.uint32]) -> tuple[int, int]:
        from compressors.neural import _entropy_windows

        text, reach = np.frombuffer(data, np.uint8), np.empty(512, np.uint64)
        fresh = first_coder.parts(self._model, len(data), self._model.mixer.copy())
        return _entropy_windows.follow(text, before, bits, entropy, self._binary, reach, *fresh)  # type: ignore[no-any-return] # a kernel

    @cached_property
    def _binary(self) -> npt.NDArray[np.uint32]:
        return _binary_entropy()


def _binary_entropy() -> npt.NDArray[np.uint32]:
    """(4096,) entropy in 1/256 bit of a decision of probability (k + 1/2) / 4096, in integers throughout.

    256 log2(n) rounded down is the number of binary digits of n^256, less one.
    """
    cost = {n: 13 * 256 - ((n**256).bit_length() - 1) for n in range(1, 8192, 2)}
    return np.array([(n * cost[n] + (8192 - n) * cost[8192 - n]) >> 13 for n in cost], np.uint32)


__all__ = ["EntropyWindows", "PublishedWindows"]
