"""Cuts at random: the control that shows what a compressor's cuts are worth."""

import numpy as np
import pytest

import compressors
from compressors import InvalidConfig, testing
from compressors.random_cuts import RandomCuts

TEXT = bytes(range(97, 123)) * 4000


def test_it_keeps_the_laws_of_a_one_way_view() -> None:
    testing.check(RandomCuts())
    testing.check(compressors.parse("random-cuts:length=1.95,width=16"))


@pytest.mark.parametrize("length", [1.95, 3.2, 8])
def test_pieces_have_the_mean_length_that_was_asked_for(length: float) -> None:
    spans = RandomCuts(length=length).spans(TEXT)
    assert spans.mean() == pytest.approx(length, rel=0.02)
    assert spans.std() == pytest.approx((length * (length - 1)) ** 0.5, rel=0.03)  # of a geometric distribution
    assert RandomCuts(length=1).spans(b"abc").tolist() == [1, 1, 1]


def test_cuts_do_not_depend_on_what_is_cut() -> None:
    """The same word is cut in other places each time: nothing is left of a compressor's choice."""
    ends = np.cumsum(RandomCuts().spans(TEXT))
    counts = np.bincount(ends % 26, minlength=26)
    assert counts.std() / counts.mean() < 0.05
    other = np.cumsum(RandomCuts().spans(TEXT[:-1] + b"!"))  # of another document, at the same places
    assert np.isin(other, ends).mean() == pytest.approx(1 / 3.2, abs=0.02)


def test_a_symbol_is_a_hash_of_its_piece() -> None:
    codec = RandomCuts()
    symbols, ends = codec.encode(TEXT), np.cumsum(codec.spans(TEXT))
    of_pieces: dict[bytes, set[int]] = {}
    for symbol, begin, end in zip(symbols.tolist(), ends - codec.spans(TEXT), ends, strict=True):
        of_pieces.setdefault(TEXT[begin:end], set()).add(symbol)
    assert all(len(found) == 1 for found in of_pieces.values())
    assert len(set().union(*of_pieces.values())) > 0.8 * min(len(of_pieces), 4096)


@pytest.mark.parametrize("config", [{"length": 0.5}, {"length": "3"}, {"length": True}, {"width": 17}])
def test_settings_are_checked(config: dict[str, object]) -> None:
    with pytest.raises(InvalidConfig, match=r"random-cuts: .*expected"):
        compressors.get("random-cuts", **config)
