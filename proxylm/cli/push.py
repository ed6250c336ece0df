"""`proxyc push`: parse and print."""

from __future__ import annotations

from pathlib import Path

import click

_MEASURED = 10_000_000  # bytes of --measure that are encoded, chosen by hash


@click.command()
@click.argument("source", type=click.Path(path_type=Path, exists=True))
@click.argument("repo", metavar="USER/REPO")
@click.option("--private", is_flag=True, help="Make a repository that only you see, if it is not there yet.")
@click.option("--license", "licence", metavar="ID", help="As the hub writes it: apache-2.0, mit ... Default: unknown.")
@click.option(
    "--measure",
    multiple=True,
    type=click.Path(),
    metavar="TEXT",
    help="Text to measure an artifact's bytes per symbol on, for its card.",
)
@click.option("--dry-run", is_flag=True, help="Print the card and the files; send nothing.")
def push(source: Path, repo: str, private: bool, licence: str | None, measure: tuple[str, ...], dry_run: bool) -> None:
    """Publish SOURCE on the Hugging Face Hub: an artifact of `proxyc fit`, or a folder of `proxyc export`.

    The repository gets a card that says what SOURCE was made of and how to load it. Log in first with `hf auth login`.

    \b
    proxyc push code.pxa me/code-bpe --license apache-2.0 --dry-run
    proxyc push model me/byte-model --private
    """
    from compressors.corpus import Reader
    from proxylm.interop import push as pushing

    documents = Reader(measure).sample(_MEASURED) if measure else None
    files = pushing.prepare(source, repo, licence=licence, documents=documents)
    if dry_run:
        card = files[pushing.CARD]
        click.echo(card if isinstance(card, bytes) else card.read_bytes(), nl=False)
        for name, data in sorted(files.items()):
            size = data.stat().st_size if isinstance(data, Path) else len(data)
            click.echo(f"{size:>13,}  {name}", err=True)
        click.echo(f"nothing was sent to {repo}", err=True)
        return
    commit = pushing.push(files, repo, private=private)
    click.echo(f"hf://{repo}@{commit}")
