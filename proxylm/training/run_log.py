"""Reading RUN/log.jsonl, a record a step. It needs no torch: a chart of a run is drawn from this file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from compressors.errors import InputError


def totals(run: Path) -> dict[str, float]:
    """Sums over the log of a run: steps, flops, symbols, bytes of text shown, seconds."""
    log = records(run)
    return {
        "steps": len(log),
        "flops": sum(r["flops"] for r in log),
        "symbols": sum(sum(r["symbols"].values()) for r in log),
        "bytes": sum(sum(r["bytes"].values()) for r in log),
        "seconds": sum(r["seconds"] for r in log),
    }


def records(run: Path) -> list[dict[str, Any]]:
    """The log of a run, a record a step. Raises `InputError` if there is none."""
    path, found = run / "log.jsonl", list[dict[str, Any]]()
    try:
        found += map(json.loads, path.read_text().splitlines())
    except OSError as error:
        raise InputError(f"{run} has no log of a training run ({error}); make one with `proxyc train`") from error
    except ValueError as error:
        raise InputError(
            f"{path}, line {len(found) + 1}: no record ({error}); cut the file there to use the rest"
        ) from error
    return found
