"""Our file formats for fsspec: `.pxc`, and those of codecs that it does not know."""

from __future__ import annotations

import io
from functools import partial
from typing import Any, BinaryIO

from compressors import files
from compressors.base import Compressor
from compressors.errors import InvalidConfig
from compressors.files.formats import classes


def register_fsspec() -> None:
    """Let fsspec read `.pxc` files, and those of codecs that it does not know, by suffix and under the codec's name.

    Files that need an artifact or a dictionary are not read. Plugins are imported to be asked for their suffixes.
    """
    import fsspec.compression
    import fsspec.utils

    formats = {"pxc": Compressor.suffix} | {cls.name: cls.suffix for cls in classes()}
    for name, suffix in formats.items():
        if fsspec.utils.compressions.get(suffix[1:]) in (None, name):
            fsspec.compression.register_compression(name, partial(_opened, suffix), suffix[1:], force=True)


def _opened(suffix: str, raw: BinaryIO, mode: str = "rb", **_: Any) -> io.BufferedReader:
    """A buffered file; of `.pxc` seekable where `raw` is, and of a local file one that workers may share and pickle."""
    from fsspec.implementations.local import LocalFileOpener

    if not mode.startswith("r"):
        raise InvalidConfig(f"fsspec: {suffix} files are read, not written; write them with compressors.files")
    if suffix == Compressor.suffix and isinstance(raw, LocalFileOpener):
        return files.open(raw.name)
    if suffix == Compressor.suffix and raw.seekable():
        return files.open(raw)
    return io.BufferedReader(files.Decompressed(raw, name=f"file{suffix}"))


__all__ = ["register_fsspec"]
