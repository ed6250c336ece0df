"""Names to compressors: the built-ins of `BUILTIN`, and plugins ("guests") from entry points.

A plugin registers its class in the entry-point group `proxyc.compressors`. Listing imports nothing.
A
guest that cannot be imported, or takes a name that is taken, is shown as broken and harms nobody
else:
a built-in is found without asking who else claims its name.

Commands, benches and the trainer get their codecs here: `get` from Python, `parse` from a command
line,
`load` from a fitted file, and `files` from the header of a `.pxc`.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import json
import os
import re
import typing
from dataclasses import MISSING, dataclass, fields
from typing import Any

from compressors import hub
from compressors.artifact import Artifact
from compressors.base import Compressor
from compressors.errors import InvalidConfig, MissingExtra, PluginError, ProxycError, UnknownCompressor

GROUP = "proxyc.compressors"
_ZSTD_DICTIONARY = b"\x37\xa4\x30\xec"  # what a trained dictionary begins with (RFC 8878, section 5)

BUILTIN = {
    "bpe": "compressors.bpe.codec:BPE",
    "brotli": "compressors.brotli:Brotli",
    "bytes": "compressors.identity:Identity",
    "entropy-windows": "compressors.neural.entropy_windows:PublishedWindows",
    "gzip": "compressors.gzip:Gzip",
    "neural": "compressors.neural.codec:Neural",
    "pack": "compressors.pack:Pack",
    "random-cuts": "compressors.random_cuts:RandomCuts",
    "zstd": "compressors.zstd:Zstd",
}


@dataclass(frozen=True)
class Entry:
    """One registered name: where its class is (`module:attribute`) and which distributions claim it."""

    name: str
    target: str
    distributions: tuple[str, ...]


def entries() -> dict[str, Entry]:
    """All registered compressors by name, sorted. Imports none of them.

    An entry that two distributions claim holds both: `class_of` raises for it.
    """
    from importlib.metadata import entry_points  # here: a small .zst file feels its time

    claims = {name: [("proxyc", target)] for name, target in BUILTIN.items()}
    for point in entry_points(group=GROUP):
        claim = (point.dist.name if point.dist else "an unnamed distribution", point.value)
        known = claims.setdefault(point.name, [])
        if claim not in known:  # one distribution may be seen twice on the path
            known.append(claim)
    return {
        name: Entry(name, known[0][1], tuple(owner for owner, _ in known)) for name, known in sorted(claims.items())
    }


def names() -> list[str]:
    """The names of all registered compressors."""
    return list(entries())


def get_class(name: str) -> type[Compressor]:
    """The class behind `name`.

    Raises `UnknownCompressor`, `MissingExtra` if the class needs a package that is not installed, or `PluginError` if a
    guest does not import, is not a `Compressor`, or shares its name with another guest.
    """
    if name in BUILTIN:
        return class_of(Entry(name, BUILTIN[name], ("proxyc",)))
    table = entries()
    if name not in table:
        # Suggest the one registered name that is written most alike.
        near = difflib.get_close_matches(name, table, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UnknownCompressor(
            f"unknown compressor {name!r}; {hint}known: {', '.join(table)}; one of a plugin has to be installed"
        )
    return class_of(table[name])


def class_of(entry: Entry) -> type[Compressor]:
    """The class of a registered name; raises like `get_class`, also where a guest claims the name of a built-in."""
    name = entry.name
    if len(entry.distributions) > 1:
        raise PluginError(
            f"compressor {name!r} is claimed by {' and '.join(entry.distributions)}; uninstall one of them"
        )
    module, _, attribute = entry.target.partition(":")
    try:
        found = functools.reduce(getattr, attribute.split("."), importlib.import_module(module))
    except ModuleNotFoundError as error:
        if entry.distributions == ("proxyc",):
            raise MissingExtra(f"compressor {name!r} needs {error.name}: pip install {error.name}") from error
        raise PluginError(f"compressor {name!r} of {entry.distributions[0]} is broken: {error}") from error
    except (Exception, SystemExit) as error:  # a guest may fail in any way while it is imported
        raise PluginError(f"compressor {name!r} of {entry.distributions[0]} is broken: {error!r}") from error
    if not (isinstance(found, type) and issubclass(found, Compressor)):
        remedy = "an instance: register its class" if isinstance(found, Compressor) else "no Compressor"
        raise PluginError(f"compressor {name!r} of {entry.distributions[0]} is broken: {entry.target} is {remedy}")
    # A class that is still abstract, or is registered under another name than its own, cannot be
    # used.
    wrong = f"it lacks {', '.join(sorted(found.__abstractmethods__))}" if found.__abstractmethods__ else ""
    if getattr(found, "name", None) != name:
        wrong = f"its name is {getattr(found, 'name', None)!r}, but it is registered as {name!r}"
    if wrong:
        raise PluginError(f"compressor {name!r} of {entry.distributions[0]} is broken: {wrong}")
    return found


def get(spec: str, /, **config: Any) -> Compressor:
    """A configured compressor: ``get("zstd", level=19)``, or in its command-line form, ``get("zstd:level=19")``.

    An artifact may be given as a path. Raises like `get_class`, and `InvalidConfig`.
    """
    if re.search("[=:]", spec):
        name, written = _taken_apart(spec)
        return get(name, **written | config)
    cls = get_class(spec)
    known = [f.name for f in fields(cls)]
    if unknown := set(config) - set(known):
        raise InvalidConfig(f"{spec}: no setting {', '.join(sorted(unknown))}; it has: {', '.join(known) or 'none'}")
    # An artifact may stand as a path: the codec reads its own file formats (a tokenizer.json, a
    # dictionary).
    hints = typing.get_type_hints(cls)
    for key, value in config.items():
        if hints[key] == Artifact | None and isinstance(value, (str, os.PathLike)):
            config[key] = getattr(cls, "read_artifact", Artifact.load)(hub.local(value))
    # A dataclass would raise a bare TypeError for a missing or mistyped field: both are checked
    # here, so that the message names the setting.
    required = [f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING]
    if missing := [field for field in required if field not in config]:
        raise InvalidConfig(f"{spec} needs {', '.join(missing)}, e.g. {spec}:{missing[0]}=...")
    for key, value in config.items():
        if hints[key] in (bool, int, str) and type(value) is not hints[key]:
            raise InvalidConfig(f"{spec}: {key} is {value!r}; expected {hints[key].__name__}")
    try:
        return cls(**config)
    except (TypeError, ValueError) as error:
        if isinstance(error, ProxycError):
            raise
        raise InvalidConfig(f"{spec}: its settings are refused: {error}") from error  # a guest that checks nothing


def load(path: str | os.PathLike[str]) -> Compressor:
    """The compressor that was saved at `path`: an artifact, a tokenizer.json (`bpe`), or a dictionary of zstd.

    path: a file, or ``hf://user/repo[@revision][/file]`` on the Hugging Face Hub; without /file its codec.pxa or tokenizer.json.
    Raises `InputError` if it cannot be read, `InvalidConfig` if it is none of these.
    """
    path = hub.local(path)
    if os.path.isfile(path):
        with open(path, "rb") as file:
            start = file.read(1 << 10)
        # The first bytes tell the three kinds apart; a UTF-8 byte order mark may precede JSON.
        if start.startswith(_ZSTD_DICTIONARY):
            return get("zstd", artifact=path)
        if start.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
            return get("bpe", artifact=path)
    artifact = Artifact.load(path)
    return get(artifact.codec, artifact=artifact)


def _literal(text: str) -> Any:
    """A setting as written on the command line: JSON if it is, else text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def parse_named(text: str) -> tuple[str, Compressor]:
    """What [NAME@]CODEC says: the name, that of the codec if none is given, and the compressor. Raises like `parse`."""
    named = re.fullmatch(r"([^@=:]+)@(.+)", text)  # an @ after = or : belongs to a path
    made = parse(named[2] if named else text)
    return (named[1] if named else made.name), made


