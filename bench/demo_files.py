"""The files of the demo: results, page and picture, and a text with the same parts as its story."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench import markdown, measuring
from bench.downstream import arms, results
from bench.downstream.curves import curves
from bench.markdown import Table
from bench.report import vega
from bench.report.page import Report
from compressors.atomic import write_atomically
from compressors.corpus import Document


def result(o: arms.Outcome, folder: Path, scored: Sequence[bytes]) -> results.Result:
    """An outcome as `proxyc bench downstream` writes them: `proxyc report` reads these."""
    documents = [Document(str(number), data) for number, data in enumerate(scored)]
    return {
        "name": o.arm.name, "arm": o.arm.name, "size": "", "rival": "bytes", "reads": o.arm.reads,
        "config": json.loads(o.arm.config.to_json()), "totals": o.totals, "environment": measuring.environment(),
        "processor": measuring.processor(), "curves": curves(folder),
    } | arms.scores(o.result, documents, [])  # fmt: skip


def charts(output: Path, found: list[results.Result]) -> None:
    """results.json, and report.html and report.png, which are made from it."""
    results.write(output / "results.json", found)
    report = Report({"demo": found})
    write_atomically(output / "report.html", report.page().encode())
    vega.save(report.picture(), output / "report.png")


def scored_on(scored: Sequence[bytes]) -> str:
    """What bits per byte are here."""
    return (
        f"Held-out: {len(scored)} documents, {sum(map(len, scored)):,} bytes; one seed. Bits per byte: every byte scored once, "
        "the same context in bytes, the end of each document charged. The figure for tokens is an upper bound."
    )


def text(path: Path, finding: str, parts: Mapping[str, Sequence[str | Table]]) -> None:
    """Markdown beside its picture: the finding, then each part (heading -> paragraphs and tables)."""
    sections = [("", f"# Ratio against loss: the demo\n\n{finding}\n\n![ratio against loss](report.png)")]
    sections += [(heading, "\n\n".join(map(str, told))) for heading, told in parts.items()]
    markdown.write(path, [*sections, ("Environment", measuring.environment())])
