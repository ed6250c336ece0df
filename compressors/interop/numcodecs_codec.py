"""Any registered compressor as a codec of numcodecs, and so of arrays of zarr's format 2."""

from __future__ import annotations

from typing import Any, ClassVar

import numcodecs.abc
import numcodecs.compat

from compressors.interop.chunks import Chunks


class Proxyc(numcodecs.abc.Codec):  # type: ignore[misc] # an untyped base
    """Any registered compressor as a numcodecs codec; the arguments are those of `Chunks`."""

    codec_id: ClassVar[str] = "proxyc"

    def __init__(self, codec: str = "zstd", *, artifact: str | None = None, checksum: bool = True) -> None:
        self._chunks = Chunks(codec, artifact, checksum)

    def get_config(self) -> dict[str, Any]:
        """What makes an equal codec, on any machine: the name of an artifact's file, not its folder, and its
        fingerprint.
        """
        return {"id": self.codec_id, **self._chunks.config()}

    def encode(self, buf: Any) -> bytes:
        """Compress any contiguous buffer."""
        return self._chunks.encode(_bytes_of(buf))

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Decompress, into `out` if given. Raises `CorruptStream`."""
        data = self._chunks.decode(_bytes_of(buf))
        return numcodecs.compat.ndarray_copy(data, out) if out is not None else data


def _bytes_of(buf: Any) -> bytes:
    """The bytes of any contiguous buffer or array, whatever its dtype."""
    return bytes(numcodecs.compat.ensure_contiguous_ndarray(buf).view("u1"))


__all__ = ["Proxyc"]
