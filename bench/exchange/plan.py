"""`proxyc bench exchange --dry-run`: what the runs would take."""

from __future__ import annotations

from collections.abc import Sequence

from bench import markdown
from bench.exchange.experiment import Run
from proxylm.data.store import Store
from proxylm.training.run_plan import RunPlan


def plan(runs: Sequence[Run], store: Store, flops_per_second: float | None = None) -> markdown.Table:
    """Steps, bytes and FLOPs of every run and of all; hours at a rate that is given."""
    plans = [(run, RunPlan.of(store, run.arm.config)) for run in runs]
    rows = [
        _cells(run.arm.name, found.steps, run.shares, found.flops, flops_per_second, found.passes)
        for run, found in plans
    ]
    shares = [sum(run.shares[i] for run in runs) for i in (0, 1)]
    total = (sum(found.steps for _, found in plans), (shares[0], shares[1]), sum(found.flops for _, found in plans))
    rows.append(_cells("all", *total, flops_per_second))
    heads = ["run", "steps", "raw bytes", "bytes in the view", "FLOPs", "passes over the corpus", "hours"]
    return markdown.table(heads, rows)


def _cells(
    name: str, steps: int, shares: tuple[float, float], flops: float, rate: float | None, passes: float | None = None
) -> list[str | None]:
    """One row."""
    raw, shown = (f"{n_bytes:,.0f}" for n_bytes in shares)
    hours = f"{flops / rate / 3600:,.2f}" if rate else None
    return [name, f"{steps:,}", raw, shown, f"{flops:.4g}", None if passes is None else f"{passes:.2g}", hours]
