"""Any registered compressor as a codec of arrays of zarr's format 3.

    zarr.create_array(store, ..., compressors=[ProxycCodec(codec="zstd:level=19")])

zarr.json then holds ``{"name": "proxyc", "configuration": {"codec": "zstd:level=19"}}``, and zarr finds the class by its
entry point: a process that only opens the array needs to import nothing of ours. The chunks are those of numcodecs.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from zarr.abc.codec import BytesBytesCodec

from compressors.errors import InvalidConfig
from compressors.interop.chunks import Chunks

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer

NAME = "proxyc"
_SETTINGS = ("codec", "artifact", "checksum")


class ProxycCodec(BytesBytesCodec):
    """A stage from bytes to bytes, for `compressors=` of an array; the arguments are those of `Chunks`."""

    is_fixed_size = False
    _chunks: Chunks

    def __init__(self, codec: str = "zstd", *, artifact: str | None = None, checksum: bool = True) -> None:
        # The base class is a frozen dataclass.
        object.__setattr__(self, "_chunks", Chunks(codec, artifact, checksum))

    @classmethod
    def from_dict(cls, data: Any) -> ProxycCodec:
        """The codec of an entry of `codecs` in zarr.json. Raises `InvalidConfig` for unknown settings."""
        configuration = data.get("configuration") or {}
        if not isinstance(configuration, dict) or (set(configuration) - set(_SETTINGS)):
            raise InvalidConfig(f"zarr.json: {NAME} has the configuration {configuration}; it may have {_SETTINGS}")
        return cls(**configuration)

    def to_dict(self) -> dict[str, Any]:
        """The entry of zarr.json: enough to make an equal codec in another process, on any machine."""
        return {"name": NAME, "configuration": self._chunks.config()}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProxycCodec) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        return f"ProxycCodec({', '.join(f'{key}={value!r}' for key, value in self._chunks.config().items())})"

    # Compressors release the GIL: chunks are coded side by side, in threads.

    async def _encode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> Buffer:
        data = await asyncio.to_thread(self._chunks.encode, chunk_bytes.to_bytes())
        return chunk_spec.prototype.buffer.from_bytes(data)

    async def _decode_single(self, chunk_bytes: Buffer, chunk_spec: ArraySpec) -> Buffer:
        """Raises `CorruptStream` for a damaged chunk."""
        data = await asyncio.to_thread(self._chunks.decode, chunk_bytes.to_bytes())
        return chunk_spec.prototype.buffer.from_bytes(data)

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Not known before a chunk is compressed."""
        raise NotImplementedError


__all__ = ["ProxycCodec"]
