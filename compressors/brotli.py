"""`brotli`: symbols and files are the same brotli stream, which has neither header nor checksum.

So a `.br` file is known by its suffix, or by `--codec brotli`, and damage may go unnoticed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from compressors.base import check_range
from compressors.stream_codec import OUTPUT_PART, Decoder, Encoder, StreamCodec


class _BrotliEncoder:
    """brotli.Compressor with the method names of zlib's."""

    def __init__(self, quality: int) -> None:
        import brotli

        self._compressor = brotli.Compressor(quality=quality)

    def compress(self, data: bytes, /) -> bytes:
        return bytes(self._compressor.process(data))

    def flush(self) -> bytes:
        return bytes(self._compressor.finish())


class _BrotliDecoder:
    """brotli.Decompressor with the attributes of zlib's; output in parts, as 400 bytes may stand for 256 MiB."""

    unused_data = b""
    has_more = False

    def __init__(self) -> None:
        import brotli

        self._decompressor = brotli.Decompressor()

    @property
    def eof(self) -> bool:
        return bool(self._decompressor.is_finished())

    def decompress(self, data: bytes, /) -> bytes:
        out = bytes(self._decompressor.process(data, output_buffer_limit=OUTPUT_PART))
        # That all input is taken does not mean that all output was given: only a call that gives none says so.
        self.has_more = not self.eof and bool(out or not self._decompressor.can_accept_more_data())
        return out


@dataclass(frozen=True, kw_only=True)
class Brotli(StreamCodec):
    """Brotli (RFC 7932); `quality` 0 to 11. The default is 5: at 11 brotli encodes 1 MB in a second."""

    name: ClassVar[str] = "brotli"
    suffix: ClassVar[str] = ".br"
    frames: ClassVar[int | None] = 1
    quality: int = 5

    def __post_init__(self) -> None:
        check_range(self.name, "quality", self.quality, 0, 11)

    def library_versions(self) -> dict[str, str]:
        import brotli

        return {"brotli": str(brotli.version)}

    def symbol_encoder(self) -> Encoder:
        return _BrotliEncoder(self.quality)

    def symbol_decoder(self) -> Decoder:
        return _BrotliDecoder()

    file_encoder, file_decoder = symbol_encoder, symbol_decoder


__all__ = ["Brotli"]
