"""Which GPU each job of a grid sees. Children print what they were given."""

import sys
import threading

import pytest
import torch

from bench.downstream import engine, gpus
from bench.downstream.gpus import Gpus
from bench.downstream.worker import Job


@pytest.fixture
def child(tmp_path, monkeypatch):
    """A process that writes the GPU it sees beside its job, and ends when a file appears."""
    program = tmp_path / "child"
    program.write_text(
        f'#!/bin/sh\nread job\nname=$(echo "$job" | cut -d\\" -f4)\necho "${{CUDA_VISIBLE_DEVICES-none}}" > {tmp_path}/$name.said\n'
        f"until [ -e {tmp_path}/go ]; do sleep 0.02; done\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    return tmp_path


def seen(folder, processes, names):
    """What jobs that run at the same time are given."""
    jobs = [Job(name, str(folder / name), "", (), 1, (), "raw", {}, {}) for name in names]
    threads = [threading.Thread(target=processes.run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    said = [folder / f"{name}.said" for name in names]
    for _ in range(3000):
        if all(file.exists() and file.read_text() for file in said):
            break
        threading.Event().wait(0.01)
    (folder / "go").touch()
    for thread in threads:
        thread.join(60)
    return [file.read_text().strip() for file in said]


@pytest.mark.parametrize(
    ("visible", "expected"), [(None, {"0", "1", "2"}), ("5, 7,GPU-ab", {"5", "7", "GPU-ab"}), ("", {"0", "1", "2"})]
)
def test_each_of_the_jobs_at_a_time_has_another_gpu(child, monkeypatch, visible, expected):
    """By number, or by the name that the environment of the grid has for it."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.delenv(gpus.VARIABLE, raising=False)
    if visible is not None:
        monkeypatch.setenv(gpus.VARIABLE, visible)
    with engine.started("local", None) as (processes, jobs):
        assert jobs == 3
        assert set(seen(child, processes, ["a", "b", "c"])) == expected


def test_without_gpus_there_is_a_job_a_core_and_nothing_is_said_of_gpus(child, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.delenv(gpus.VARIABLE, raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    with engine.started("local", None) as (processes, jobs):
        assert jobs == 6
        assert seen(child, processes, ["a"]) == ["none"]
    with engine.started("local", 4) as (_, jobs):
        assert jobs == 4


def test_a_gpu_is_given_again_when_its_job_has_ended_and_shared_only_if_there_are_more_jobs():
    dealt = Gpus(["0", "1"])
    with dealt.one() as first, dealt.one() as second:
        assert first != second
        with dealt.one() as third, dealt.one() as fourth:
            assert third != fourth
    with pytest.raises(OSError, match="fails"), dealt.one():
        raise OSError("fails")
    with dealt.one() as one, dealt.one() as other:
        assert one != other
