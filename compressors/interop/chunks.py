"""Chunks of arrays: a codec's payload with length and checksums; and the configuration that finds the codec again.

The bridges to numcodecs and to zarr write the same chunks.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from pathlib import Path
from typing import Any

from compressors import hub, registry
from compressors.artifact import Artifact
from compressors.base import Compressor, check_lossless
from compressors.errors import CorruptStream, FingerprintMismatch, InputError, InvalidConfig, ProxycError

_HEAD = struct.Struct("<4sQII")  # marker, raw length, CRC-32 of the raw bytes, CRC-32 of the payload that follows
_MARKER = b"\x8eNCD"
FOLDERS = "PROXYC_ARTIFACTS"  # environment variable: folders with artifacts, as in PATH


class Chunks:
    """Chunks of a codec, which is given in its command-line form, e.g. ``bpe=code.pxa``.

    A chunk is a head of 20 bytes with length and checksums, and the codec's payload. With
    ``checksum=False`` a chunk has no head, as in the first version; then only zstd and gzip notice damage.
    `artifact` is the fingerprint of the artifact that `codec` names. Where the file is not at that place, it is looked
    for in the folders of PROXYC_ARTIFACTS, by its name or any other. Raises `FingerprintMismatch` if it is not there.
    """

    def __init__(self, codec: str, artifact: str | None, checksum: bool) -> None:
        self._compressor = _compressor(codec, artifact)
        check_lossless(self._compressor)
        self._checksum = checksum
        self.codec = _without_folder(codec)
        """The command-line form, with an artifact's file by its name: its folder is of no use elsewhere."""
        self.artifact = _fingerprint(self._compressor) if "=" in codec.partition(":")[0] else None
        """The fingerprint of the artifact that `codec` names."""

    def config(self) -> dict[str, Any]:
        """The arguments of an equal instance, on any machine."""
        config: dict[str, Any] = {"codec": self.codec}
        if self.artifact is not None:
            config["artifact"] = self.artifact
        return config if self._checksum else config | {"checksum": False}

    def encode(self, data: bytes) -> bytes:
        """The chunk of `data`."""
        payload = self._compressor.compress(data)
        if not self._checksum:
            return payload
        return _HEAD.pack(_MARKER, len(data), zlib.crc32(data), zlib.crc32(payload)) + payload

    def decode(self, chunk: bytes) -> bytes:
        """What `encode` was given. Raises `CorruptStream`."""
        if not self._checksum:
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


def _compressor(spec: str, fingerprint: str | None) -> Compressor:
    """The compressor of `spec`, with the artifact of this fingerprint if there is one."""
    if fingerprint is None:
        return registry.parse(spec)
    # NAME=FILE, and settings behind it that stay as they are.
    match = re.fullmatch(r"([^=:]+)=(.+?)((?::\w+=.*)?)", spec)
    if match is None:
        raise InvalidConfig(f"proxyc: {spec!r} names no artifact; write NAME=FILE, or leave the fingerprint out")
    name, settings = match[1], match[3]
    if match[2].startswith(hub.PREFIX):
        found = registry.parse(spec)
        if _fingerprint(found) != fingerprint:
            raise FingerprintMismatch(
                f"proxyc: {match[2]} is not {fingerprint[:12]} any more; name the revision that is"
            )
        return found
    path = Path(match[2])
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
    """`spec` with the name of an artifact's file in place of its path; one on the hub stays, it is there for all."""
    if "=" not in spec.partition(":")[0] or spec.partition("=")[2].startswith(hub.PREFIX):
        return spec
    return re.sub(r"^([^=:]+=)(.*[/\\])", r"\1", spec)


__all__ = ["FOLDERS", "Chunks"]
