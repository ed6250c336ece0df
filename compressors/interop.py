"""Our compressors in other people's registries: numcodecs (zarr) and fsspec.

`pip install 'proxyc[bridges]'` brings both. numcodecs finds the codec by its entry point:
``numcodecs.get_codec({"id": "proxyc", "codec": "zstd:level=19"})``. fsspec has no entry points for compressions, so
`register_fsspec()` is called once, after which ``fsspec.open("x.pxc", compression="infer")`` reads `.pxc`, `.br` and the files
of plugins.
"""

from __future__ import annotations

import io
from functools import partial
from typing import Any, BinaryIO, ClassVar

import numcodecs.abc
import numcodecs.compat

from compressors import files, registry
from compressors.base import Compressor, check_lossless
from compressors.errors import InvalidConfig
from compressors.files.formats import classes


class Proxyc(numcodecs.abc.Codec):  # type: ignore[misc] # an untyped base
    """Any registered compressor as a numcodecs codec; `codec` is its command-line form, e.g. ``bpe=code.pxa``."""

    codec_id: ClassVar[str] = "proxyc"

    def __init__(self, codec: str = "zstd") -> None:
        self.codec = codec
        self._compressor = registry.parse(codec)
        check_lossless(self._compressor)

    def encode(self, buf: Any) -> bytes:
        """Compress any contiguous buffer."""
        return self._compressor.compress(bytes(numcodecs.compat.ensure_contiguous_ndarray(buf).view("u1")))

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Decompress, into `out` if given."""
        data = self._compressor.decompress(bytes(numcodecs.compat.ensure_contiguous_ndarray(buf).view("u1")))
        return numcodecs.compat.ndarray_copy(data, out) if out is not None else data


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


def _opened(suffix: str, raw: BinaryIO, mode: str = "rb", **_: Any) -> Any:
    if not mode.startswith("r"):
        raise InvalidConfig(f"fsspec: {suffix} files are read, not written; write them with compressors.files")
    return io.BufferedReader(files.Decompressed(raw, name=f"file{suffix}"))


__all__ = ["Proxyc", "register_fsspec"]
