"""Settings from files and from the command line, as the dataclasses of `proxylm.config`; and the list of them all."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import json
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from compressors.errors import InputError, InvalidConfig
from proxylm.config import RECIPES, MixConfig, ModelConfig, Phase, RunConfig, TrainConfig
from proxylm.view_spec import ViewSpec

T = TypeVar("T")
# Every section of a configuration, and the fields of one phase of a schedule.
SECTIONS: dict[str, type] = {"train": TrainConfig, "model": ModelConfig, "mix": MixConfig, "mix.phases[]": Phase}


class Setting(NamedTuple):
    """One field of a config class, as text for people."""

    name: str
    kind: str
    """Its type: `int`, `int | None`."""
    default: str
    """As Python writes it; "required" if there is none."""
    meaning: str
    """Its docstring, in one line."""


def settings_of(cls: type) -> list[Setting]:
    """All fields of a config dataclass, in their order, with the docstring under each."""
    meanings, hints = _field_docs(cls), typing.get_type_hints(cls)
    return [
        Setting(
            field.name,
            getattr(hints[field.name], "__name__", str(hints[field.name])).replace("typing.", ""),
            _default(field),
            " ".join(meanings.get(field.name, "").split()),
        )
        for field in dataclasses.fields(cls)
    ]


def _field_docs(cls: type) -> dict[str, str]:
    """Docstrings by field: Python drops them, so they are read from the source of the class."""
    (body,) = (node.body for node in ast.parse(inspect.getsource(cls)).body if isinstance(node, ast.ClassDef))
    docs = {}
    for node, following in itertools.pairwise(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(following, ast.Expr):
            docs[node.target.id] = str(ast.literal_eval(following.value))
    return docs


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return repr(field.default)
    return "required" if field.default_factory is dataclasses.MISSING else repr(field.default_factory())


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


def changes(before: Mapping[str, Any], now: Mapping[str, Any], within: str = "") -> Iterator[str]:
    """For people: each value that differs, and both."""
    for key, value in now.items():
        old = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            yield from changes(old, value, f"{within}{key}.")
        elif old != value:
            yield f"{within}{key} ({old!s:.20}, now {value!s:.20})"


def _value(hint: Any, value: Any, where: str) -> Any:
    """`value` as the type `hint` wants it: tables as dataclasses, lists as tuples, whole numbers as floats."""
    if dataclasses.is_dataclass(hint):
        return from_mapping(hint, value, where)  # type: ignore[arg-type] # a class
    if typing.get_origin(hint) is Mapping and isinstance(value, dict):
        return {key: _value(typing.get_args(hint)[1], item, f"{where}.{key}") for key, item in value.items()}
    if typing.get_origin(hint) is tuple and isinstance(value, (list, tuple)):
        return tuple(_value(typing.get_args(hint)[0], item, where) for item in value)
    allowed = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    # A whole number is a float where one is wanted, but True is not a number here.
    if float in allowed and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) not in allowed:
        expected = " or ".join(getattr(kind, "__name__", str(kind)) for kind in allowed).replace("tuple", "a list")
        raise InvalidConfig(f"{where} is {value!r}; expected {expected}")
    return value


def run_config(
    file: Mapping[str, Any],
    flags: Mapping[str, Any],
    assignments: Sequence[str],
    *,
    refinable: Callable[[], Sequence[str]] = tuple,
) -> RunConfig:
    """A run from all that a user may say of it: the recipe's settings, then a file's, then flags, then assignments.

    The later ones win. file: sections and their settings; flags: section.key -> value, None if not given; assignments:
    section.key=value; refinable: gives the views of the store that have merges, where a recipe needs one. Raises
    `InvalidConfig`, also where two of them contradict each other in what only one can say.
    """
    given, assigned = _nested({key: value for key, value in flags.items() if value is not None}), dict[str, Any]()
    for assignment in assignments:
        override(assigned, assignment)
    for section, settings in given.items():
        for key in settings.keys() & assigned.get(section, {}).keys():
            if settings[key] != assigned[section][key]:
                raise InvalidConfig(
                    f"--{key} {settings[key]} and --set {section}.{key}={assigned[section][key]} contradict each other; give one"
                )
    layers = [{name: _section(layer, name) for name in layer} for layer in (file, given, assigned)]
    chosen: dict[str, dict[str, Any]] = {"train": {}}
    for layer in layers:
        if "recipe" in layer.get("mix", {}) and "phases" in chosen.get("mix", {}):
            raise InvalidConfig(
                f"recipe {layer['mix']['recipe']!r} and the phases of the configuration contradict each other; leave one out"
            )
        for one, other in (("steps", "flops"), ("flops", "steps")):  # a length replaces the one given before
            if one in layer.get("train", {}) and other not in layer["train"]:
                chosen["train"].pop(other, None)
        for name, values in layer.items():
            chosen.setdefault(name, {}).update(values)
    mix = chosen.setdefault("mix", {})
    if (recipe := RECIPES.get(mix.get("recipe", ""))) is not None and "phases" not in mix:
        for name, defaults in recipe.settings.items():
            chosen[name] = {**defaults, **chosen.get(name, {})}
        if recipe.shows:
            mix["view"] = _shown(mix["recipe"], recipe.shows, mix.get("view"), refinable)
    return from_mapping(RunConfig, chosen)


def _shown(recipe: str, shows: str, view: str | None, refinable: Callable[[], Sequence[str]]) -> str:
    """The view of a recipe that shows one in its own way. Raises `InvalidConfig`."""
    if view is None:
        names = refinable()
        if len(names) != 1:
            known = ", ".join(names) or "none; make one with `proxyc encode --view bpe`"
            raise InvalidConfig(
                f"recipe {recipe!r} shows the merges of a view; say of which with --view. There are: {known}"
            )
        view = names[0]
    setting = shows.partition("=")[0]
    ViewSpec.parse(view)  # a setting that does not exist is named first
    if ":" in view and f":{setting}=" not in view:
        raise InvalidConfig(f"recipe {recipe!r} shows NAME:{shows}, not {view}; use recipe comp-then-raw")
    return view if ":" in view else f"{view}:{shows}"


def _nested(flat: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """section.key -> value as nested mappings."""
    nested: dict[str, dict[str, Any]] = {}
    for path, value in flat.items():
        section, _, key = path.partition(".")
        nested.setdefault(section, {})[key] = value
    return nested


def _section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The settings of one section. Raises `InvalidConfig` if it is not a table."""
    settings = values[name]
    if not isinstance(settings, Mapping):
        raise InvalidConfig(f"config.{name} is {settings!r}; expected a table of settings")
    return settings


def load(path: Path) -> dict[str, Any]:
    """The settings in a `.toml` or `.json` file, as nested mappings. Raises `InputError` or `InvalidConfig`."""
    try:
        text = path.read_bytes().decode()
        if path.suffix == ".json":
            settings = json.loads(text)
            if not isinstance(settings, dict):
                raise ValueError("expected an object")
            return settings
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
    """Apply ``section.key=value`` (value as JSON, else as text) to nested mappings in place. Raises `InvalidConfig`."""
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
