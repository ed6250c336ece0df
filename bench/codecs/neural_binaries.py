"""Files that the neural codec was not made for: what they grow by at worst, and how they compare with `zstd -3`.

python -m bench.codecs.neural_binaries -o bench/results/neural_binaries.json

Of each kind the largest file that is not above a limit, from the running Python's installation, and what hardly shrinks:
noise, and a text that is compressed already. Sizes are of whole `.pxc` and `.zst` files, each decoded and compared.
"""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click

import compressors
from bench.corpora import standard_library
from bench.measuring import OutputFile, environment
from compressors import files
from compressors.atomic import write_atomically

KINDS = (".so", ".pyc", ".png", ".ttf", ".pdf", ".mo", ".exe", ".npy", ".npz", ".gz", ".zip", ".o", ".a", ".pxa", ".xz")
LARGEST = 2_500_000  # bytes of a file: more than two blocks
CODERS = ("neural:preset=best", "neural:preset=fast", "zstd:level=3")


@dataclass(frozen=True)
class Row:
    """One file; sizes in the order of CODERS."""

    name: str
    sha256: str
    n_bytes: int
    sizes: dict[str, int]

    def growth(self, coder: str) -> float:
        """Of the file over its input; negative where it is smaller."""
        return self.sizes[coder] / self.n_bytes - 1

    def over_zstd(self, coder: str) -> float:
        """Of the file over zstd's."""
        return self.sizes[coder] / self.sizes[CODERS[-1]] - 1


def binaries() -> Iterator[tuple[str, bytes]]:
    """(name, bytes) of every file that is tried."""
    folders = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platlib")}
    found = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    for kind in KINDS:
        sizes = {path: path.stat().st_size for path in found if path.suffix == kind}
        fitting = [path for path, size in sizes.items() if 2000 <= size <= LARGEST]
        if fitting:
            path = max(fitting, key=lambda path: sizes[path])
            yield path.name, path.read_bytes()
    yield "the interpreter, its first bytes", Path(sys.executable).resolve().read_bytes()[:LARGEST]
    yield "noise", hashlib.shake_128(b"noise").digest(1_500_000)
    text = b"".join(document.data for document in standard_library()[0])[: 2 * LARGEST]
    yield "sources, by xz", lzma.compress(text)


def measure(name: str, data: bytes) -> Row:
    """Sizes of the file by every coder. Raises `AssertionError` if one does not give the bytes back."""
    sizes = {}
    for spec in CODERS:
        codec, packed, out = compressors.parse(spec), io.BytesIO(), io.BytesIO()
        files.compress_stream(codec, io.BytesIO(data), packed)
        files.decompress_stream(io.BytesIO(packed.getvalue()), out, codec=codec, name="x" + codec.suffix)
        if out.getvalue() != data:
            raise AssertionError(f"{spec} did not give back {name}")
        sizes[spec] = len(packed.getvalue())
    return Row(name, hashlib.sha256(data).hexdigest(), len(data), sizes)


@click.command()
@click.option("-o", "--output", type=OutputFile(), help="JSON to write.")
def main(output: Path | None) -> None:
    """Measure all of them."""
    rows = []
    for name, data in binaries():
        rows.append(measure(name, data))
        click.echo(f"{name}: {rows[-1].n_bytes:,} -> {rows[-1].sizes}", err=True)
    click.echo(table(rows))
    if output:
        facts = {"environment": environment(), "rows": [asdict(row) for row in rows]}
        write_atomically(output, (json.dumps(facts, indent=1) + "\n").encode())


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    best, fast, zstd = CODERS
    lines = [
        "| file | bytes | best | fast | zstd -3 | best, growth | fast, growth | best over zstd | fast over zstd |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        sizes = f"{row.sizes[best]:,} | {row.sizes[fast]:,} | {row.sizes[zstd]:,}"
        growth = f"{row.growth(best):+.2%} | {row.growth(fast):+.2%}"
        lines.append(
            f"| {row.name} | {row.n_bytes:,} | {sizes} | {growth} | {row.over_zstd(best):+.2%} | {row.over_zstd(fast):+.2%} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
