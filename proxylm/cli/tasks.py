"""`proxyc lm-eval | code-tasks`: tasks of others, set to a trained model."""

from __future__ import annotations

import json
from pathlib import Path

import click

from proxylm.cli.evaluate import PATH, of_a_run


@click.command("lm-eval")
@of_a_run
@click.option("--tasks", "-t", required=True, help="Names of tasks of lm-evaluation-harness, with commas between.")
@click.option("--include", type=PATH, help="A folder with your tasks, instead of theirs.")
@click.option("--shots", type=click.IntRange(min=0), help="Examples before each question, where a task does not say.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first questions of each task.")
@click.option("--window", type=click.IntRange(min=2), help="Context in bytes; default: what the run was trained with.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Rows of one forward pass; default: as many as fit.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def lm_eval(
    run: Path, best: bool, device: str, dtype: str, tasks: str, include: Path | None, shots: int | None, limit: int | None,
    window: int | None, batch_size: int | None, as_json: bool,
) -> None:  # fmt: skip
    """Run tasks of lm-evaluation-harness on the model in RUN, which reads and writes bytes."""
    from lm_eval.utils import make_table

    from proxylm.interop import lm_eval

    model = lm_eval.ProxycLM(run, window, best=best, batch_size=batch_size, device=device, dtype=dtype)
    results = lm_eval.measure(model, tasks.split(","), include=include, shots=shots, limit=limit)
    click.echo(json.dumps(results["results"], indent=1) if as_json else make_table(results))


@click.command("code-tasks")
@of_a_run
@click.option("--dataset", required=True, type=PATH, help="HumanEvalPlus.jsonl.gz or MbppPlus.jsonl.gz, of evalplus.")
@click.option("-o", "--output", required=True, type=PATH, help="Where to write the samples: a new .jsonl file.")
@click.option("--samples", default=1, show_default=True, type=click.IntRange(min=1), help="For each problem.")
@click.option("--max-bytes", default=3072, show_default=True, type=click.IntRange(min=1), help="Of a completion.")
@click.option("--temperature", default=0.0, show_default=True, type=float, help="0 is greedy.")
@click.option("--seed", default=0, show_default=True, type=int)
@click.option("--judge", is_flag=True, help="Have evalplus run the programs and print pass@1.")
@click.option("-T", "--threads", default=1, show_default=True, type=click.IntRange(min=1), help="Programs at a time.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def code_tasks(
    run: Path, best: bool, device: str, dtype: str, dataset: Path, output: Path, samples: int, max_bytes: int, temperature: float,
    seed: int, judge: bool, threads: int, as_json: bool,
) -> None:  # fmt: skip
    """Write programs of the model in RUN for the problems of HumanEval+ or MBPP+, as evalplus reads them.

    With --judge (extra evalplus) it runs them, each in a process with limits. They stop accidents, not attacks.
    """
    from proxylm.generation import Sampling, complete
    from proxylm.interop import code_tasks as tasks
    from proxylm.trained import open_run

    problems = tasks.Problems.read(dataset)
    trained = open_run(run, best=best, device=device, dtype=dtype)
    trained.warn_without_bytes()
    sampling = Sampling(max_bytes=max_bytes, temperature=temperature, seed=seed, stop=problems.stop)
    tasks.write_samples(
        problems,
        lambda prompts: complete(trained.model, prompts, sampling, context=trained.window()),
        output,
        samples=samples,
    )
    found = {"dataset": problems.name, "problems": len(problems.all), "samples": str(output)}
    text = f"{output}: {samples} for each of {len(problems.all)} problems of {problems.name}"
    if judge:
        rates = tasks.judge(problems, output, threads=threads)
        found |= {"pass@1": rates}
        text += f"; pass@1 {rates['base']:.1%}, with evalplus' own tests {rates['plus']:.1%}"
    click.echo(json.dumps(found, indent=1) if as_json else text)
