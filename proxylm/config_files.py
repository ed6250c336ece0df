"""Settings from files and from the command line, as the dataclasses of `proxylm.config`."""

from __future__ import annotations

import dataclasses
import json
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from compressors.errors import InputError, InvalidConfig
from proxylm.config import RunConfig

T = TypeVar("T")


def from_mapping(cls: type[T], values: Mapping[str, Any], where: str = "config") -> T:
    """A config dataclass from nested mappings. Raises `InvalidConfig` on an unknown key or a value of the wrong type."""
    if not isinstance(values, Mapping):
        raise InvalidConfig(f"{where} is {values!r}; expected a table of settings")
    hints = typing.get_type_hints(cls)
    if unknown := set(values) - set(hints):
        raise InvalidConfig(f"{where}: no setting {', '.join(sorted(unknown))}; it has: {', '.join(hints)}")
    try:
        return cls(**{key: _value(hints[key], value, f"{where}.{key}") for key, value in values.items()})
    except TypeError as error:
        raise InvalidConfig(f"{where}: {error}") from error


def recorded(values: Mapping[str, Any]) -> RunConfig:
    """The configuration of a run from its files. A setting newer than the run has its default, or what was done before it.

    Raises `InvalidConfig` as `from_mapping`.
    """
    mix = values.get("mix") if isinstance(values, Mapping) else None
    if isinstance(mix, Mapping) and "chunk" not in mix:  # documents were dealt whole
        values = {**values, "mix": {**mix, "chunk": 0}}
    return from_mapping(RunConfig, values)


def changes(before: Mapping[str, Any], now: Mapping[str, Any], within: str = "") -> Iterator[str]:
    """For people: each value that differs, and both."""
    for key, value in now.items():
        old = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            yield from changes(old, value, f"{within}{key}.")
        elif old != value:
            yield f"{within}{key} ({old!s:.20}, now {value!s:.20})"


def _value(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return from_mapping(hint, value, where)  # type: ignore[arg-type] # a class
    if typing.get_origin(hint) is Mapping and isinstance(value, dict):
        return {key: _value(typing.get_args(hint)[1], item, f"{where}.{key}") for key, item in value.items()}
    if typing.get_origin(hint) is tuple and isinstance(value, (list, tuple)):
        return tuple(_value(typing.get_args(hint)[0], item, where) for item in value)
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if float in allowed and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) not in allowed:
        expected = " or ".join(getattr(kind, "__name__", str(kind)) for kind in allowed)
        raise InvalidConfig(f"{where} is {value!r}; expected {expected}")
    return value


def load(path: Path) -> dict[str, Any]:
    """The settings in a `.toml` or `.json` file, as nested mappings."""
    try:
        text = path.read_bytes().decode()
        if path.suffix == ".json":
            found = json.loads(text)
            if not isinstance(found, dict):
                raise ValueError("expected an object")
            return found
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
        return tomllib.loads(text)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise InvalidConfig(f"{path} is not understood: {error}") from error


def override(values: dict[str, Any], assignment: str) -> None:
    """Apply ``section.key=value`` (value as JSON, else as text) to nested mappings in place."""
    path, equals, text = assignment.partition("=")
    *sections, key = path.split(".")
    if not equals or not sections or not key:
        raise InvalidConfig(f"{assignment!r}: write section.key=value, e.g. train.steps=100")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise InvalidConfig(f"{assignment!r}: {section} is a setting, not a section")
    try:
        values[key] = json.loads(text)
    except ValueError:
        values[key] = text
