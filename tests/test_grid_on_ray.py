"""What a grid waits for on Ray has an end: stand-ins for the cluster never finish a task."""

import subprocess
import sys

import pytest

ray = pytest.importorskip("ray")

from bench.downstream import grid_on_ray  # noqa: E402 # it imports ray


class NeverDone:
    """A cluster whose machines have `resources`."""

    def __init__(self, monkeypatch, resources):
        self.cancelled = []
        monkeypatch.setattr(ray, "wait", lambda tasks, timeout: ([], tasks))
        monkeypatch.setattr(ray, "cancel", lambda task, force=False: self.cancelled.append(force))
        monkeypatch.setattr(ray, "cluster_resources", lambda: resources)
        self.tasks = grid_on_ray._Tasks(uses_gpu=True)
        self.tasks._task = type("Task", (), {"remote": lambda *given: self.begun()})

    def begun(self):
        return "task"


@pytest.mark.parametrize("resources", [{}, {"CPU": 4.0}])
def test_a_cluster_without_a_machine_for_it_is_one_error(monkeypatch, resources):
    monkeypatch.setattr(grid_on_ray, "_WITHOUT", 0.0)
    cluster = NeverDone(monkeypatch, resources)
    wrong = cluster.tasks.run(None)
    assert wrong.startswith("no machine of the cluster has had a CPU and a GPU")
    assert cluster.cancelled == [True]


def test_a_run_that_does_not_stop_is_given_up(monkeypatch):
    monkeypatch.setattr(grid_on_ray, "_STOPS", 0.0)
    cluster = NeverDone(monkeypatch, {"CPU": 1.0, "GPU": 1.0})
    cluster.begun = lambda: cluster.tasks.stop(15, None) or "task"  # a signal, once it runs
    assert cluster.tasks.run(None).startswith("did not stop within 0 minutes; the same command resumes")
    assert cluster.cancelled == [False, True]


def test_a_task_loads_no_torch():
    code = "import sys, bench.downstream.grid_on_ray; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
