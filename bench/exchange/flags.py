"""The settings of `bench.exchange.experiment` from a recipe file, or from flags: every view at every width, ratio, schedule."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compressors.errors import InvalidConfig
from proxylm import config_files as configs
from proxylm.config import RECIPES

_HEAD = 32  # width of an attention head


def settings_of(
    recipe: Path | None,
    *,
    views: Sequence[str],
    widths: Sequence[int],
    raw: float | None,
    ratios: Sequence[float],
    schedules: Sequence[str],
    seeds: Sequence[int],
    assignments: Sequence[str],
) -> dict[str, Any]:
    """The settings of a recipe, with other seeds if some are given; or those that flags say.

    Raises `InvalidConfig` where both say the same, or flags leave something out.
    """
    given = {"--view": views, "--width": widths, "--raw": raw, "--ratio": ratios, "--schedule": schedules}
    named = [flag for flag, value in given.items() if value]
    if recipe is None:
        if not views or not raw:
            raise InvalidConfig(
                f"{'--raw' if views else '--view'} is missing; give --view NAME and --raw BYTES, or --recipe FILE"
            )
        settings = _grid(views, widths or [32], raw, ratios or [1.0], schedules or ["first"])
    elif named:
        raise InvalidConfig(f"{recipe} and {', '.join(named)} say the same; leave one out")
    else:
        settings = configs.load(recipe)
    if seeds or recipe is None:
        settings["seeds"] = list(seeds or [1])
    base = settings.setdefault("base", {})
    for assignment in assignments:
        configs.override(base, assignment)
    return settings


def _grid(
    views: Sequence[str], widths: Sequence[int], raw: float, ratios: Sequence[float], schedules: Sequence[str]
) -> dict[str, Any]:
    """Models of the recipe `merges`, whose settings are those of the runs that were published."""
    defaults = RECIPES["merges"].settings
    arms = {
        f"{view},{schedule},{ratio:g}R": {"view": view, "schedule": schedule, "ratio": ratio}
        for view, schedule, ratio in itertools.product(views, schedules, ratios)
    }
    sizes = {
        f"d{width}": {"model": {"d_model": width, "n_heads": max(1, width // _HEAD)}, "raw": raw} for width in widths
    }
    return {"base": {name: dict(section) for name, section in defaults.items()}, "sizes": sizes, "arms": arms}
