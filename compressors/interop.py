"""Our compressors in other people's registries: numcodecs (zarr) and fsspec.

`pip install 'proxyc[bridges]'` brings both. numcodecs finds the codec by its entry point:
``numcodecs.get_codec({"id": "proxyc", "codec": "zstd:level=19"})``. fsspec has no entry points for compressions, so
`register_fsspec()` is called once, after which ``fsspec.open("x.pxc", compression="infer")`` reads `.pxc` files.
"""

from __future__ import annotations

from typing import Any, BinaryIO, ClassVar

import numcodecs.abc
import numcodecs.compat

from compressors import files, registry
from compressors.base import check_lossless
from compressors.errors import InvalidConfig


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
    """Let fsspec read `.pxc` files (not those that need an artifact) under the name "pxc" and by their suffix."""
    import fsspec.compression

    fsspec.compression.register_compression("pxc", _open_pxc, "pxc", force=True)


def _open_pxc(raw: BinaryIO, mode: str = "rb", **_: Any) -> Any:
    if not mode.startswith("r"):
        raise InvalidConfig("fsspec: .pxc files are read, not written; write them with compressors.files")
    return files.Decompressed(raw)


__all__ = ["Proxyc", "register_fsspec"]
