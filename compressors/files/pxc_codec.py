"""The codec that a `.pxc` file was written with, made from its header.

A header comes from outside: it may name any codec with any settings, but never a path. So the
settings
are passed to the codec's class as they are, and an artifact is known only by its fingerprint.
`whole`,
`pxc_reader` and `pxc_salvage` call `codec_for`.
"""

from __future__ import annotations

import re
import typing
from typing import Any

from compressors import registry
from compressors.artifact import Artifact
from compressors.base import Compressor
from compressors.errors import CorruptStream, FingerprintMismatch, InvalidConfig, ProxycError
from compressors.files import pxc


def codec_for(header: pxc.Header, codec: Compressor | None = None) -> Compressor:
    """The codec that decodes a file with this header; `codec` is checked if given.

    It is needed if there is an artifact, unless that is the one a codec comes with in this version.
    """
    if codec is not None:
        header.check(codec)
        return codec
    header.check_version(registry.get_class(header.codec).config_version)
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
    # Fields that hold artifacts are left out: the codec is made with the packaged ones, and the
    # fingerprints are compared afterwards (`Header.check`).
    artifacts = {"artifact"} | {key for key, hint in hints.items() if hint == Artifact | None}
    settings = {key: value for key, value in config.items() if key not in artifacts}
    # A codec within a codec (`pack`) stands as its name and configuration.
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
