"""The process of a run: it can be waited for, stopped and killed."""

import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TimedOut

import pytest

from bench.downstream.worker import Job, Processes
from compressors.file_lock import lock


def test_a_grid_that_waits_for_another_can_be_stopped(tmp_path):
    (tmp_path / "run").mkdir()
    processes = Processes()
    job = Job("run", str(tmp_path / "run"), "", (), 1, (), "raw", {}, {})
    with open(tmp_path / "run/run.err", "a") as other, ThreadPoolExecutor(1) as pool:
        assert lock(other)
        waiting = pool.submit(processes.run, job)
        with pytest.raises(TimedOut):
            waiting.result(timeout=0.3)
        processes.stop(signal.SIGTERM, None)
        assert waiting.result(timeout=30) == "not begun"
    under_nohup = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with processes.stopped_by_signals():
        assert {signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)} == {
            processes.stop
        }
    signal.signal(signal.SIGHUP, under_nohup)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL  # given back
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup has it
    try:
        with processes.stopped_by_signals():
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_run_that_the_system_kills_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", tmp_path / "killed")
    (tmp_path / "killed").write_text("#!/bin/sh\necho some warning >&2\nkill -9 $$\n")
    (tmp_path / "killed").chmod(0o755)
    job = Job("run", str(tmp_path / "run"), "", (), 1, (), "raw", {}, {})
    assert Processes().run(job) == "ended by signal 9"
