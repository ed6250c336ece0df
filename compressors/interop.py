"""Our compressors in other people's registries: numcodecs (zarr) and fsspec.

`pip install 'proxyc[bridges]'` brings both. numcodecs finds the codec by its entry point:
``numcodecs.get_codec({"id": "proxyc", "codec": "zstd:level=19"})``. fsspec has no entry points for
compressions, so `register_fsspec()` is called once, after which ``fsspec.open("x.pxc",
compression="infer")`` reads `.pxc`, `.br` and the files of plugins.
"""

from __future__ import annotations

import io
import os
import re
import struct
import zlib
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

import numcodecs.abc
import numcodecs.compat

from compressors import files, registry
from compressors.artifact import Artifact
from compressors.base import Compressor, check_lossless
from compressors.errors import CorruptStream, FingerprintMismatch, InputError, InvalidConfig, ProxycError
from compressors.files.formats import classes

_HEAD = struct.Struct("<4sQII")  # marker, raw length, CRC-32 of the raw bytes, CRC-32 of the payload that follows
_MARKER = b"\x8eNCD"
FOLDERS = "PROXYC_ARTIFACTS"  # environment variable: folders with artifacts, as in PATH


class Proxyc(numcodecs.abc.Codec):  # type: ignore[misc] # an untyped base
    """Any registered compressor as a numcodecs codec; `codec` is its command-line form, e.g. ``bpe=code.pxa``.

    A chunk is a head of 20 bytes with length and checksums, and the codec's payload. With
    ``checksum=False`` a chunk has no head, as in the first version; then only zstd and gzip notice damage.
    `artifact` is the fingerprint of the artifact that `codec` names. Where the file is not at that place, it is looked
    for in the folders of PROXYC_ARTIFACTS, by its name or any other. Raises `FingerprintMismatch` if it is not there.
    """

    codec_id: ClassVar[str] = "proxyc"

    def __init__(self, codec: str = "zstd", *, artifact: str | None = None, checksum: bool = True) -> None:
        self._compressor = _compressor(codec, artifact)
        check_lossless(self._compressor)
        self.codec, self.checksum = _without_folder(codec), checksum
        self.artifact = _fingerprint(self._compressor) if "=" in codec.partition(":")[0] else None

    def get_config(self) -> dict[str, Any]:
        """What makes an equal codec, on any machine: the name of an artifact's file, not its folder, and its
        fingerprint.
        """
        config: dict[str, Any] = {"id": self.codec_id, "codec": self.codec}
        if self.artifact is not None:
            config["artifact"] = self.artifact
        return config if self.checksum else config | {"checksum": False}

    def encode(self, buf: Any) -> bytes:
        """Compress any contiguous buffer."""
        data = _bytes_of(buf)
        payload = self._compressor.compress(data)
        if not self.checksum:
            return payload
        return _HEAD.pack(_MARKER, len(data), zlib.crc32(data), zlib.crc32(payload)) + payload

    def decode(self, buf: Any, out: Any = None) -> Any:
        """Decompress, into `out` if given. Raises `CorruptStream`."""
        data = self._decoded(_bytes_of(buf))
        return numcodecs.compat.ndarray_copy(data, out) if out is not None else data

    def _decoded(self, chunk: bytes) -> bytes:
        if not self.checksum:
            return self._compressor.decompress(chunk)
        if chunk[:4] != _MARKER or len(chunk) < _HEAD.size:
            raise CorruptStream(
                "the chunk does not begin as those of proxyc; if it was written without checksums, add "
                '"checksum": false to the configuration'
            )
        _, length, checksum, of_payload = _HEAD.unpack_from(chunk)
        payload = chunk[_HEAD.size :]
        if zlib.crc32(payload) != of_payload:
            raise CorruptStream(f"the chunk of {len(chunk)} bytes is damaged: its checksum differs")
        data = self._compressor.decompress(payload, max_output=length)
        if len(data) != length or zlib.crc32(data) != checksum:
            raise CorruptStream("the chunk does not decode to what was encoded: the checksum of its content differs")
        return data


def _bytes_of(buf: Any) -> bytes:
    """The bytes of any contiguous buffer or array, whatever its dtype."""
    return bytes(numcodecs.compat.ensure_contiguous_ndarray(buf).view("u1"))


def _compressor(spec: str, fingerprint: str | None) -> Compressor:
    """The compressor of `spec`, with the artifact of this fingerprint if there is one."""
    if fingerprint is None:
        return registry.parse(spec)
    # NAME=FILE, and settings behind it that stay as they are.
    match = re.fullmatch(r"([^=:]+)=(.+?)((?::\w+=.*)?)", spec)
    if match is None:
        raise InvalidConfig(f"proxyc: {spec!r} names no artifact; write NAME=FILE, or leave the fingerprint out")
    name, path, settings = match[1], Path(match[2]), match[3]
    folders = [Path(folder) for folder in os.environ.get(FOLDERS, "").split(os.pathsep) if folder]
    # First the path as given, then its name in the folders, then any artifact there: the
    # fingerprint decides.
    by_name = [path, *(folder / path.name for folder in folders)]
    for file in [*by_name, *(file for folder in folders for file in sorted(folder.glob("*.pxa")))]:
        try:
            found = registry.parse(f"{name}={file}{settings}")
        except (InputError, ProxycError):
            continue
        if _fingerprint(found) == fingerprint:
            return found
    raise FingerprintMismatch(
        f"proxyc: no {path.name} with fingerprint {fingerprint[:12]} here; name a folder that has it in {FOLDERS}"
    )


def _fingerprint(codec: Compressor) -> str | None:
    """The fingerprint of the artifact that `codec` uses, or None."""
    artifact = getattr(codec, "artifact", None)
    return artifact.fingerprint if isinstance(artifact, Artifact) else None


def _without_folder(spec: str) -> str:
    """`spec` with the name of an artifact's file in place of its path."""
    return re.sub(r"^([^=:]+=)(.*[/\\])", r"\1", spec) if "=" in spec.partition(":")[0] else spec


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


__all__ = ["Proxyc", "register_fsspec"]
