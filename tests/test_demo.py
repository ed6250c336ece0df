"""What the demo compares, without its trainings."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from bench import demo, demo_story
from compressors.identity import Identity
from proxylm.evaluation.result import Result


@dataclass(frozen=True, kw_only=True)
class OneWay(Identity):
    name: ClassVar[str] = "one-way"
    lossless: ClassVar[bool] = False


def test_what_was_fitted_on_the_corpus_is_not_compared(bpe, capsys):
    compared = demo._codecs(bpe)
    assert {"brotli", "bytes", "gzip", "zstd", "zstd:level=19"} <= set(compared)
    assert compared["bpe"] is bpe
    assert not {codec.name for codec in compared.values()} & set(demo.HAVE_SEEN_IT)
    assert "left out: neural, entropy-windows" in capsys.readouterr().err


def test_a_one_way_codec_has_a_row_for_its_symbols_only():
    files, symbols = demo._codec_tables(
        {"ours": Identity(), "guest": OneWay()}, [b"a text that repeats itself " * 20] * 3
    )
    assert [row[0] for row in files.rows] == ["ours"]
    assert [row[0] for row in symbols.rows] == ["ours", "guest"]
    assert "peak MB" not in {*files.heads, *symbols.heads}  # memory is not measured in this process


def outcome(bits, noise=0.0):
    """An evaluation with `bits` per byte on 40 documents; noise: by how much they differ from each other."""
    n_bytes = np.full(40, 1000)
    spread = noise * np.random.default_rng(0).normal(size=40)
    return Result(n_bytes, 1000 * (bits + spread - spread.mean()), np.zeros(40), 40_000)


@pytest.mark.parametrize(
    ("merges", "noise", "best", "said"),
    [
        (1.8, 0.001, "merges", "'merges' wins here: 1.800, -10.0% against 2.000 of 'bytes' (-10.0 to -10.0)."),
        (2.2, 0.001, "bytes", "'merges' loses here: 2.200, +10.0% against 2.000"),
        (1.98, 0.001, "merges", "Between 'merges' and 'bytes' this run cannot tell: 1.980, -1.0%"),  # seeds differ more
        (2.06, 2.0, "bytes", "Between 'merges' and 'bytes' this run cannot tell: 2.060, +3.0%"),  # documents do
    ],
)
def test_the_headline_states_what_its_numbers_show(merges, noise, best, said):
    found = {"bytes": outcome(2.0), "merges": outcome(merges, noise), "proxy": outcome(2.5), "tokens": outcome(2.1)}
    text = demo_story.headline(found)
    assert text.startswith(
        f"Of the models that read bytes, {best!r} needs the fewest bits: {min(merges, 2.0):.3f} per byte."
    )
    assert said in text
    assert "'proxy' loses here: 2.500, +25.0%" in text
    assert "one seed" in text


def test_a_line_is_drawn_in_three_views(bpe):
    line = demo_story.line_of([b"x = 1\n    return self.compute(value, other_value, more)\n"])
    assert line == b"return self.compute(value, other_value, more)"
    drawn = demo_story.views(bpe, line, colour=False, width=60)
    assert [part.split()[0] for part in drawn.split("\n\n")] == ["bytes", "bpe:merges=256", "bpe"]
    assert max(map(len, drawn.splitlines())) <= 60
