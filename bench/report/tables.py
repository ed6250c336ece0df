"""`proxyc bench tables`: results of `downstream` and `codecs` as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.downstream import results
from bench.downstream.results import Difference, Result


def runs(found: Sequence[Result], against: str = "") -> str:
    """Bits per byte of every run, how they differ from the rival of its size and seed on the same documents, what it took."""
    lines = [
        f"| run | read as | bits per byte (95 %) | {_against(found, against)} (95 %) | FLOPs | symbols | bytes shown | bytes per symbol |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for r in found:
        t = r["totals"]
        lines.append(
            f"| {r['name']} | {r['reads']} | {results.bits_per_byte(r):.4f}{_interval(r)} | "
            f"{_difference(results.against_rival(r, found, against))} | "
            f"{t['flops']:.3g} | {t['symbols']:,.0f} | {t['bytes']:,.0f} | {t['bytes'] / t['symbols']:.2f} |"
        )
    return "\n".join(lines)


def _interval(run: Result) -> str:
    """None of one document: there is nothing to draw from."""
    low, high = run["evaluation"]["interval_95"]
    return f" ({low:.3f}-{high:.3f})" if len(run["document_bytes"]) > 1 else ""


def _against(found: Sequence[Result], against: str) -> str:
    return f"against {rival_of(found, against)}"


def rival_of(found: Sequence[Result], against: str = "") -> str:
    """The name of what results are set against."""
    names = {against or r["rival"] for r in found}
    return names.pop() if len(names) == 1 else "the first arm"


def _difference(found: Difference | None) -> str:
    if found is None:
        return "-"
    ratio, low, high = found  # of no width where there is one document
    return f"{ratio:+.1%}" + ("" if low == high else f" ({low:+.1%} to {high:+.1%})")


def arm_name(row: dict[str, Any]) -> str:
    """The arm with its size, if the recipe has sizes."""
    return f"{row['arm']}-{row['size']}" if row["size"] else str(row["arm"])


def arms(found: Sequence[Result], against: str = "") -> str:
    """The arms over their seeds, against the rival of their size with the same seeds, what a run took."""
    lines = [
        f"| arm | seeds | bits per byte, mean (range) | {_against(found, against)} (95 %) | by seed | FLOPs | symbols | bytes shown | seconds |",
        "|---|---:|---:|---:|---|---:|---:|---:|---:|",
    ]
    for row in results.arms(found, against):
        t, by_seed = row["totals"], ", ".join(f"{value:+.1%}" for value in row["by_seed"])
        lines.append(
            f"| {arm_name(row)} | {row['seeds']} | {row['bits_per_byte']:.4f}{_range(row)} | "
            f"{_difference(row['against'])} | {by_seed or '-'} | {t['flops']:.3g} | {t['symbols']:,.0f} | {t['bytes']:,.0f} | "
            f"{t['seconds']:,.0f} |"
        )
    return "\n".join(lines)


def _range(row: dict[str, Any]) -> str:
    return f" ({row['low']:.3f}-{row['high']:.3f})" if row["seeds"] > 1 else ""


def texts(scored: Mapping[str, Sequence[Result]], against: str = "") -> str:
    """The arms over their seeds on several texts (name -> results): bits per byte, and how much more than the rival, seed by seed."""

    def cell(row: dict[str, Any]) -> str:
        by_seed = ", ".join(f"{value:+.1%}" for value in row["by_seed"])
        return f"{row['bits_per_byte']:.3f}" + (f": {by_seed}" if by_seed else "")

    return _by_text(scored, against, cell)


def differences(scored: Mapping[str, Sequence[Result]], against: str = "") -> str:
    """The same arms and texts, without the rival: how much more in the mean over the seeds that both have, and the interval of that."""
    return _by_text(scored, against, lambda row: _difference(row["against"]), lambda row: not row["is_rival"])


def _by_text(
    scored: Mapping[str, Sequence[Result]],
    against: str,
    cell: Callable[[dict[str, Any]], str],
    shown: Callable[[dict[str, Any]], bool] = lambda row: True,
) -> str:
    described, rows = [], dict[str, list[str]]()
    for number, (name, found) in enumerate(scored.items()):
        n_bytes = found[0]["document_bytes"]
        described.append(f"{name} ({len(n_bytes)} documents, {sum(n_bytes) / 1000:,.0f} kB)")
        for row in filter(shown, results.arms(found, against)):
            cells = rows.setdefault(f"{arm_name(row)} | {row['totals']['flops']:.3g}", ["-"] * len(scored))
            cells[number] = cell(row)
    lines = ["| arm | FLOPs | " + " | ".join(described) + " |", "|---|---:|" + "---:|" * len(scored)]
    return "\n".join([*lines, *(f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items())])


def budgets(found: Sequence[Result], against: str = "") -> str:
    """The arms that were also run with the symbols, the bytes or the seconds of the rival: a column for each budget."""
    columns = ("flops", "symbols", "bytes", "seconds")
    rows: dict[str, dict[str, str]] = {}
    for row in results.arms(found, against):
        name = arm_name(row | {"arm": row["arm"].removesuffix(f",equal={row['equal']}")})
        rows.setdefault(name, {})[row["equal"]] = f"{row['bits_per_byte']:.4f}, {_difference(row['against'])}"
    lines = ["| arm | " + " | ".join(f"equal {c.replace('flops', 'FLOPs')}" for c in columns) + " |"]
    lines.append("|---|" + "---:|" * len(columns))
    lines += [
        f"| {name} | " + " | ".join(cells.get(c, "-") for c in columns) + " |"
        for name, cells in rows.items()
        if len(cells) > 1
    ]
    return "\n".join(lines) if len(lines) > 2 else ""


def sizes(found: Sequence[Result]) -> str:
    """A row for each width and budget, a column for each arm: bits per byte, mean over the seeds that are named."""
    names = list(dict.fromkeys(r["arm"] for r in found))
    rows: dict[tuple[int, float], dict[str, list[Result]]] = {}
    for r in (r for r in found if r["config"]["train"]["flops"] is not None):
        cells = rows.setdefault((r["config"]["model"]["d_model"], r["config"]["train"]["flops"]), {})
        cells.setdefault(r["arm"], []).append(r)
    lines = ["| d | FLOPs | " + " | ".join(names) + " |", "|---:|---:|" + "---:|" * len(names)]
    for (width, flops), cells in sorted(rows.items()):
        shown = (_cell(cells[name]) if name in cells else "-" for name in names)
        lines.append(f"| {width} | {flops:.3g} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def _cell(runs: Sequence[Result]) -> str:
    mean = sum(map(results.bits_per_byte, runs)) / len(runs)
    return f"{mean:.3f} ({', '.join(f's{results.seed(r)}' for r in runs)})"


def all_of(found: Sequence[Result], against: str = "") -> str:
    """Runs, arms, and budgets where there are several; what they were scored on."""
    parts = (runs(found, against), arms(found, against), budgets(found, against), scored(found))
    return "\n\n".join(filter(None, parts))


def scored(found: Sequence[Result]) -> str:
    """The texts that results are of; their bits can only be compared if it is one."""
    of: dict[tuple[int, ...], set[str]] = {}  # older results have no digest: by the sizes of their documents
    for r in found:
        of.setdefault(tuple(r["document_bytes"]), set()).add(r.get("held_out_sha256", "")[:16])
    texts = [
        f"{len(sizes):,} documents, {sum(sizes):,} bytes (SHA-256 {digest})"
        for sizes, digests in of.items()
        for digest in sorted(digests - {""}) or ["unknown"]
    ]
    if len(texts) == 1:
        return f"Scored on {texts[0]}."
    return f"Scored on different texts, so not to be compared: {'; '.join(texts)}."


CODECS = {
    "bits per byte, each document": ("document_bits_per_byte", ".3f"),
    "as one file": ("whole_bits_per_byte", ".3f"),
    "documents and model": ("with_model", ".3f"),
    "compress MB/s": ("compress_mb_s", ",.1f"),
    "decompress MB/s": ("decompress_mb_s", ",.1f"),
    "bytes per symbol": ("bytes_per_symbol", ".2f"),
    "vocabulary": ("vocabulary", ",d"),
    "unigram bits per symbol": ("unigram_bits_per_symbol", ".2f"),
    "encode MB/s": ("encode_mb_s", ",.1f"),
    "decode MB/s": ("decode_mb_s", ",.1f"),
    "peak MB": ("peak_mb", ",.0f"),
    "model bytes": ("model_bytes", ",d"),
    "distance at 10 % deletion": ("distance", ".3f"),
    "colliding chunks": ("colliding", ".0%"),
}


def codecs(rows: Sequence[dict[str, Any]]) -> str:
    """Compressors side by side; a dash where a measure does not apply, no column where it was not taken."""
    columns = {title: cell for title, cell in CODECS.items() if any(row.get(cell[0]) is not None for row in rows)}
    lines = ["| compressor | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for row in rows:
        cells = ["-" if row.get(key) is None else format(row[key], spec) for key, spec in columns.values()]
        lines.append(f"| {row['name']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def codecs_described(facts: dict[str, Any]) -> str:
    """The table, and what it was measured on."""
    threads = "one thread" if facts["threads"] == 1 else f"{facts['threads']} threads"
    return (
        f"{codecs(facts['rows'])}\n\n{', '.join(facts['corpus'])}: {facts['documents']:,} documents, {facts['bytes']:,} bytes "
        f"(SHA-256 {facts['corpus_sha256'][:16]}); {threads}, medians of {facts['rounds']} rounds; {facts['environment']}."
    )
