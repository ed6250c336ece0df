"""Decompression of one zstd frame in parts of bounded size.

The library gives all that its input stands for at once, and 4 bytes may stand for 128 KiB. So the input is cut where
blocks begin (RFC 8878, section 3.1.1), and a few blocks are decompressed at a time.

`zstd.Zstd` makes a `FrameDecoder` for symbols and for files, and `stream_codec.decoded` drives it.
"""

from __future__ import annotations

from typing import Any

from compressors.stream_codec import OUTPUT_PART

MAGIC = b"\x28\xb5\x2f\xfd"
BLOCK_MAX = 1 << 17  # bytes that one block may stand for
_RLE, _COMPRESSED = 1, 2  # kinds of blocks


class FrameDecoder:
    """One frame of a `ZstdDecompressor`, standard, skippable, or without magic number; like zlib's decompressobj."""

    has_more = False

    def __init__(self, decompressor: Any, *, has_magic: bool = True) -> None:
        self._decompressor, self._has_magic = decompressor, has_magic
        self._library = decompressor.decompressobj()
        self._held, self._at = b"", 0  # what the library has not been given yet: _held[_at:]
        self._left = 0  # bytes of the header, block or checksum begun that were not seen yet
        self._next = "header"  # what comes then: not a bound method, which would be a circle that keeps buffers alive
        self._checksum = False

    @property
    def eof(self) -> bool:
        return bool(self._library.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._library.unused_data) + self._held[self._at :]

    def another(self) -> FrameDecoder:
        """A decoder of the frame that follows; this one has come to its end."""
        return FrameDecoder(self._decompressor, has_magic=self._has_magic)

    def decompress(self, data: bytes, /) -> bytes:
        """What the next blocks stand for, at most `OUTPUT_PART` bytes and one block more."""
        self._held, self._at = self._held[self._at :] + data, 0
        end, output = 0, 0
        # Take whole parts (header, blocks) from what is held until they stand for enough output.
        while output < OUTPUT_PART:
            if not self._left:
                part = self._part(end)
                if part is None:
                    break
                self._left, expected = part
                output += expected
            # A part may continue in the next input: `_left` counts what is missing.
            taken = min(self._left, len(self._held) - end)
            if not taken:
                break
            end, self._left = end + taken, self._left - taken
        self._at = end
        out = bytes(self._library.decompress(self._held[:end])) if end else b""
        self.has_more = output >= OUTPUT_PART and not self.eof
        if self._next == "nothing" and not self._left and not self.eof:
            raise ValueError("the frame does not end after its last block")
        return out

    def _part(self, at: int) -> tuple[int, int] | None:
        """Size of the part that begins at byte `at` of what is held, and about how much output it stands for.

        None if that cannot be told yet, or the frame is at its end.
        """
        if self._next == "header":
            return self._header(at)
        return self._block(at) if self._next == "block" else None

    def _header(self, at: int) -> tuple[int, int] | None:
        """The frame's header; of a skippable frame all, and of what is not a frame, too: the library says so."""
        start = self._held[at : at + 8]
        magic = start[:4] if self._has_magic else b""
        if len(start) < (5 if self._has_magic else 1):
            return None
        if self._has_magic and magic != MAGIC:
            if magic[1:] != b"\x2a\x4d\x18" or magic[0] >> 4 != 5:
                return len(self._held) - at, 0
            if len(start) < 8:
                return None
            self._next = "nothing"
            return 8 + int.from_bytes(start[4:], "little"), 0
        # Frame_Header_Descriptor: bits 7-6 size of the content size, 5 single segment (then the
        # window byte is left out), 2 checksum, 1-0 size of the dictionary id.
        descriptor = start[len(magic)]
        one_segment = descriptor >> 5 & 1
        content_size = (one_segment, 2, 4, 8)[descriptor >> 6]
        self._checksum, self._next = bool(descriptor & 4), "block"
        return len(magic) + 1 + (1 - one_segment) + (0, 1, 2, 4)[descriptor & 3] + content_size, 0

    def _block(self, at: int) -> tuple[int, int] | None:
        """A block with its header of three bytes; with the last one the checksum of the frame."""
        if len(self._held) < at + 3:
            return None
        header = int.from_bytes(self._held[at : at + 3], "little")
        # Bit 0: the last block; bits 1-2: its kind; the rest: its size, or of a run how often its
        # byte repeats.
        kind, size = header >> 1 & 3, header >> 3
        length = 3 + (1 if kind == _RLE else size)
        if header & 1:
            self._next = "nothing"
            length += 4 * self._checksum
        return length, BLOCK_MAX if kind == _COMPRESSED else min(size, BLOCK_MAX)


__all__ = ["FrameDecoder"]
