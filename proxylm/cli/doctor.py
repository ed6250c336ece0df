"""`proxyc doctor`: the checks of `compressors`, and with --gpu those of a device that is to train."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from compressors.atomic import write_atomically
from compressors.cli import codecs
from compressors.cli.progress import progress
from compressors.errors import PluginError


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--warm", is_flag=True, help="Compile the kernels of all codecs instead, so that no first use waits.")
@click.option("--gpu", is_flag=True, help="Check a device for training instead: ten minutes at most.")
@click.option("--device", default="auto", show_default=True, help="With --gpu: auto, cpu, cuda, cuda:1, ...")
@click.option("--quick", is_flag=True, help="With --gpu: a small model, to try the checks themselves.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="With --gpu: a file for the JSON.")
@click.pass_context
def doctor(
    context: click.Context, as_json: bool, warm: bool, gpu: bool, device: str, quick: bool, output: Path | None
) -> None:
    """Check this installation: versions, the digest of every numeric path, the laws over every codec.

    With --gpu: whether attention kernels, compiled blocks, bf16 and resumed runs give what they should on a device, how fast
    a model of 150 million parameters trains there, and what the loader takes of that.

    Exit code 1 if anything is wrong.
    """
    if not gpu:
        if quick or output or device != "auto":
            raise click.UsageError("--device, --quick and --output need --gpu")
        context.invoke(codecs.doctor, as_json=as_json, warm=warm)
        return
    from proxylm.evaluation.placement import device_of
    from proxylm.training import gpu_check
    from proxylm.training.distributed import Place

    place, findings = Place(device_of(device)), []
    with progress("doctor", None, unit="checks") as told:
        for finding in gpu_check.examined(place, quick=quick):
            findings.append(finding)
            told.clear()
            if not as_json:
                click.echo(_line(finding))
            told(1)
    found = json.dumps({**gpu_check.machine(place), "quick": quick, "checks": findings}, indent=1)
    if as_json:
        click.echo(found)
    if output is not None:
        write_atomically(output, found.encode() + b"\n")
    if bad := [finding["name"] for finding in findings if finding.get("sound") is False]:
        raise PluginError(f"{len(bad)} checks failed: {', '.join(bad)}")


def _line(finding: dict[str, Any]) -> str:
    """One check for people."""
    rest = {key: value for key, value in finding.items() if key not in ("name", "sound", "losses", "expected")}
    return f"{'BAD' if finding.get('sound') is False else 'ok '} {finding['name']:<12} {json.dumps(rest)}"
