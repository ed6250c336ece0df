"""Damaged files: how many faults of each kind are noticed, harmless, or give other bytes without a word.

python -m tests.extended.faults -o bench/results/faults.json
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

import compressors
from bench import markdown
from bench.corpora import standard_library
from bench.output import as_json, output, write_json
from compressors import Compressor, ProxycError, files
from compressors.bpe.codec import BPE

CODECS = (
    "bytes",
    "pack:codec=gzip,bits=16",
    "bpe",
    "neural:preset=fast",
    "zstd",
    "gzip",
    "brotli",
)  # .pxc, then standard
SMALL, LARGE, DRAWS = 1500, 5_000_000, 200  # bytes, bytes, random faults of each kind in the large file
SLOW = {"bpe": 200_000, "neural:preset=fast": 20_000}  # bytes of their large files, read 800 times each


@dataclass(frozen=True)
class Faults:
    """Faults of one kind in files of one codec. `lost`: decoded to other bytes, and nothing was said."""

    suffix: str
    codec: str
    kind: str
    tried: int
    detected: int
    harmless: int  # decoded to the right bytes: the bit had no meaning, or a copy of it was right
    lost: int


Damage = Callable[[bytes], Iterator[bytes]]


def truncations(packed: bytes) -> Iterator[bytes]:
    return (packed[:n] for n in range(len(packed)))


def bit_flips(packed: bytes) -> Iterator[bytes]:
    return (_flipped(packed, bit) for bit in range(8 * len(packed)))


def random_flips(packed: bytes) -> Iterator[bytes]:
    draw = random.Random(0)
    return (_flipped(packed, draw.randrange(8 * len(packed))) for _ in range(DRAWS))


def random_truncations(packed: bytes) -> Iterator[bytes]:
    draw = random.Random(1)
    return (packed[: draw.randrange(len(packed))] for _ in range(DRAWS))


def zeroed_sectors(packed: bytes) -> Iterator[bytes]:
    """512 bytes that read as zeros, as after a lost write."""
    draw = random.Random(2)
    for _ in range(DRAWS):
        at = draw.randrange(len(packed)) // 512 * 512
        hole = len(packed[at : at + 512])
        yield packed[:at] + bytes(hole) + packed[at + hole :]


def appended(packed: bytes) -> Iterator[bytes]:
    draw = random.Random(3)
    return (packed + draw.randbytes(draw.randrange(1, 100)) for _ in range(DRAWS))


SMALL_KINDS: dict[str, Damage] = {"cut at every byte": truncations, "every bit flipped": bit_flips}
LARGE_KINDS: dict[str, Damage] = {
    "random cut": random_truncations,
    "random bit flipped": random_flips,
    "512 bytes zeroed": zeroed_sectors,
    "random bytes appended": appended,
}


def _flipped(packed: bytes, bit: int) -> bytes:
    bad = bytearray(packed)
    bad[bit // 8] ^= 1 << bit % 8
    return bytes(bad)


def count(codec: Compressor, spec: str, kind: str, data: bytes, damage: Damage, folder: Path) -> Faults:
    """Damage the file that `codec` makes of `data` in every way of `damage`; anything but a `ProxycError` is raised."""
    source, packed, bad = folder / "source", folder / f"packed{codec.suffix}", folder / f"bad{codec.suffix}"
    source.write_bytes(data)
    files.compress_file(source, packed, codec, force=True)
    outcomes = {"detected": 0, "harmless": 0, "lost": 0}
    for damaged in damage(packed.read_bytes()):
        bad.write_bytes(damaged)
        try:
            with files.opened(bad) as file:
                same = b"".join(files.decompressed(file, codec=codec, name=bad.name, max_output=2 * len(data))) == data
            outcomes["harmless" if same else "lost"] += 1
        except ProxycError:
            outcomes["detected"] += 1
    return Faults(codec.suffix, spec, kind, sum(outcomes.values()), **outcomes)


@click.command()
@output()
def main(output: Path | None) -> None:
    """Damage files made of the standard library's sources, and count."""
    text = b"".join(document.data for document in standard_library()[0])[:LARGE]
    rows: list[Faults] = []
    with tempfile.TemporaryDirectory() as folder:
        for spec in CODECS:
            codec = BPE.fit([text[:500_000]], vocab_size=1024) if spec == "bpe" else compressors.parse(spec)
            for data, kinds in ((text[:SMALL], SMALL_KINDS), (text[: SLOW.get(spec)], LARGE_KINDS)):
                for kind, damage in kinds.items():
                    rows.append(count(codec, spec, kind, data, damage, Path(folder)))
    heads = ["file", "codec", "fault", "tried", "detected", "harmless", "lost"]
    click.echo(markdown.table(heads, (list(map(str, asdict(row).values())) for row in rows), text=3))
    if output:
        facts = {"small_bytes": SMALL, "large_bytes": len(text), "large_bytes_of": SLOW}
        write_json(output, as_json("faults", [asdict(row) for row in rows], **facts))


if __name__ == "__main__":
    main()
