"""Signals that end a run: noted once, heeded twice, still ignored where they were ignored."""

import signal
from collections.abc import Iterator

import pytest

from proxylm.training.signals import signals_received


def interrupted(times: int) -> Iterator[list[int]]:
    """What has been noted, at first and after each signal."""
    with signals_received() as told:
        yield list(told)
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
            yield list(told)


def test_the_first_signal_is_noted_and_given_back_at_the_end():
    seen = interrupted(1)
    assert [next(seen), next(seen)] == [[], [signal.SIGINT]]
    with pytest.raises(KeyboardInterrupt):
        next(seen)
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_second_ctrl_c_does_not_wait():
    seen = interrupted(2)
    assert [next(seen), next(seen)] == [[], [signal.SIGINT]]
    with pytest.raises(KeyboardInterrupt):
        next(seen)


def test_what_is_ignored_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with signals_received() as told:
            signal.raise_signal(signal.SIGINT)
            assert not told
            assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
