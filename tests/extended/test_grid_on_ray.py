"""A grid on two workers of a local Ray cluster, one of which is killed midway, has the results of a local grid."""

import json
import os
import subprocess
import sys
import tempfile

import pytest

from compressors.corpus import Document
from proxylm.data.encode import encode
from proxylm.training.run_log import records

pytest.importorskip("ray")

RECIPE = """
[base.train]
steps = 14
rows = 4
row_length = 64
checkpoint_every = 5
dtype = "fp32"
trackers = ["mortal"]
[base.model]
d_model = 16
n_layers = 1
n_heads = 2
[arms.one]
[arms.other]
train = { matrix_lr = 0.01 }
"""
# Goes with a run, and notes its steps; the worker that has started the first run to come to step 7 is killed.
MORTAL = """
import os, signal

class Mortal:
    def __init__(self, run):
        self.folder = run.folder
    def log(self, step, numbers):
        with open(self.folder / "done.txt", "a") as file:
            file.write(f"{step}\\n")
        if step == 7:
            try:
                with open("grave", "x") as file:
                    file.write(f"{os.getppid()} {self.folder.name}")
            except FileExistsError:
                return
            os.kill(os.getppid(), signal.SIGKILL)
    def close(self):
        pass
"""
ON_RAY = """
import os, sys, ray
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=sys.argv[1])
from proxylm.cli.main import proxyc
grid = ["bench", "downstream", "recipe.toml", "s", "held.txt", "--max-bytes", "40000"]
proxyc([*grid, "-o", "on-ray", "--engine", "ray"], standalone_mode=False)
proxyc([*grid, "-o", "local", "--jobs", "1"], standalone_mode=False)
print(os.getpid())
ray.shutdown()
"""


def test_a_lost_workers_run_resumes_elsewhere_with_the_same_result(tmp_path, install, documents):
    install(tmp_path, "mortal", "mortal_tracker", MORTAL, "mortal = mortal_tracker:Mortal", group="proxylm.trackers")
    encode([Document(str(i), d[:2000]) for i, d in enumerate(documents[:20])], tmp_path / "s", {})
    (tmp_path / "held.txt").write_bytes(documents[21][:900])
    (tmp_path / "recipe.toml").write_text(RECIPE)
    python_path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": python_path, "HOME": str(tmp_path), "RAY_USAGE_STATS_ENABLED": "0"}
    environment["RAY_worker_niceness"] = "0"  # else it takes many minutes beside other work
    with tempfile.TemporaryDirectory(prefix="ray") as temporary:  # a short name: sockets have at most 107 bytes
        done = subprocess.run(
            [sys.executable, "-c", ON_RAY, temporary],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    worker, lost = (tmp_path / "grave").read_text().split()
    assert worker != done.stdout.split()[-1]  # not the driver
    steps = [int(line) for line in (tmp_path / "on-ray" / lost / "done.txt").read_text().split()]
    assert steps.count(0) == 1  # resumed, not begun again
    assert sorted(set(steps)) == list(range(14))
    for name in ("one-s0", "other-s0"):
        there, here = (tmp_path / engine / name for engine in ("on-ray", "local"))
        assert {path.name for path in there.iterdir()} == {path.name for path in here.iterdir()}
        assert [r["loss"] for r in records(there)] == [r["loss"] for r in records(here)]
        found = [json.loads((folder / "result.json").read_text()) for folder in (there, here)]
        for key in ("name", "config", "document_bits", "held_out_sha256", "corpus", "evaluation"):
            assert found[0][key] == found[1][key], key
