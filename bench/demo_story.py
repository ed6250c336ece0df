"""The words of the demo: what a view is, what it costs, what the models learnt. No figure stands here that it did not measure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import click

from compressors.base import Compressor
from compressors.cli.printing import colours, columns, paragraph
from compressors.identity import Identity
from compressors.show.cut import Cut
from compressors.show.terminal import drawn
from proxylm.evaluation.result import Result

MERGES = 256  # of the view `merges`
# Seeds of one arm were up to this far apart: bytes at d = 128, held-out once (docs/results/runs.md, Limits).
_SEEDS = 0.02
_LINE = re.compile(rb"^    (?:if|return|def|self)\b[^\n]{30,60}$", re.MULTILINE)  # of code, short enough for one line

WHAT = (
    "A view is a text as symbols. Raw bytes are one view, the tokens of a BPE another. Here is one line of the held-out text "
    f"in three: as bytes, with the first {MERGES} merges of the BPE, and with all of them. Fewer symbols are less work for a model."
)
COSTS = (
    "Every compressor here is also a view. `ratio` is how many times smaller its files are than the text. `bytes per symbol` is "
    "how much a model reads at a time. `distance` is the share of the symbols that change when a tenth of the characters is "
    "deleted: where it is near 1, two nearly equal texts have nothing in common for a model to find."
)
LEARNT = (
    "Four models of one shape are trained with equal compute, then read text that none has seen. `bytes` sees only bytes, `tokens` "
    f"only BPE tokens. `proxy` (the published recipe) sees both, and ends with bytes. `merges` begins with the first {MERGES} merges "
    "and ends with bytes. The figure is bits per byte: how many bits a model needs for each byte of the text. Lower is better."
)


def chapter(number: int, title: str) -> None:
    """Begin a part of the story."""
    click.echo(f"\n{click.style(f'{number}. {title}', bold=True)}\n", color=colours())


def say(text: str) -> None:
    """A paragraph within the width of the terminal."""
    click.echo(paragraph(text) + "\n")


def line_of(texts: Sequence[bytes]) -> bytes:
    """A line of code to be drawn, without its indent."""
    found = (_LINE.search(text) for text in texts)
    return next((match[0].strip() for match in found if match), texts[0].partition(b"\n")[0])


def views(bpe: Compressor, line: bytes, *, colour: bool | None = None, width: int | None = None) -> str:
    """The line in three views, drawn as `proxyc show` draws them. colour, width: default those of the terminal."""
    whole = Cut.of(bpe, line, "bpe")
    cuts = [Cut.of(Identity(), line, "bytes"), whole.with_merges(MERGES), whole]
    colour, width = colours() if colour is None else colour, width or columns()
    return drawn(cuts, width=width, colour=colour).rstrip("\n")


def headline(found: Mapping[str, Result]) -> str:
    """What the figures show, arm by arm against bytes; `found` has an evaluation for bytes, merges, proxy and tokens."""
    of = {name: result.bits_per_byte for name, result in found.items()}
    best = min(("bytes", "merges", "proxy"), key=of.__getitem__)
    return " ".join(
        (
            f"Of the models that read bytes, {best!r} needs the fewest bits: {of[best]:.3f} per byte.",
            _against("merges", found),
            _against("proxy", found),
            f"The model of tokens is at {of['tokens']:.3f}, an upper bound, since other tokens can spell the same bytes.",
            "Each model has one seed, and intervals are over documents: what is within 2 % could be the other way round with another.",
        )
    )


def _against(name: str, found: Mapping[str, Result]) -> str:
    """One arm beside bytes: it wins, it loses, or one seed on these documents cannot tell."""
    bits, there = found[name].bits_per_byte, found["bytes"].bits_per_byte
    low, high = (100 * end / there for end in found[name].difference(found["bytes"]))
    told = f"{bits:.3f}, {bits / there - 1:+.1%} against {there:.3f} of 'bytes' ({low:+.1f} to {high:+.1f})"
    if low <= 0 <= high or abs(bits / there - 1) < _SEEDS:
        return f"Between {name!r} and 'bytes' this run cannot tell: {told}."
    return f"{name!r} {'wins' if high < 0 else 'loses'} here: {told}."
