"""How the Numba kernels of this package are compiled; modules of kernels import this one, and `doctor`.

Kernels work on arrays that their caller keeps alive, so they need no reference counts. Numba counts all the same, with
atomic instructions, wherever an array or a row of it is handed to another function, and its pruning misses many of
these in inlined code: splitting text ran at 0.99 GB/s with counts and runs at 2.14 without. The price is that such a
kernel cannot allocate: its caller brings the work space.

`kernel` compiles a function that Python calls, `inlined` one that only kernels call, `allocating`
one that makes arrays. Machine code is kept on disk, with a checksum; `folder` says where.
"""

import hashlib
import os
import pickle
import secrets
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core import config
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.dispatcher import Dispatcher
from numba.core.extending import _Intrinsic

from compressors.errors import InvalidConfig, SlowPath

# Kernels run beside other Python threads; `_nrt` False turns reference counts off (see above).
_OPTIONS: dict[str, Any] = {"nogil": True, "_nrt": False, "no_cfunc_wrapper": True}
_DIGEST = hashlib.sha256().digest_size


class _CheckedFiles(IndexDataCacheFile):
    """Numba's files of one kernel, with a checksum of name and content behind each.

    A crash or a full disk leaves them empty or cut short. Numba raises whatever pickle does of such a file,
    for ever, or runs machine code with a hole in it, or that of another function.
    """

    _named = ""  # the file that is written

    def _save_index(self, overloads: Any) -> None:
        self._named = self._index_name
        super()._save_index(overloads)

    def _save_data(self, name: str, data: Any) -> None:
        self._named = name
        super()._save_data(name, data)

    def _dump(self, obj: object) -> bytes:
        data: bytes = super()._dump(obj)
        return data + _digest(self._named, data)  # pickle reads no further than its own end

    def _load_index(self) -> Any:
        path = Path(self._index_path)
        version = pickle.dumps(self._version, protocol=-1)  # stands before the index
        if path.exists():
            data = path.read_bytes()
            if data and not data.startswith(version):
                return {}  # of another version of Numba, or none of its files
            _check(self._index_name, data[len(version) :])
        return super()._load_index()

    def _load_data(self, name: str) -> Any:
        _check(name, Path(self._data_path(name)).read_bytes())
        return super()._load_data(name)


def _sources(names: dict[str, Any], found: set[str]) -> set[str]:
    """Names of the modules whose kernels can be inlined into one of the module with these `names`: its own and others."""
    for value in names.values():
        if isinstance(value, Dispatcher | _Intrinsic) and value.__module__ not in found:
            found.add(value.__module__)
            _sources(vars(sys.modules[value.__module__]), found)
    return found


@cache
def _source(module: str) -> bytes:
    path = Path(sys.modules[module].__file__ or "")
    return path.read_bytes() if path.is_file() else b""


def _constants(names: dict[str, Any]) -> bytes:
    """Numbers by name: those that a module takes from others are part of the machine code, too."""
    return repr([item for item in names.items() if isinstance(item[1], int | float | np.generic)]).encode()


def _digest(name: str, data: bytes) -> bytes:
    """SHA-256 of the name and content of a cache file: a file under another name does not pass."""
    return hashlib.sha256(name.encode() + b"\0" + data).digest()


def _check(name: str, data: bytes) -> None:
    """Raise ValueError unless `data` ends with its digest. `_Cache` then compiles again."""
    if _digest(name, data[:-_DIGEST]) != data[-_DIGEST:]:
        raise ValueError("the checksum differs")


class _Cache(FunctionCache):
    """The machine code of one kernel on disk.

    A file that cannot be read is removed and compiled again; a warning says if none can be kept.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        files = self._cache_file
        files.__class__ = _CheckedFiles
        # Names of ours, as files without a checksum may lie there; and machine code of this process under a name that no
        # other process writes, as two that compile one kernel at once would mix up their overloads.
        # Numba knows only the file of the outer kernel; after an edit elsewhere old machine code would run.
        modules = sorted(_sources(function.__globals__, {__name__}))
        names = [function.__globals__, *(vars(sys.modules[module]) for module in modules)]
        parts = [*map(_source, modules), *map(_constants, names)]
        files._source_stamp = files._source_stamp, hashlib.sha256(b"".join(parts)).digest()
        base = files._index_name.removesuffix(".nbi")
        files._index_name = f"{base}.checked.nbi"
        files._index_path = str(Path(files._cache_path, files._index_name))
        files._data_name_pattern = f"{base}.checked.{{number:d}}.{secrets.token_hex(4)}.nbc"

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # pickle and what it calls may raise anything
            _say_damaged(self.cache_path)
            with suppress(OSError):
                Path(self._cache_file._index_path).unlink(missing_ok=True)
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except (OSError, ValueError) as error:
            _say_once(f"they cannot be kept in {self.cache_path} ({getattr(error, 'strerror', None) or error})")


def _compiled(function: Callable[..., Any], **options: Any) -> Any:
    """`function` compiled when it is first called, its machine code kept on disk if there is a place for that."""
    if config.DISABLE_JIT:  # type: ignore[attr-defined] # set while Numba starts
        if (
            os.environ.get("PROXYC_KERNELS") == "python"
        ):  # the tests run kernels as Python, in an environment made for it
            return function
        raise InvalidConfig("NUMBA_DISABLE_JIT is set, but the kernels are right only when compiled; unset it")
    dispatcher = numba.njit(**(_OPTIONS | options))(function)
    try:
        dispatcher._cache = _Cache(function)
    except RuntimeError as error:
        if "no locator available" not in str(error):
            raise
        _say_once(HOMELESS)
    return dispatcher


@cache
def _say_once(why: str) -> None:
    warnings.warn(f"every process compiles the kernels again, for many seconds: {why}", SlowPath, stacklevel=4)


@cache
def _say_damaged(place: str) -> None:
    warnings.warn(f"compiled kernels in {place} are damaged or not ours, and are made again", SlowPath, stacklevel=4)


HOMELESS = "no writable folder was found to keep them in; set NUMBA_CACHE_DIR to one"
kernel = _compiled
inlined = partial(_compiled, forceinline=True)
allocating = partial(_compiled, _nrt=True)  # kernels that make arrays themselves


@kernel
def _nothing() -> None:
    """A kernel whose only use is to ask where kernels are kept."""


def folder() -> str | None:
    """Where the machine code of the kernels beside this file is kept; None if no folder is writable."""
    path: str | None = _nothing.stats.cache_path
    return path


__all__ = ["HOMELESS", "allocating", "folder", "inlined", "kernel"]
