"""Compressed files: written whole or not at all, read by content.

`compress_file`, `decompress_file` and `check_file` work on paths, `compress_stream` and
`decompress_stream` on streams; `open` gives a seekable file over a `.pxc`; `inspect` says what is
in one.

The modules, from the bottom up: `byte_streams` reads and writes bytes; `pxc_format` packs the
records of
a `.pxc` file; `pxc_index` finds its blocks; `pxc` writes and reads it in order; `formats` tells
which
format a file is in; `pxc_codec` makes the codec that a header names; `pxc_reader` reads by byte
range;
`pxc_salvage` rescues damaged files; `whole` has the functions for whole files.
"""

from compressors.files.byte_streams import PIECE, STDIN, Progress, opened
from compressors.files.formats import compressed_name, decompressed_name, is_compressed
from compressors.files.pxc_reader import inspect
from compressors.files.pxc_reader import open_pxc as open
from compressors.files.whole import (
    Decompressed,
    Options,
    check_file,
    compress_file,
    compress_stream,
    decompress_file,
    decompress_stream,
    decompressed,
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
