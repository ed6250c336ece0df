"""`gzip`: symbols are the raw deflate stream; files are gzip members with the time set to 0."""

import zlib
from dataclasses import dataclass
from typing import ClassVar

from compressors.base import check_range
from compressors.stream_codec import Decoder, Encoder, StreamCodec

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
        return zlib.decompressobj(wbits=RAW_DEFLATE)

    def file_encoder(self) -> Encoder:
        return zlib.compressobj(self.level, wbits=GZIP)

    def file_decoder(self) -> Decoder:
        return zlib.decompressobj(wbits=GZIP)


__all__ = ["Gzip"]