def parse(spec: str) -> Compressor:
    """A compressor from its command-line form ``NAME[=FILE][:setting=value,...]``.

    Examples: ``bpe=code.pxa``, ``zstd:level=19``. Raises like `get`, and `InvalidConfig` for text
    of another
    form.
    """
    name, config = _taken_apart(spec)
    return get(name, **config)


def _taken_apart(spec: str) -> tuple[str, dict[str, Any]]:
    """(name, configuration) of a compressor's command-line form. Raises `InvalidConfig`."""
    # NAME, then =FILE, then :key=value,... FILE may hold colons: the settings start at the first colon
    # behind which everything is key=value.
    match = re.fullmatch(r"(?P<name>[^=:]+)(=(?P<file>.+?))?(:(?P<settings>\w+=[^,]*(,\w+=[^,]*)*))?", spec)
    if match is None:
        raise InvalidConfig(f"{spec!r} is not a compressor; write NAME, NAME=FILE or NAME:setting=value")
    config: dict[str, Any] = {"artifact": match["file"]} if match["file"] else {}
    for setting in filter(None, (match["settings"] or "").split(",")):
        key, _, value = setting.partition("=")
        config[key] = _literal(value)
    return match["name"], config


__all__ = [
    "BUILTIN",
    "GROUP",
    "Entry",
    "class_of",
    "entries",
    "get",
    "get_class",
    "load",
    "names",
    "parse",
    "parse_named",
]
