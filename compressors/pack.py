"""`pack`: another codec's symbols regrouped into symbols of k bits; composition, not inheritance.

    pack:codec=bytes,bits=1            the bits of the text
    pack:codec=bytes,bits=4            half bytes
    pack:codec=bytes,bits=16           byte pairs
    pack:codec=bpe=FILE,bits=8         BPE ids as fixed-length bytes; with gray=1 in Gray code
    pack:codec=gzip,bits=16            bytes of the deflate stream in pairs

Each inner symbol is written with all bits of its type (8, 16 or 32), most significant first, and the bits are cut into
groups of k. The t < k bits left at the end become one symbol above 2^k, by t and value: so nothing is
padded, and no tail is lost (an odd byte, a NUL at the end).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from compressors import registry
from compressors.base import Compressor, Spans, Symbols, Vocab, check_range, checked_symbols
from compressors.errors import CorruptStream, InvalidConfig


@dataclass(frozen=True, kw_only=True)
class Pack(Compressor):
    """`codec`'s symbols in groups of `bits` bits (1 to 16); `gray` Gray-codes each inner symbol first.

    `codec` may be given as a Compressor, in its command-line form, or as {"name": ..., "config": ...}.
    """

    name: ClassVar[str] = "pack"
    codec: Compressor
    bits: int = 8
    gray: int = 0

    def __post_init__(self) -> None:
        inner: Any = self.codec
        if isinstance(inner, str):
            object.__setattr__(self, "codec", registry.parse(inner))
        elif isinstance(inner, Mapping):
            object.__setattr__(self, "codec", registry.get(inner["name"], **inner["config"]))
        if not isinstance(self.codec, Compressor) or isinstance(self.codec, Pack):
            raise InvalidConfig(f"pack: codec is {inner!r}; expected another codec, e.g. bytes or bpe=FILE")
        check_range(self.name, "bits", self.bits, 1, 16)
        check_range(self.name, "gray", self.gray, 0, 1)

    def config(self) -> dict[str, Any]:
        return self._with(self.codec.config())

    def stream_config(self) -> dict[str, Any]:
        return self._with(self.codec.stream_config())

    def _with(self, config: dict[str, Any]) -> dict[str, Any]:
        inner = {"name": self.codec.name, "config": config, "config_version": self.codec.config_version}
        return {"codec": inner, "bits": self.bits, "gray": self.gray}

    def library_versions(self) -> dict[str, str]:
        return self.codec.library_versions()

    @property
    def lossless(self) -> bool:  # type: ignore[override] # elsewhere an attribute
        """As the inner codec has it."""
        return self.codec.lossless

    @property
    def verify_on_write(self) -> bool:  # type: ignore[override] # elsewhere an attribute
        """As the inner codec has it, whose `compress` this is."""
        return self.codec.verify_on_write

    @cached_property
    def _width(self) -> int:
        """Bits of an inner symbol."""
        return 8 * self.codec.vocab.dtype.itemsize

    @cached_property
    def _tails(self) -> dict[int, int]:
        """First symbol for each number of bits that may be left at the end."""
        begin, tails = 1 << self.bits, {}
        # Only multiples of gcd(width, bits) can be left over: whole inner symbols less whole
        # groups.
        step = math.gcd(self._width, self.bits)
        for n_bits in range(step, self.bits, step):
            tails[n_bits] = begin
            begin += 1 << n_bits
        return tails

    @cached_property
    def vocab(self) -> Vocab:
        return Vocab(size=(1 << self.bits) + sum(1 << n_bits for n_bits in self._tails))

    def encode(self, data: bytes) -> Symbols:
        inner = self.codec.encode(data)
        if self.gray:
            # Gray code: neighbours differ in one bit.
            inner = inner ^ (inner >> 1)
        # Big-endian bytes, so that the bits of a symbol stand in order, most significant first.
        bits = np.unpackbits(inner.astype(inner.dtype.newbyteorder(">")).view(np.uint8))
        whole = len(bits) // self.bits * self.bits
        symbols = _values(bits[:whole].reshape(-1, self.bits))
        if whole < len(bits):
            tail = bits[whole:]
            symbols = np.append(symbols, self._tails[len(tail)] + _values(tail[None])[0])
        return symbols.astype(self.vocab.dtype)

    def decode(self, symbols: Symbols, *, max_output: int | None = None) -> bytes:
        values = checked_symbols(self, symbols).astype(np.int64)
        if (values[:-1] >= 1 << self.bits).any():
            raise CorruptStream("pack: a symbol for the end stands before the end")
        parts = [_bits(values, self.bits)]
        if len(values) and values[-1] >= 1 << self.bits:
            # The symbol of the tail: which length it belongs to, then its bits.
            n_bits, begin = max(
                (item for item in self._tails.items() if item[1] <= values[-1]), key=lambda item: item[1]
            )
            parts = [_bits(values[:-1], self.bits), _bits(values[-1:] - begin, n_bits)]
        bits = np.concatenate(parts)
        if len(bits) % self._width:
            raise CorruptStream(f"pack: {len(bits)} bits are not a whole number of symbols of {self._width} bits")
        dtype = self.codec.vocab.dtype
        inner = np.packbits(bits).view(dtype.newbyteorder(">")).astype(dtype)
        return self.codec.decode(_from_gray(inner) if self.gray else inner, max_output=max_output)

    def spans(self, data: bytes) -> Spans | None:
        """Bytes per symbol where whole inner symbols make one; None where a symbol is a part of one."""
        inner = self.codec.spans(data)
        if inner is None or self.bits % self._width:
            return None
        # Sums of `group` neighbouring spans; the last group may be shorter.
        group = self.bits // self._width
        return np.add.reduceat(inner, np.arange(0, len(inner), group)) if len(inner) else inner

    def compress(self, data: bytes) -> bytes:
        return self.codec.compress(data)

    def decompress(self, data: bytes, *, max_output: int | None = None) -> bytes:
        return self.codec.decompress(data, max_output=max_output)


def _values(bits: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """(n,) numbers from (n, k) bits, most significant first."""
    return bits.astype(np.int64) @ (1 << np.arange(bits.shape[1] - 1, -1, -1, dtype=np.int64))


def _bits(values: npt.NDArray[np.int64], n_bits: int) -> npt.NDArray[np.uint8]:
    """(n * n_bits,) bits of the numbers, most significant first."""
    return (values[:, None] >> np.arange(n_bits - 1, -1, -1) & 1).astype(np.uint8).reshape(-1)


def _from_gray(symbols: Symbols) -> Symbols:
    """The inverse of ``x ^ (x >> 1)``: XOR of all right shifts, by doubling."""
    shift = 1
    while shift < 8 * symbols.dtype.itemsize:
        symbols = symbols ^ (symbols >> shift)
        shift *= 2
    return symbols


__all__ = ["Pack"]
