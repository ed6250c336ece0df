"""General compressors that are not ours, each as a pair of functions on bytes."""

from __future__ import annotations

import bz2
import lzma
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import click


@dataclass(frozen=True)
class Coder:
    """One way to make documents small.

    `piece`: the bytes of a file that are coded together, 0 for all. `outside`: another process does
    it, whose memory is not measured.
    """

    name: str
    compress: Callable[[bytes], bytes]
    decompress: Callable[[bytes], bytes]
    model_bytes: int = 0
    piece: int = 0
    outside: bool = False


def general() -> list[Coder]:
    """All that are installed; lz4 and PPMd come with the extra `peers`, zpaq and paq with the system."""
    return [xz(), Coder("bzip2 -9", bz2.compress, bz2.decompress), *lz4(), *ppmd(), *zpaq(), *paq9a()]


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


def paq9a() -> list[Coder]:
    """paq9a by the module `paq`, which Debian has as python3-paq."""
    try:
        paq: Any = import_module("paq")
    except ImportError:
        return []
    return [Coder("paq9a", lambda data: bytes(paq.compress(data)), lambda data: bytes(paq.decompress(data)))]


def zpaq() -> list[Coder]:
    """The two best methods of zpaq 7. An archive also has the name, date and SHA-1 of the file."""
    program = shutil.which("zpaq")

    def run(data: bytes, name: str, arguments: list[str], made: str) -> bytes:
        assert program is not None
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, name).write_bytes(data)
            subprocess.run([program, *arguments, "-t1"], cwd=folder, capture_output=True, check=True)
            return Path(folder, made).read_bytes()

    def coder(method: str) -> Coder:
        add, extract = ["add", "made.zpaq", "text", method], ["extract", "made.zpaq"]
        compress = partial(run, name="text", arguments=add, made="made.zpaq")
        return Coder(
            f"zpaq {method}", compress, partial(run, name="made.zpaq", arguments=extract, made="text"), outside=True
        )

    return [coder(method) for method in ("-m4", "-m5")] if program else []
