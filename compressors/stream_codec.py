"""Codecs whose symbols are the bytes of a standard stream: what gzip, zstd and brotli share.

Each gives two stream classes of its library. One is for symbols (`encode`: without magic number,
time,
name, size and checksum, which would be noise to a model). One is for files (`compress`: the
standard
format, checksummed where the format can be). A new codec of this kind subclasses `StreamCodec` and
writes
four methods; `files.whole` then reads and writes its files.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from compressors.base import Compressor, Symbols, Vocab, check_output, checked_symbols
from compressors.errors import CorruptStream, VerifyError

# Bytes of input decoded at once. What follows the end of a member or frame is copied for each of them, so a
# larger piece would make files of many short members slow.
INPUT_PIECE = 1 << 14
# Bytes of output, about, that a decoder gives at once: a bomb is noticed before it fills the memory.
OUTPUT_PART = 1 << 20
# Parts of the messages by which zstd, brotli and zlib say that they got no memory.
_NO_MEMORY = ("Allocation error", "ot enough memory", "Error -4 ")
# Part of a library's message -> the remedy to add to it; {} is the name of the codec.
_REMEDIES = {
    "ictionary": "; it was written with a dictionary: give it with --codec {}=FILE",
    "too much memory": "; its window is larger than 128 MB: where the source is trusted, --long=31 (zstd:window=31) takes it",
}


class Encoder(Protocol):
    """Incremental compression: feed pieces, then flush once."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class Decoder(Protocol):
    """Incremental decompression of one frame: `eof` once it is complete, `unused_data` what follows it.

    It returns about `OUTPUT_PART` bytes at most, and is called with ``b""`` as long as it says `has_more`. (One without
    that attribute, such as zlib's own, returns all that 16 KiB of input stand for.) It may have a method `another()`: a
    decoder of the next frame that uses its memory again.
    """

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


@dataclass(frozen=True, kw_only=True)
class StreamCodec(Compressor):
    """A codec over a standard compressed stream."""

    frames: ClassVar[int | None] = None  # how many frames a file may hold one after the other; None: any number
    padding: ClassVar[bytes] = b""  # what may stand between and after frames
    writes_size: ClassVar[bool] = False  # the format can say the size of the data

    @abstractmethod
    def symbol_encoder(self) -> Encoder:
        """A fresh encoder of the bare stream, for `encode`."""

    @abstractmethod
    def symbol_decoder(self) -> Decoder:
        """A fresh decoder of the bare stream, for `decode`."""

    @abstractmethod
    def file_encoder(self) -> Encoder:
        """A fresh encoder of the standard format, for `compress` and files."""

    @abstractmethod
    def file_decoder(self) -> Decoder:
        """A fresh decoder of the standard format, for `decompress` and files."""

    @property
    def vocab(self) -> Vocab:
        return Vocab(size=256)

    def encode(self, data: bytes) -> Symbols:
        import numpy as np

        encoder = self.symbol_encoder()
        return np.frombuffer(encoder.compress(data) + encoder.flush(), np.uint8)

    def decode(self, symbols: Symbols, *, max_output: int | None = None) -> bytes:
        data = checked_symbols(self, symbols).tobytes()
        return b"".join(decoded(self.name, self.symbol_decoder, [data], frames=1, max_output=max_output))

    def compress(self, data: bytes) -> bytes:
        encoder = self.file_encoder()
        return encoder.compress(data) + encoder.flush()

    def decompress(self, data: bytes, *, max_output: int | None = None) -> bytes:
        return b"".join(self.decompress_stream([data], max_output=max_output))

    def compress_stream(self, pieces: Iterable[bytes], *, threads: int = 1, size: int | None = None) -> Iterator[bytes]:
        """Compress a stream piece by piece into one standard file, in bounded memory.

        `threads` are used where the library has any (zstd); the bytes do not depend on how many. `size`, of all pieces
        together, is written where the format `writes_size`.
        """
        encoder = self.file_encoder()
        for piece in pieces:
            yield encoder.compress(piece)
        yield encoder.flush()

    def decompress_stream(self, pieces: Iterable[bytes], *, max_output: int | None = None) -> Iterator[bytes]:
        """Decompress a standard file, concatenated frames or members included, in bounded memory.

        Raises `CorruptStream` on an empty, damaged or truncated file.
        """
        return decoded(
            self.name, self.file_decoder, pieces, frames=self.frames, padding=self.padding, max_output=max_output
        )

    def verified_stream(self, pieces: Iterable[bytes], **how: Any) -> Iterator[bytes]:
        """What `compress_stream` gives, decompressed again as it goes by.

        Raises `VerifyError` at the end on a difference.
        """
        # Hash what goes in and what comes back. `passed` holds compressed pieces that the decoder
        # below has read but the caller has not got yet.
        given, back, passed = hashlib.sha256(), hashlib.sha256(), list[bytes]()

        def seen() -> Iterator[bytes]:
            """`pieces`, hashed on their way to the encoder."""
            for piece in pieces:
                given.update(piece)
                yield piece

        def packed() -> Iterator[bytes]:
            """The compressed pieces, noted on their way to the decoder."""
            for out in self.compress_stream(seen(), **how):
                passed.append(out)
                yield out

        for raw in self.decompress_stream(packed()):
            back.update(raw)
            yield from passed
            passed.clear()
        yield from passed
        if back.digest() != given.digest():
            raise VerifyError(f"{self.name}: the stream does not decode to what was compressed; please report it")


