"""The laws of files, a part of the conformance kit: any ratio, pieces of any size, bounded memory.

`testing.check` calls `check_files` for every lossless codec. It works through `compressors.files`,
as the
command line does, so it also covers the `.pxc` container around codecs without a file format.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator, Sequence

from compressors import files
from compressors.base import Compressor
from compressors.stream_codec import StreamCodec
from compressors.testing import law

# Ratios of text to noise: incompressible text, ordinary text, and two that make a decoder's output
# explode.
RATIOS = (1, 10, 1_000, 100_000)
# A decoder gives its output in parts: no part of any output may be larger. A .pxc block has 1 MiB.
LARGEST_PART = 2 << 20


def text_of_ratio(n_bytes: int, ratio: int) -> bytes:
    """Noise that repeats itself, of which an ideal compressor keeps a `ratio`-th part."""
    noise = random.Random(ratio).randbytes(max(1, n_bytes // ratio))
    return (noise * -(-n_bytes // len(noise)))[:n_bytes]


def check_files(codec: Compressor, n_bytes: int | None = None, ratios: Sequence[int] = RATIOS) -> None:
    """Raise `LawBroken` unless files of `codec` hold texts of all `ratios`, however they are read and written.

    The texts have `n_bytes`; by default 3 MB for stream codecs and ratios of 1,000 or more, else 100 kB.
    """
    for ratio in ratios:
        # 3 MB only where the text is nearly all repetition: a stream codec then needs no time for
        # it.
        streams = isinstance(codec, StreamCodec) and ratio >= 1_000
        text = text_of_ratio(n_bytes or (3_000_000 if streams else 100_000), ratio)
        _round_trips(codec, text, f"a text of ratio {ratio:,}")
    _pieces(codec, text_of_ratio(3_000, 10))


def _round_trips(codec: Compressor, text: bytes, what: str) -> None:
    """Symbols and files of `text` give it back, and no part of the output is large; `what` names the
    text.
    """
    law(codec.decode(codec.encode(text)) == text, codec, f"decode(encode(data)) == data, for {what}")
    packed = _packed(codec, text, len(text) + 1)
    parts = list(_unpacked(codec, packed, len(packed) + 1))
    law(
        b"".join(parts) == text, codec, f"files give back what they were made of, for {what}", found=_sizes(parts, text)
    )
    largest = max(map(len, parts), default=0)
    law(
        largest <= LARGEST_PART,
        codec,
        f"output comes in parts of at most {LARGEST_PART} bytes, for {what}",
        found=largest,
    )


def _pieces(codec: Compressor, text: bytes) -> None:
    """What a file holds does not depend on the pieces that its source was read in, nor what it gives on its own."""
    packed = _packed(codec, text, len(text))
    for size in (1, 2, 7, 4096):
        law(_packed(codec, text, size) == packed, codec, f"a file does not depend on pieces of {size} bytes")
        parts = list(_unpacked(codec, packed, size))
        law(b"".join(parts) == text, codec, f"files are read in pieces of {size} bytes", found=_sizes(parts, text))


class _Slow(io.BytesIO):
    """A source that gives at most `size` bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        super().__init__(data)
        self._size = size

    def read(self, n: int | None = -1) -> bytes:
        return super().read(self._size if n is None or n < 0 else min(n, self._size))


def _packed(codec: Compressor, text: bytes, size: int) -> bytes:
    """The file of `text`, its source read in pieces of at most `size` bytes."""
    sink = io.BytesIO()
    files.compress_stream(codec, _Slow(text, size), sink)
    return sink.getvalue()


def _unpacked(codec: Compressor, packed: bytes, size: int) -> Iterator[bytes]:
    """The parts that a decoder gives when the file is read in pieces of at most `size` bytes."""
    return files.decompressed(_Slow(packed, size), codec=codec, name=f"file{codec.suffix}")


def _sizes(parts: Sequence[bytes], text: bytes) -> str:
    """What a message shows instead of megabytes of data: both lengths."""
    return f"{sum(map(len, parts))} bytes, expected {len(text)}"


__all__ = ["LARGEST_PART", "RATIOS", "check_files", "text_of_ratio"]
