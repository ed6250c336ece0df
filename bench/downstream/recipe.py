"""A recipe: a grid of training runs as data. Every arm is run at every size with every seed.

seeds = [0, 1, 2] [base.train]                        # settings of all runs, as for `proxyc train
--config` flops = 2.5e13 [sizes.small.model]                 # settings that go with a size d_model
= 128 [arms.bytes.mix]                    # settings of one arm recipe = "raw" [arms.tokens] reads =
"bpe"                       # the view it is evaluated in; raw if not said mix = { recipe = "comp",
view = "bpe" } [arms.bytes.sweep]                  # one arm for each combination of these values;
those of train.flops are sizes, not arms "train.matrix_lr" = [0.01, 0.02] [arms.bags] equal =
["bytes", "seconds"]        # also with the budget of the first arm in these, or in symbols
(`bench.downstream.budgets`)
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.downstream.arms import Arm
from compressors.errors import InvalidConfig
from proxylm import config_files as configs
from proxylm.config import RunConfig

_PARTS = ("train", "model", "mix")
_BUDGETS = ("symbols", "bytes", "seconds")


def load(path: Path) -> list[Arm]:
    """The runs of a recipe file, in its order.

    The first seed of every arm comes before the second of any.

    Raises `InvalidConfig` on an unknown setting, `InputError` if the file cannot be read.
    """
    recipe = configs.load(path)
    if unknown := set(recipe) - {"seeds", "base", "sizes", "arms"}:
        raise InvalidConfig(f"{path}: no section {', '.join(sorted(unknown))}; it has: seeds, base, sizes, arms")
    seeds = recipe.get("seeds", [0])
    if not isinstance(seeds, list) or not all(type(seed) is int for seed in seeds):
        raise InvalidConfig(f"{path}: seeds is {seeds!r}; expected a list of whole numbers")
    for name in ("base", "sizes", "arms"):
        nested = recipe.get(name, {})
        if not isinstance(nested, dict) or not all(isinstance(value, dict) for value in nested.values()):
            raise InvalidConfig(f"{path}: {name} is {nested!r}; expected a table of tables")
    if not recipe.get("arms"):
        raise InvalidConfig(f"{path}: no arms; expected at least one [arms.NAME]")
    sizes = recipe.get("sizes", {"": {}})
    arms = [arm for name, settings in recipe["arms"].items() for arm in _swept(f"{path}: arm {name}", name, settings)]
    found: list[Arm] = []
    for seed, size in itertools.product(seeds, sizes):
        # The first arm of each budget, which the others with that budget are set against
        rivals: dict[str, Arm] = {}
        for name, budget, settings in arms:
            where = f"{path}: arm {name}"
            arm = replace(_run(where, name, size, budget, recipe, settings, seed), first=arms[0][0])
            rival = rivals.setdefault(budget, arm)
            found.append(arm)
            found += [
                replace(
                    arm, name=arm.name.replace(name, label, 1), arm=label, equal=equal, rival=rival, at_flops=arm.name
                )
                for equal, label in _budgets(where, name, settings)
            ]
    return found


def _budgets(where: str, name: str, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each budget, and what the arm is called with it."""
    budgets: list[str] = settings.get("equal", [])
    if not isinstance(budgets, list) or not set(budgets) <= set(_BUDGETS):
        raise InvalidConfig(f"{where}: equal is {budgets!r}; expected a list of {', '.join(_BUDGETS)}")
    return [(budget, f"{name},equal={budget}") for budget in budgets]


def _swept(where: str, name: str, settings: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The arm, once for every combination of its sweep: its label, its budget if that is swept, its
    settings.
    """
    sweep = settings.get("sweep", {})
    if not isinstance(sweep, dict) or not all(isinstance(values, list) for values in sweep.values()):
        raise InvalidConfig(f"{where}: sweep is {sweep!r}; expected a table of lists of values")
    for values in itertools.product(*sweep.values()):
        chosen = deepcopy({key: value for key, value in settings.items() if key != "sweep"})
        labels, budget = [name], ""
        for path, value in zip(sweep, values, strict=True):
            configs.override(chosen, f"{path}={json.dumps(value)}")
            if path == "train.flops":
                budget = f"flops={value:.3g}"
            else:
                labels.append(f"{path.rpartition('.')[2]}={value}")
        yield ",".join(labels), budget, chosen


def _run(
    where: str, name: str, size: str, budget: str, recipe: Mapping[str, Any], arm: Mapping[str, Any], seed: int
) -> Arm:
    """One run: settings of the base, then of the size, then of the arm; the later ones win.

    where: begins each message. budget: the label of a swept `train.flops`, which is part of the
    size. Raises `InvalidConfig`.
    """
    sized = recipe.get("sizes", {}).get(size, {})
    if unknown := (set(arm) | set(sized) | set(recipe.get("base", {}))) - {*_PARTS, "reads", "equal"}:
        raise InvalidConfig(
            f"{where}: no setting {', '.join(sorted(unknown))}; expected reads, sweep, equal, train, model, mix"
        )
    merged: dict[str, dict[str, Any]] = {part: {} for part in _PARTS}
    for layer, part in itertools.product((recipe.get("base", {}), sized, arm), _PARTS):
        if not isinstance(layer.get(part, {}), dict):
            raise InvalidConfig(f"{where}: {part} is {layer[part]!r}; expected a table of settings")
        merged[part].update(layer.get(part, {}))
    if "steps" in arm.get("train", {}):  # of an arm's own, instead of the FLOPs of all
        merged["train"].pop("flops", None)
    merged["train"]["seed"] = seed
    full_size = ",".join(filter(None, (size, budget)))
    full_name = "-".join(filter(None, (name, full_size, f"s{seed}")))
    return Arm(full_name, configs.from_mapping(RunConfig, merged, where), arm.get("reads", "raw"), name, full_size)