def decoded(
    codec: str,
    new_decoder: Callable[[], Decoder],
    pieces: Iterable[bytes],
    *,
    frames: int | None = None,
    padding: bytes = b"",
    max_output: int | None = None,
) -> Iterator[bytes]:
    """Decode up to `frames` frames (None: any number) from `pieces`; what follows the last is an error.

    `padding`: bytes that may stand between frames and after the last. Raises `CorruptStream` for
    damaged or missing data, and `OutputLimitExceeded` beyond `max_output` bytes.
    """
    decoder, started, n_bytes, n_frames = new_decoder(), False, 0, 0
    for piece in (part for whole in pieces for part in _cut(whole)):
        rest = piece
        while rest:
            # Between frames only padding may stand; where a frame has begun, every byte belongs to
            # it.
            if n_frames and not started and not (rest := rest.lstrip(padding) if padding else rest):
                break
            if n_frames == frames:
                raise CorruptStream(f"{codec}: {len(rest)} or more bytes follow the end of the stream")
            for out in _outputs(codec, decoder, rest):
                n_bytes += len(out)
                check_output(codec, n_bytes, max_output)
                yield out
            # The end of a frame: what the library did not use starts the next one.
            started, rest = True, b""
            if decoder.eof:
                rest = decoder.unused_data
                decoder = getattr(decoder, "another", new_decoder)()
                started, n_frames = False, n_frames + 1
    if started or n_frames == 0:
        raise CorruptStream(f"{codec}: the data ends in the middle of a stream, after {n_bytes} bytes of output")


def _outputs(codec: str, decoder: Decoder, data: bytes) -> Iterator[bytes]:
    """All output for one piece of input, in parts. Raises `CorruptStream` for any error of the
    library.
    """
    try:
        yield decoder.decompress(data)
        while getattr(decoder, "has_more", False):
            yield decoder.decompress(b"")
    except MemoryError:
        raise
    except Exception as error:  # zlib.error, ZstdError and brotli.error have no common base
        if any(sign in str(error) for sign in _NO_MEMORY):
            raise MemoryError from error
        remedy = next((remedy.format(codec) for sign, remedy in _REMEDIES.items() if sign in str(error)), "")
        raise CorruptStream(f"{codec}: {error or 'not a stream of this codec'}{remedy}") from error


def _cut(data: bytes) -> Iterator[bytes]:
    """`data` in pieces of at most `INPUT_PIECE` bytes."""
    view = memoryview(data)
    return (bytes(view[start : start + INPUT_PIECE]) for start in range(0, len(data), INPUT_PIECE))


__all__ = ["INPUT_PIECE", "OUTPUT_PART", "Decoder", "Encoder", "StreamCodec", "decoded"]
