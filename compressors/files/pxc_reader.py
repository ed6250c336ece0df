"""The codec that a `.pxc` file was written with, and reading it by byte range."""

from __future__ import annotations

import io
import os
import re
import typing
from bisect import bisect_right
from typing import Any

from compressors import registry
from compressors.artifact import Artifact
from compressors.base import Compressor
from compressors.errors import CorruptStream, FingerprintMismatch, InputError, InvalidConfig, ProxycError
from compressors.files import pxc


def codec_for(header: pxc.Header, codec: Compressor | None = None) -> Compressor:
    """The codec that decodes a file with this header; `codec` is checked if given.

    It is needed if there is an artifact, unless that is the one a codec comes with in this version.
    """
    if codec is not None:
        header.check(codec)
        return codec
    try:
        codec = _described(header.codec, header.config)
        header.check(codec)
    except (InvalidConfig, FingerprintMismatch) as error:
        if (artifact := _artifact_of(header.config)) is None:
            raise
        raise FingerprintMismatch(
            f"the file was written with {header.codec} and artifact {artifact[:12]}; give it with --codec {header.codec}=FILE"
        ) from error
    return codec


def _described(name: object, config: object) -> Compressor:
    """The codec of this name and configuration, which a file states; where there is an artifact, with the default one.

    Nothing a file states is taken for a path. Raises `CorruptStream`, and like `registry.get`.
    """
    if not (isinstance(name, str) and isinstance(config, dict)):
        raise CorruptStream(f"the .pxc header is not understood: no codec is {str(name)[:40]} of {str(config)[:40]}")
    hints = typing.get_type_hints(registry.get_class(name))
    artifacts = {"artifact"} | {key for key, hint in hints.items() if hint == Artifact | None}
    settings = {key: value for key, value in config.items() if key not in artifacts}
    for key in settings.keys() & {key for key, hint in hints.items() if hint is Compressor}:
        inner = settings[key] if isinstance(settings[key], dict) else {"name": settings[key]}
        settings[key] = _described(inner.get("name"), inner.get("config"))
    for artifact in map(config.get, sorted(artifacts)):
        if artifact is not None and not (isinstance(artifact, str) and re.fullmatch("[0-9a-f]{64}", artifact)):
            raise CorruptStream(
                f"the .pxc header is not understood: an artifact is 64 hex digits, not {str(artifact)[:40]}"
            )
    try:
        return registry.get(name, **settings)
    except ProxycError:
        raise
    except Exception as error:  # of a codec, maybe a plugin's, that did not expect such settings
        raise CorruptStream(f"the .pxc header is not understood: {name} refuses its settings ({error!r})") from error


def _artifact_of(config: dict[str, Any]) -> str | None:
    """The fingerprint of the artifact a configuration needs, also that of a codec within a codec."""
    if config.get("artifact"):
        return str(config["artifact"])
    inner = [value.get("config") for value in config.values() if isinstance(value, dict)]
    return next((found for c in inner if isinstance(c, dict) and (found := _artifact_of(c))), None)


class PxcFile(io.RawIOBase):
    """A seekable, read-only view of the raw bytes of a `.pxc` file; only the blocks that are read are decoded.

    Raises `InputError`, `CorruptStream` or `FingerprintMismatch` when it is opened, `CorruptStream` when a block is bad.
    """

    def __init__(self, path: str | os.PathLike[str], codec: Compressor | None = None) -> None:
        try:
            self._file = open(path, "rb")  # noqa: SIM115 (closed with this object)
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}") from error
        try:
            self.header, _ = pxc.read_header(self._file.read)
            self._codec = codec_for(self.header, codec)
            self._places = pxc.read_index(self._file.read, os.path.getsize(path), self._file.seek)
        except BaseException:
            self._file.close()
            raise
        self._begins = [raw for _, raw in self._places]
        self.size = self._begins[-1]
        self._position = 0
        self._held: tuple[int, bytes] = (-1, b"")  # the block read last

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if position < 0:
            raise ValueError(f"seek to {position}: before the beginning of the file")
        self._position = position
        return position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # any buffer there
        if self._position >= self.size:
            return 0
        number = bisect_right(self._begins, self._position) - 1
        data = self._block(number)[self._position - self._begins[number] :][: len(buffer)]
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def _block(self, number: int) -> bytes:
        if self._held[0] != number:
            offset, begin = self._places[number]
            self._file.seek(offset + len(pxc.BLOCK))
            head = pxc.parse_head(pxc.exactly(self._file.read, pxc.HEAD_SIZE), begin)
            if head.raw_length != self._begins[number + 1] - begin:
                raise CorruptStream(f"the block at byte {begin} has another length than the index says")
            payload = pxc.exactly(self._file.read, head.length)
            self._held = number, pxc.unpack_block(self._codec, head, payload, begin)
        return self._held[1]

    def close(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()
        super().close()
