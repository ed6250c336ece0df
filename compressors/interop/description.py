"""A codec as JSON and at most one file, so that it can be made again elsewhere."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from compressors import registry
from compressors.artifact import Artifact
from compressors.base import Compressor
from compressors.errors import FingerprintMismatch, InvalidConfig


def describe(codec: Compressor) -> dict[str, Any]:
    """Name, settings, and what proves that the codec made again is the same; JSON values. Artifacts are not in it."""
    return {
        **_settings(codec),
        "fingerprint": codec.fingerprint,
        "libraries": codec.library_versions(),
    }


def _settings(codec: Compressor) -> dict[str, Any]:
    """Name and settings; a codec in it (that of `pack`) stands as its name and settings, an artifact not at all."""
    values = {field.name: getattr(codec, field.name) for field in fields(codec)}
    config = {
        key: _settings(value) if isinstance(value, Compressor) else value
        for key, value in values.items()
        if not isinstance(value, Artifact)
    }
    return {"name": codec.name, "config": config, "fitted": len(config) < len(values)}


def save_artifact(codec: Compressor, path: Path) -> bool:
    """Write what `codec`, or the codec in it, was fitted with; False if there is nothing."""
    values = [getattr(codec, field.name) for field in fields(codec)]
    for value in values:
        if isinstance(value, Artifact):
            getattr(codec, "save", value.save)(path)
            return True
    return any(save_artifact(value, path) for value in values if isinstance(value, Compressor))


def made_of(described: dict[str, Any], path: Path | str | None) -> Compressor:
    """The codec that `describe` was given; path: what `save_artifact` wrote.

    Raises `InvalidConfig` if the description is not one, `FingerprintMismatch` if another codec comes of it. Other versions of
    libraries are accepted: what they encode may differ, and what was encoded decodes all the same.
    """
    try:
        codec = _made(described, path)
        expected, libraries = described["fingerprint"], dict(described["libraries"])
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidConfig(f"this is not the description of a codec ({error!r}): {str(described)[:200]}") from error
    if codec.fingerprint_with(libraries) != expected:
        raise FingerprintMismatch(
            f"{codec.name}: the settings and the file {path} give another codec than {expected[:12]}; save both again"
        )
    return codec


def _made(described: dict[str, Any], path: Path | str | None) -> Compressor:
    config = {
        key: _made(value, path) if isinstance(value, dict) else value for key, value in described["config"].items()
    }
    if described["fitted"]:
        if path is None:
            raise InvalidConfig(f"{described['name']}: its artifact is missing; copy all files of the folder")
        config["artifact"] = str(path)
    return registry.get(described["name"], **config)


__all__ = ["describe", "made_of", "save_artifact"]
