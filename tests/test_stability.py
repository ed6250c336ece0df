"""The bench of stability: its measures on views whose answers are known."""

import random
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.codecs import stability
from compressors.identity import Identity

symbols = st.lists(st.integers(0, 3), max_size=12).map(lambda values: np.array(values, np.uint8))


def slow_distance(a: np.ndarray, b: np.ndarray) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (x != y)))
    return row[-1]


@given(a=symbols, b=symbols)
def test_the_edit_distance_is_that_of_the_textbook(a: np.ndarray, b: np.ndarray) -> None:
    assert stability.edit_distance(a, b) == slow_distance(a, b)


@given(before=symbols, a=symbols, b=symbols, after=symbols)
def test_what_differs_lies_between_what_agrees(before, a, b, after) -> None:
    whole, other = np.concatenate([before, a, after]), np.concatenate([before, b, after])
    n = stability.differing(whole, other)
    assert n <= max(len(a), len(b))
    assert stability.edit_distance(whole, other) <= n
    assert (n == 0) == np.array_equal(whole, other)


def test_each_change_changes_what_it_says() -> None:
    text, draw = "def Area(x):\n    return 1\n" * 200, random.Random(0)
    assert 0.88 < len(stability.deleted(text, draw)) / len(text) < 0.92
    spaced, recased = stability.spaced(text, draw), stability.recased(text, draw)
    assert spaced != text
    assert spaced.replace(" ", "") == text.replace(" ", "")
    assert recased != text
    assert recased.lower() == text.lower()
    assert len(stability.one_deleted(text, draw)) == len(text) - 1


def test_bytes_are_the_most_stable_view() -> None:
    row = stability.measure(Identity(), ["some text of letters and blanks " * 20] * 4)
    assert row["bytes_per_symbol"] == 1
    assert row["distance"]["deletion"] == pytest.approx(0.1, abs=0.03)
    for one in row["one_edit"].values():
        assert one["symbols_changed"] == one["resynchronised_after"] == 1
    assert row["collisions"] is not None
    assert row["collisions"]["colliding"] == 0


@dataclass(frozen=True, kw_only=True)
class FirstOfFive(Identity):
    """Many-to-one: five bytes under their first."""

    name: ClassVar[str] = "first"

    def encode(self, data: bytes) -> np.ndarray:
        return super().encode(data)[::5]

    def spans(self, data: bytes) -> np.ndarray:
        return np.diff(np.append(np.arange(0, len(data), 5), len(data)))


def test_chunks_of_one_symbol_are_compared() -> None:
    document = b"abcdeabcdXxyzzy"
    found = stability.collisions(FirstOfFive(), [document], [FirstOfFive().encode(document)])
    assert found == {"chunks": 3, "colliding": 2 / 3}


def test_every_codec_that_needs_no_artifact_is_measured() -> None:
    assert set(stability.default_codecs()) >= {"bytes", "brotli", "gzip", "neural", "zstd", *stability.MORE}
