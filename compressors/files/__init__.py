"""Compressed files: written whole or not at all, read by content.

`compress_file`, `decompress_file` and `check_file` work on paths, `compress_stream` and `decompress_stream` on streams;
`open` gives a seekable file over a `.pxc`.
"""

from compressors.files.byte_streams import PIECE, Progress
from compressors.files.formats import compressed_name, decompressed_name, is_compressed
from compressors.files.whole import (
    STDIN,
    Decompressed,
    Options,
    check_file,
    compress_file,
    compress_stream,
    decompress_file,
    decompress_stream,
    decompressed,
    inspect,
    open,
    opened,
    same_content,
)

__all__ = [
    "PIECE",
    "STDIN",
    "Decompressed",
    "Options",
    "Progress",
    "check_file",
    "compress_file",
    "compress_stream",
    "compressed_name",
    "decompress_file",
    "decompress_stream",
    "decompressed",
    "decompressed_name",
    "inspect",
    "is_compressed",
    "open",
    "opened",
    "same_content",
]
