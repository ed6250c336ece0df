"""`gzip`: symbols are the raw deflate stream; files are gzip members with the time set to 0.

The version of zlib is part of the fingerprint, since it decides the bytes.
"""

import zlib
from dataclasses import dataclass
from typing import ClassVar

from compressors.base import check_range
from compressors.stream_codec import OUTPUT_PART, Decoder, Encoder, StreamCodec

RAW_DEFLATE, GZIP = -15, 31  # zlib's wbits: no header and no checksum; the gzip header (zlib writes mtime 0) and CRC-32


@dataclass(frozen=True, kw_only=True)
class Gzip(StreamCodec):
    """Deflate (RFC 1951) as symbols, gzip (RFC 1952) as files; `level` 0 to 9."""

    name: ClassVar[str] = "gzip"
    suffix: ClassVar[str] = ".gz"
    magics: ClassVar[tuple[bytes, ...]] = (b"\x1f\x8b",)
    archive_suffixes: ClassVar[tuple[str, ...]] = (".tgz", ".taz")
    padding: ClassVar[bytes] = b"\0"  # as tapes have it; gzip -d accepts it too
    level: int = 6

    def __post_init__(self) -> None:
        check_range(self.name, "level", self.level, 0, 9)

    def library_versions(self) -> dict[str, str]:
        return {"zlib": zlib.ZLIB_RUNTIME_VERSION}

    def symbol_encoder(self) -> Encoder:
        return zlib.compressobj(self.level, wbits=RAW_DEFLATE)

    def symbol_decoder(self) -> Decoder:
        return _Inflater(RAW_DEFLATE)

    def file_encoder(self) -> Encoder:
        return zlib.compressobj(self.level, wbits=GZIP)

    def file_decoder(self) -> Decoder:
        return _Inflater(GZIP)


class _Inflater:
    """zlib's decompressor, whose output comes in parts: 16 KiB of input may stand for 16 MiB."""

    has_more = False

    def __init__(self, wbits: int) -> None:
        self._inflate = zlib.decompressobj(wbits=wbits)

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, /) -> bytes:
        # zlib keeps input that it did not need for this part of the output: it comes first next
        # time.
        out = self._inflate.decompress(self._inflate.unconsumed_tail + data, OUTPUT_PART)
        self.has_more = not self.eof and len(out) == OUTPUT_PART  # less would have been all there is
        return out


__all__ = ["Gzip"]
