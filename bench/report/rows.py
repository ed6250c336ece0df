"""What charts and tables show, as rows: of grids of runs, of plain run folders, of exchange rates.

A run: run, arm, size, group (arm and size), panel (what a small chart is headed by), seed, reads,
width, budget (the FLOPs asked for, or the size), bits (per byte; None of a run that was not scored), low, high (95 % over
documents), ratio (bytes per symbol), flops, symbols, bytes, seconds, distance (of its view); and
where there are curves: loss, and for each cost the spent (`AT`), of equal lengths.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.downstream import results
from bench.downstream.curves import COSTS, curves
from bench.downstream.results import Result
from bench.output import read_json
from compressors.errors import InputError
from proxylm.training.run_log import records, totals
from proxylm.view_spec import RAW

Row = dict[str, Any]
# Axis -> the field of a row: what the run had spent at each point of its curve.
AT = {cost: f"at_{key}" for cost, key in zip(COSTS, ("flops", "bytes", "symbols", "seconds"), strict=True)}
_LOG = "log.jsonl"


def read(path: Path) -> list[Result]:
    """The runs of a results.json, of a folder of `proxyc bench downstream`, or of a plain run
    folder (or a folder of those), each with its curves where they are known.

    Raises `InputError` if there are none.
    """
    if path.is_file():
        return results.read(path)
    plain = [path] if (path / _LOG).is_file() else sorted(log.parent for log in path.glob(f"*/{_LOG}"))
    if plain and not list(path.glob(f"*/{results.RESULT}")):
        return [_plain_run(folder) for folder in plain]
    return [r if "curves" in r else r | {"curves": curves(path / r["name"])} for r in results.read(path)]


def exchange_rates(path: Path) -> list[Row] | None:
    """The rows of a result of `proxyc bench exchange` (view, width, e, e_low, e_high,
    bytes_per_position, pays); None if the file is something else.
    """
    try:
        found = json.loads(path.read_bytes()) if path.is_file() else None
    except ValueError:
        return None
    if not isinstance(found, dict) or found.get("bench") != "exchange":
        return None
    rows: list[Row] = read_json(path, "exchange")["rows"]
    return rows


def _plain_run(folder: Path) -> Result:
    """A run of `proxyc train`: its arm is its folder. It has no evaluation; what its log says of
    held-out text is `held_out`.
    """
    try:
        config = json.loads((folder / "run.json").read_bytes())["config"]
        mix, width, seed = config["mix"], config["model"]["d_model"], config["train"]["seed"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(
            f"{folder} is not a training run: run.json ({error!r}); make one with `proxyc train`"
        ) from error
    log, name = records(folder), folder.resolve().name
    if not log:
        raise InputError(f"{folder / _LOG} has no step yet; wait for the first one")
    scored = [r["held_out_bits_per_byte"] for r in log if "held_out_bits_per_byte" in r]
    return {
        "name": name, "arm": name, "size": "", "rival": name, "reads": RAW, "totals": totals(folder), "curves": curves(folder),
        "config": {"mix": mix, "model": {"d_model": width}, "train": config["train"] | {"seed": seed}},
        "held_out": scored[-1] if scored else None,
    }  # fmt: skip


def scored(found: Sequence[Result]) -> list[Result]:
    """Those that were scored document by document, which tables and differences need."""
    return [r for r in found if "evaluation" in r]


def run_row(name: str, prefix: str, r: Result, codecs: Sequence[Row]) -> Row:
    """One run. name: as it is shown. prefix: of its arm, the source where there are several."""
    t, low_high = r["totals"], r["evaluation"]["interval_95"] if "evaluation" in r else (None, None)
    arm, size = prefix + r["arm"], r["size"]
    row = {
        "run": name, "arm": arm, "size": size, "group": f"{arm} {size}", "seed": results.seed(r), "reads": r["reads"],
        "width": r["config"]["model"]["d_model"], "budget": str(r["config"]["train"].get("flops") or size),
        "bits": results.bits_per_byte(r) if "evaluation" in r else r["held_out"],
        "low": low_high[0], "high": low_high[1], "ratio": t["bytes"] / t["symbols"],
        "distance": _distance(r, codecs),
        **{key: t[key] for key in ("flops", "symbols", "bytes", "seconds")},
    }  # fmt: skip
    if r.get("curves"):
        points = r["curves"]
        row["loss"] = [bits for _, bits in next(iter(points.values()))]
        row |= {field: [spent for spent, _ in points[cost]] for cost, field in AT.items()}
    return _short(row)


def _short(row: Row) -> Row:
    """Numbers with five digits: a chart shows no more, and a page of 200 runs stays small."""

    def short(value: Any) -> Any:
        if isinstance(value, list):
            return list(map(short, value))
        if not isinstance(value, float):
            return value
        return int(value) if value.is_integer() and abs(value) < 1e5 else float(f"{value:.5g}")

    return {key: short(value) for key, value in row.items()}


def _distance(r: Result, codecs: Sequence[Row]) -> float | None:
    """How much of its view a deletion of 10 % of a text changes, 0 to 1; None if no table says."""
    shown_as = r["config"]["mix"].get("view")
    view = shown_as.partition(":")[0] if shown_as else RAW
    made_by = r.get("views", {}).get(view)
    rows = [row for row in codecs if (row["name"] == "bytes" if view == RAW else row.get("fingerprint") == made_by)]
    return rows[0].get("distance") if rows else None


def difference_rows(prefix: str, found: Sequence[Result], against: str) -> list[Row]:
    """The arms of one source against their rival, in per cent, with both intervals at 95 %.

    Arms without a rival, and the rival, are left out.
    """
    rows = []
    for row in results.arms(found, against):
        d = row["against"]
        if d is None or row["is_rival"]:
            continue
        per_cent = {"ratio": d.ratio, "low": d.low, "high": d.high}
        per_cent |= dict(zip(("seeds_low", "seeds_high"), d.seeds or (None, None), strict=True))
        shown = {key: None if value is None else 100 * value for key, value in per_cent.items()}
        arm = prefix + row["arm"]
        names = {"arm": arm, "size": row["size"], "group": f"{arm} {row['size']}", "seeds": len(row["by_seed"])}
        rows.append(_short(names | {"bits": row["bits_per_byte"]} | shown))
    return rows


def panels(rows: Sequence[Row]) -> dict[str, str]:
    """Size -> the heading of its small chart, in order of compute and width: `d64, 2.5e+13 FLOPs`.

    The compute is left out where the runs of a size differ in it.
    """
    of: dict[str, list[Row]] = {}
    for row in rows:
        of.setdefault(row["size"], []).append(row)
    ordered = sorted(of.items(), key=lambda item: (float(f"{item[1][0]['flops']:.1e}"), item[1][0]["width"]))
    found = {}
    for size, its in ordered:
        budgets = {f"{r['flops']:.2g}" for r in its}
        named = [size] if size else []
        found[size] = ", ".join([*named, f"{budgets.pop()} FLOPs"] if len(budgets) == 1 else named) or "all runs"
    return found


def settled_rival(found: Sequence[Result], against: str) -> str:
    """What results are set against: `against`, or nothing (the rival that each of them names), or
    the first arm where no run of a named rival is among them.
    """
    named = {r["rival"] for r in found}
    return against or ("" if named & {r["arm"] for r in found} or not found else str(found[0]["arm"]))
