"""`bytes`: the identity. One symbol per byte: the raw view, and the baseline of every table."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from compressors.base import Compressor, Symbols, Vocab, check_output, checked_symbols


@dataclass(frozen=True, kw_only=True)
class Identity(Compressor):
    """Symbols are the bytes themselves; `compress` stores them as they are.

    The smallest codec, and a template for a new one: `vocab`, `encode` and `decode` are required.
    """

    name: ClassVar[str] = "bytes"

    @cached_property
    def vocab(self) -> Vocab:
        return Vocab(size=256, pieces=tuple(bytes([b]) for b in range(256)))

    def encode(self, data: bytes) -> Symbols:
        return np.frombuffer(data, np.uint8)

    def decode(self, symbols: Symbols, *, max_output: int | None = None) -> bytes:
        # `checked_symbols` raises `CorruptStream` for other types and values; of uint8 every value
        # is a symbol.
        data = checked_symbols(self, symbols).tobytes()
        check_output(self.name, len(data), max_output)
        return data

    def compress(self, data: bytes) -> bytes:
        return bytes(data)

    def decompress(self, data: bytes, *, max_output: int | None = None) -> bytes:
        check_output(self.name, len(data), max_output)
        return bytes(data)


__all__ = ["Identity"]
