"""Results of `proxyc bench downstream` as tables, and `proxyc bench tables`, which prints them
again.

A difference is `-2.5% (-2.7 to -2.2; -3.3 to -1.6)`: what other documents would give, then what
other seeds would, at 95 %.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from bench import markdown
from bench.downstream import results
from bench.downstream.results import Difference, Result
from bench.markdown import Table
from compressors.cli.printing import forms, put


def runs(found: Sequence[Result], against: str = "") -> Table:
    """Bits per byte of every run, how they differ from the rival of its size and seed on the same
    documents, what it took.
    """
    heads = ["run", "read as", "bits per byte (95 %)", f"against {rival_of(found, against)} (95 %)", "FLOPs", "symbols"]

    def cells(r: Result) -> list[str | None]:
        difference = _difference(results.against_rival(r, found, against), of_seeds=False)
        bits = f"{results.bits_per_byte(r):.4f}{_interval(r)}"
        return [r["name"], r["reads"], bits, difference, *_shown(r["totals"])]

    drops = ["bytes shown", "symbols", "bytes per symbol", "FLOPs", "read as", heads[3]]
    best = dict.fromkeys(heads[2:4], min) if _of_one_size(found) else {}
    return markdown.table(
        [*heads, "bytes shown", "bytes per symbol"], map(cells, found), text=2, drops=drops, best=best
    )


def _of_one_size(found: Sequence[Result]) -> bool:
    """Only then is one of them the best: larger models with more compute are better."""
    return len({r["size"] for r in found}) == 1


def _shown(totals: dict[str, float]) -> list[str]:
    """FLOPs, symbols, bytes of text, bytes per symbol."""
    ratio = totals["bytes"] / totals["symbols"]
    return [f"{totals['flops']:.3g}", f"{totals['symbols']:,.0f}", f"{totals['bytes']:,.0f}", f"{ratio:.2f}"]


def _interval(run: Result) -> str:
    """None of one document: there is nothing to draw from."""
    low, high = run["evaluation"]["interval_95"]
    return f" ({low:.3f}-{high:.3f})" if len(run["document_bytes"]) > 1 else ""


def rival_of(found: Sequence[Result], against: str = "") -> str:
    """The name of what results are set against."""
    names = {against or r["rival"] for r in found}
    return names.pop() if len(names) == 1 else "the first arm"


def _difference(found: Difference | None, *, of_seeds: bool = True) -> str | None:
    """In per cent: the difference, its interval over documents (none of one document), its interval
    over seeds.
    """
    if found is None:
        return None
    ranges = [] if found.high - found.low < 1e-9 else [f"{100 * found.low:+.1f} to {100 * found.high:+.1f}"]
    ranges += [_over_seeds(found)] if of_seeds else []
    return f"{found.ratio:+.1%}" + (f" ({'; '.join(ranges)})" if ranges else "")


def _over_seeds(found: Difference) -> str:
    """The interval over seeds, in per cent."""
    return "one seed" if found.seeds is None else "{:+.1f} to {:+.1f}".format(*(100 * x for x in found.seeds))


def arm_name(row: dict[str, Any]) -> str:
    """The arm with its size, if the recipe has sizes."""
    return f"{row['arm']}-{row['size']}" if row["size"] else str(row["arm"])


def _by_seed(row: dict[str, Any]) -> str:
    """The differences of the seeds, in their order."""
    return ", ".join(f"{value:+.1%}" for value in row["by_seed"])


def arms(found: Sequence[Result], against: str = "") -> Table:
    """The arms over their seeds, against the rival of their size with the same seeds, what a run
    took.

    Seconds are shown where all runs were made on one known processor.
    """
    seconds = results.processor(found) is not None
    rival = f"against {rival_of(found, against)} (95 % over documents; over seeds)"
    heads = ["arm", "seeds", "bits per byte, mean (range)", rival, "by seed", "FLOPs", "symbols", "bytes shown"]

    def cells(row: dict[str, Any]) -> list[str | None]:
        span = f" ({row['low']:.3f}-{row['high']:.3f})" if row["seeds"] > 1 else ""
        taken = [f"{row['totals']['seconds']:,.0f}"] if seconds else []
        told = [arm_name(row), str(row["seeds"]), f"{row['bits_per_byte']:.4f}{span}", _difference(row["against"])]
        return [*told, _by_seed(row) or None, *_shown(row["totals"])[:3], *taken]

    rows = map(cells, results.arms(found, against))
    drops, best = (
        ["bytes shown", "symbols", "FLOPs", "seconds", "by seed", "seeds"],
        dict.fromkeys([heads[2], rival], min),
    )
    best = best if _of_one_size(found) else {}
    return markdown.table([*heads, *(["seconds"] if seconds else [])], rows, drops=drops, best=best)


def widths(found: Sequence[Result], against: str = "") -> Table:
    """A row a size, a column an arm: bits per byte, how much more than the rival, and what other
    seeds would give.
    """
    rows = results.arms(found, against)
    names = list(dict.fromkeys(row["arm"] for row in rows))
    by_size: dict[str, dict[str, str]] = {}
    for row in rows:
        more: Difference | None = row["against"]
        told = "" if more is None else f" ({more.ratio:+.1%}, {_over_seeds(more)})"
        by_size.setdefault(row["size"], {})[row["arm"]] = f"{row['bits_per_byte']:.3f}{told}"
    return markdown.table(["size", *names], ([size, *map(cells.get, names)] for size, cells in by_size.items()))


def texts(scored: Mapping[str, Sequence[Result]], against: str = "") -> Table:
    """The arms over their seeds on several texts (name -> results): bits per byte, and how much
    more than the rival, seed by seed.
    """

    def cell(row: dict[str, Any]) -> str:
        return f"{row['bits_per_byte']:.3f}" + (f": {_by_seed(row)}" if row["by_seed"] else "")

    return _by_text(scored, against, cell)


def differences(scored: Mapping[str, Sequence[Result]], against: str = "") -> Table:
    """The same arms and texts, without the rival: how much more over the seeds that both have, and
    both intervals of that.
    """
    return _by_text(scored, against, lambda row: _difference(row["against"]), lambda row: not row["is_rival"])


def _by_text(
    scored: Mapping[str, Sequence[Result]],
    against: str,
    cell: Callable[[dict[str, Any]], str | None],
    shown: Callable[[dict[str, Any]], bool] = lambda row: True,
) -> Table:
    """A row an arm, a column a text (name -> results).

    cell: what stands below a text. shown: which arms have a row. An arm that was not scored on a
    text has a dash there.
    """
    described, rows = [], dict[tuple[str, str], list[str | None]]()
    for number, (name, found) in enumerate(scored.items()):
        n_bytes = found[0]["document_bytes"]
        described.append(f"{name} ({len(n_bytes)} documents, {sum(n_bytes) / 1000:,.0f} kB)")
        for row in filter(shown, results.arms(found, against)):
            cells = rows.setdefault((arm_name(row), f"{row['totals']['flops']:.3g}"), [None] * len(scored))
            cells[number] = cell(row)
    return markdown.table(["arm", "FLOPs", *described], ([*head, *cells] for head, cells in rows.items()))


def budgets(found: Sequence[Result], against: str = "") -> Table:
    """The arms that were also run with the symbols, the bytes or the seconds of the rival: a column
    for each budget.
    """
    columns = ("flops", "symbols", "bytes", "seconds")
    rows: dict[str, dict[str, str]] = {}
    for row in results.arms(found, against):
        name = arm_name(row | {"arm": row["arm"].removesuffix(f",equal={row['equal']}")})
        difference = _difference(row["against"]) or markdown.DASH
        rows.setdefault(name, {})[row["equal"]] = f"{row['bits_per_byte']:.4f}, {difference}"
    several = [[name, *map(cells.get, columns)] for name, cells in rows.items() if len(cells) > 1]
    heads = ["arm", *(f"equal {column.replace('flops', 'FLOPs')}" for column in columns)]
    return markdown.table(heads, several)


def all_of(found: Sequence[Result], against: str = "") -> list[Table | str]:
    """Runs, arms, and budgets where there are several; what they were scored on."""
    tables = (runs(found, against), arms(found, against), budgets(found, against))
    return [*(table for table in tables if table.rows), scored(found)]


def scored(found: Sequence[Result]) -> str:
    """The texts that results are of; their bits can only be compared if it is one."""
    # Older results have no digest: by the sizes of their documents
    of: dict[tuple[int, ...], set[str]] = {}
    for r in found:
        of.setdefault(tuple(r["document_bytes"]), set()).add(r.get("held_out_sha256", "")[:16])
    several = [
        f"{len(sizes):,} documents, {sum(sizes):,} bytes (SHA-256 {digest})"
        for sizes, digests in of.items()
        for digest in sorted(digests - {""}) or ["unknown"]
    ]
    if len(several) == 1:
        return f"Scored on {several[0]}."
    return f"Scored on different texts, so not to be compared: {'; '.join(several)}."


@click.command()
@click.argument("files", metavar="RESULTS...", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--against", default="", metavar="ARM", help="Set runs against this arm, not the first.")
@forms
def main(files: tuple[Path, ...], against: str, form: str | None) -> None:
    """Tables of each results.json of `downstream`: runs, arms over their seeds, budgets.

    Hours of training.
    """
    seconds: dict[str, float] = {}  # of each run, though several files score it
    parts: list[Table | str] = []
    for path in files:
        found = results.read(path)
        results.check_arm(found, against)
        parts += all_of(found, against)
        seconds |= {f"{r['name']} {r['totals']}": r["totals"]["seconds"] for r in found}
    put(form, *parts, f"{sum(seconds.values()) / 3600:.1f} hours of training")
