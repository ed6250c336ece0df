"""`proxyc bench downstream --plan`: what a run would take, without running it."""

from __future__ import annotations

from bench.downstream.arms import Arm
from compressors.cli.progress import amount
from proxylm.data.store import Store
from proxylm.training.outlook import Outlook
from proxylm.training.run_plan import RunPlan


def planned(arm: Arm, store: Store, flops_per_second: float | None = None) -> str:
    """One line: what the run would take; hours at a rate that is given.

    Plans its rows, and loads nothing else.
    """
    train, plan = arm.config.train, RunPlan.of(store, arm.config)
    outlook = Outlook.of(plan)
    hours = f", {plan.flops / flops_per_second / 3600:,.2f} hours" if flops_per_second else ""
    return (
        f"{arm.name}: {plan.steps:,} steps of {train.rows} x {train.row_length}, {plan.flops:.4g} FLOPs, {plan.passes:.2g} passes over the corpus, "
        f"{outlook.parameters:,} parameters; for one process with all of them {amount(outlook.weight_bytes)} for weights, gradients and optimizer, "
        f"at most {amount(outlook.activation_bytes)} for the activations of {train.micro_rows or train.rows} rows "
        f"(fp32, not compiled){hours}"
    )
