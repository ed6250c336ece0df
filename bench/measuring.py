"""What every measurement needs: texts and their digest, interleaved rounds, medians, the machine."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from compressors.corpus import Reader, fingerprint, take

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

# -- texts -------------------------------------------------------------------------------------------------------------


def documents(paths: Sequence[Path], max_bytes: int | None = None) -> list[bytes]:
    """The first documents of a corpus that together have `max_bytes` bytes or a little more.

    All of them by default.
    """
    return [document.data for document in take(Reader(list(paths)), max_bytes)]


def described(paths: Sequence[Path], texts: Sequence[bytes]) -> dict[str, Any]:
    """What a result says of the text it was measured on."""
    facts = {"corpus": [path.name for path in paths], "documents": len(texts), "bytes": sum(map(len, texts))}
    return facts | {"corpus_sha256": fingerprint(texts)}


# -- time --------------------------------------------------------------------------------------------------------------


def timed(work: Callable[[], T], clock: Callable[[], float] = time.perf_counter) -> tuple[T, float]:
    """What `work` returns, and the seconds it took."""
    began = clock()
    made = work()
    return made, clock() - began


def rounds(
    work: Mapping[K, Callable[[], object]], repeats: int, *, warm: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[K, list[float]]:  # fmt: skip
    """Seconds of each piece of work, `repeats` of them: they take turns, so that a busy minute
    falls on all.

    The first `warm` rounds are not counted: they load, compile and fill caches.
    """
    seconds: dict[K, list[float]] = {key: [] for key in work}
    for turn in range(warm + repeats):
        for key, do in work.items():
            taken = timed(do, clock)[1]
            if turn >= warm:
                seconds[key].append(taken)
    return seconds


def mb_s(n_bytes: int, seconds: Sequence[float]) -> float:
    """Megabytes a second (10^6 bytes), by the median."""
    return n_bytes / 1e6 / statistics.median(seconds)


# -- the machine -------------------------------------------------------------------------------------------------------

_LIBRARIES = ("numpy", "numba", "torch", "zstandard", "brotli", "tokenizers")
# What decides how fast products are: two machines of one name may differ in it.
_UNITS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "asimd", "sve")


def versions(names: Iterable[str]) -> dict[str, str]:
    """Versions of the packages that are installed; the others are left out."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def environment() -> str:
    """Python, libraries, processor: one line."""
    libraries = "".join(f", {name} {number}" for name, number in versions(_LIBRARIES).items())
    return f"Python {platform.python_version()}{libraries}; {platform.machine()}, {processor()}"


def processor() -> str:
    """Name, family, model and vector units: clouds give several generations one name, and seconds
    differ between them.
    """
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = facts.get("model name") or platform.processor() or "unknown processor"
    flags = facts.get("flags", facts.get("Features", "")).split()
    numbers = [f"{key.removeprefix('cpu ')} {facts[key]}" for key in ("cpu family", "model") if key in facts]
    told = [", ".join(numbers), " ".join(unit for unit in _UNITS if unit in flags)]
    return name + (f" ({'; '.join(filter(None, told))})" if any(told) else "")
