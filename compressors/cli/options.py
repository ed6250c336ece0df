"""What commands on files have in common: their options, sizes with units, and the flags of zstd and gzip."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from compressors import hub

_UNITS = {"": 1, "B": 1}
for _power, _letter in enumerate("KMGT", 1):
    _UNITS |= {_letter: 1000**_power, f"{_letter}B": 1000**_power}
    _UNITS |= {f"{_letter}I": 1024**_power, f"{_letter}IB": 1024**_power}


def n_bytes(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    """A number of bytes, written as 1000000, 1MB, 0.5GB or 64MiB."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+\.?\d*) ?([KMGT]?I?B?)", text.upper())
    if match is None or match[2] not in _UNITS:
        raise click.BadParameter(f"{text!r} is not a number of bytes; write e.g. 100MB")
    return int(float(match[1]) * _UNITS[match[2]])


class ArtifactPath(click.Path):
    """A file, or ``hf://user/repo[@revision][/file]``, of which the command gets the downloaded file."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """The path of a local file. Raises `InputError` and `InvalidConfig` for what the hub does not give."""
        return Path(os.fsdecode(super().convert(hub.local(value), param, ctx)))


# -- flags as zstd, gzip and xz have them, which `tar -I proxyc` needs ----------------------------------------------------

# A flag that turns the command into another one.
_MODES = {
    "-d": "decompress", "--decompress": "decompress", "--uncompress": "decompress", "-t": "test", "--test": "test",
    "-z": "compress", "--compress": "compress", "--list": "inspect",
}  # fmt: skip
LONG = "27"  # what --long stands for, as in zstd: log2 of a window of 128 MB
_VALUES = ("-o", "-T", "-D", "-B", "-l")  # short flags that are followed by a value
_LONG_VALUES = ("--output", "--threads", "--codec", "--level", "--block-size", "--max-output", "--output-dir-flat")
_NOTHING_HERE = ("--ultra", "--check", "-C", "-n", "--no-name", "-B")  # what they ask for is always so, or chosen by us
# Flags that only some commands have; elsewhere they are dropped.
_ONLY_FOR = {"-l": ("compress",), "-f": ("compress", "decompress"), "-k": ("compress", "decompress")}
_ONLY_FOR |= {"-v": _ONLY_FOR["-f"], "-c": _ONLY_FOR["-f"]}


def as_command(arguments: Sequence[str], *, piped: bool) -> list[str]:
    """The command line with a command: ``-dc a.zst`` is ``decompress -c a.zst``, ``-19 a`` is ``compress -l 19 a``.

    Without arguments it is ``compress``, if neither side is a terminal (`piped`). The flags may also stand behind
    ``compress``, which turns into another command by -d and -t. All else stays as it is.
    """
    if not arguments:
        return ["compress"] if piped else []
    first = arguments[0]
    if first not in ("compress", "decompress", "test") and (first[:1] != "-" or first in ("-h", "--help", "--version")):
        return list(arguments)
    mode, rest = ("compress", arguments) if first[:1] == "-" else (first, arguments[1:])
    # What stands behind -- is a name, even if it begins with a hyphen.
    end = rest.index("--") if "--" in rest else len(rest)
    rest, names = rest[:end], rest[end:]
    found: list[tuple[str, str | None]] = []
    for flag, value in _flags(rest, list_by_l=first[:1] == "-"):
        mode = _MODES.get(flag, mode)
        if flag == "-D":
            found += [("--codec", f"zstd={value}")]
        elif flag not in _MODES and flag not in _NOTHING_HERE:
            found.append((flag, value))
    kept = [(flag, value) for flag, value in found if mode in _ONLY_FOR.get(flag, (mode,))]
    return [mode, *(part for flag, value in kept for part in (flag, value) if part is not None), *names]


def _flags(arguments: Sequence[str], *, list_by_l: bool) -> Iterator[tuple[str, str | None]]:
    """(flag, value) of each flag, bundles such as -dcf taken apart; names of files as flags without a value."""
    waiting = iter(arguments)
    for argument in waiting:
        if argument in _LONG_VALUES:
            yield argument, next(waiting, None)
        elif argument == "--long":
            yield argument, LONG
        elif argument.startswith("--fast"):
            yield "-l", "-" + (argument.partition("=")[2] or "1")
        elif argument.startswith("--") or len(argument) < 2 or argument[0] != "-":
            yield argument, None
        else:
            yield from _bundle(argument[1:], waiting, list_by_l)


def _bundle(letters: str, waiting: Iterator[str], list_by_l: bool) -> Iterator[tuple[str, str | None]]:
    """(flag, value) of the letters of one argument: -dcT4 is -d, -c, -T 4; digits are a level."""
    while letters:
        if digits := re.match(r"\d+", letters):
            yield "-l", digits[0]
            letters = letters[len(digits[0]) :]
            continue
        flag, letters = f"-{letters[0]}", letters[1:]
        if flag == "-l" and list_by_l:
            yield "--list", None
        elif flag in _VALUES:
            yield flag, letters or next(waiting, None)
            return
        else:
            yield flag, None
