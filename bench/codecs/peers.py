"""General compressors that are not ours, each as a pair of functions on bytes."""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click


@dataclass(frozen=True)
class Coder:
    """One way to make documents small.

    `piece`: the bytes of a file that are coded together, 0 for all.
    """

    name: str
    compress: Callable[[bytes], bytes]
    decompress: Callable[[bytes], bytes]
    model_bytes: int = 0
    piece: int = 0


def general() -> list[Coder]:
    """All that are installed; lz4 and PPMd come with the extra `peers`."""
    return [xz(), Coder("bzip2 -9", bz2.compress, bz2.decompress), *lz4(), *ppmd()]


def xz() -> Coder:
    """`xz -9`."""
    return Coder("xz -9", _xz, lzma.decompress)


def _xz(data: bytes) -> bytes:
    """The stream of `xz -9` as .lzma: .xz is 45 bytes longer, 0.03 bits per byte of the documents
    of python-val.

    The dictionary is as large as the data: to make room for 64 MB each time takes 115 times as long
    on files of 4 kB.
    """
    size = min(max(len(data), 4096), 1 << 26)
    return lzma.compress(data, lzma.FORMAT_ALONE, filters=[{"id": lzma.FILTER_LZMA1, "preset": 9, "dict_size": size}])


def lz4() -> list[Coder]:
    """lz4 frames at level 9."""
    try:
        frame: Any = import_module("lz4.frame")
    except ImportError:
        return []
    return [Coder("lz4 -9", lambda data: bytes(frame.compress(data, compression_level=9)), frame.decompress)]


def ppmd() -> list[Coder]:
    """PPMd, variant H (as in 7z).

    Order 16, at which it was best of 4 to 16, and memory that no file here fills.

    Four bytes are counted for the length, which its decoder must be told. Variant I, which marks
    the end, is 0.005 bits per byte better, but pyppmd 1.3.1 does not decode one document of c-val.
    """
    try:
        pyppmd: Any = import_module("pyppmd")
    except ImportError:
        click.echo("PPMd: pyppmd is not installed", err=True)
        return []
    order, memory = 16, 1 << 28

    def compress(data: bytes) -> bytes:
        encoder = pyppmd.Ppmd7Encoder(order, memory)
        return len(data).to_bytes(4, "little") + bytes(encoder.encode(data)) + bytes(encoder.flush())

    def decompress(data: bytes) -> bytes:
        return bytes(pyppmd.Ppmd7Decoder(order, memory).decode(data[4:], int.from_bytes(data[:4], "little")))

    return [Coder(f"PPMd, order {order}", compress, decompress)]
