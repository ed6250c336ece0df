"""Two workers of a local Ray cluster, one of which is killed midway, make the same files as one process."""

import json
import os
import subprocess
import sys
import tempfile

import pytest

pytest.importorskip("ray")

# Encodes as gzip does, but the first process that is given a certain document dies of it, as if it had been killed.
MORTAL = """
import os, signal
from dataclasses import dataclass
from typing import ClassVar
from compressors.gzip import Gzip

@dataclass(frozen=True, kw_only=True)
class Mortal(Gzip):
    name: ClassVar[str] = "mortal"
    grave: str = ""
    def encode(self, data):
        if b"deadly" in data and not os.path.exists(self.grave):
            with open(self.grave, "x") as file:
                file.write(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode(data)
"""
ON_RAY = """
import os, sys, ray
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=sys.argv[1])
from compressors.corpus import Reader
from proxylm.cli.main import proxyc
from proxylm.data.store import StoreError
common = ["--engine", "ray", "--shard-mb", "1", "--view", sys.argv[2], "-o", "on-ray"]
proxyc(["encode", "corpus.jsonl", *common], standalone_mode=False)
try:
    proxyc(["encode", "other.jsonl", *common], standalone_mode=False)
except StoreError as error:
    print("refused:", error)
print(os.getpid())
ray.shutdown()
"""


def test_the_same_files_though_a_worker_is_killed(tmp_path, install):
    install(tmp_path, "mortal", "mortal_codec", MORTAL, "mortal = mortal_codec:Mortal")
    texts = [f"document {i} {'deadly' if i == 700 else 'harmless'}\n" * 300 for i in range(1200)]
    for name, held in (("corpus", texts), ("other", texts[1:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in held))
    grave = tmp_path / "grave"
    python_path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": python_path, "HOME": str(tmp_path), "RAY_USAGE_STATS_ENABLED": "0"}

    def run(*command):
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    view = f"mortal:grave={grave}"
    with tempfile.TemporaryDirectory(prefix="ray") as temporary:  # a short name: sockets have at most 107 bytes
        *_, refused, driver = run("-c", ON_RAY, temporary, view)
    assert refused.startswith("refused: ")
    assert "holds other documents than the corpus gives now" in refused  # of whichever shard was looked at first
    assert int(grave.read_text()) != int(driver)  # a worker died
    run("-m", "proxylm.cli.main", "encode", "corpus.jsonl", "-o", "local", "--shard-mb", "1", "--view", view)
    made = {path.relative_to(tmp_path / "local"): path for path in (tmp_path / "local").rglob("*") if path.is_file()}
    found = {path.relative_to(tmp_path / "on-ray") for path in (tmp_path / "on-ray").rglob("*") if path.is_file()}
    assert found == set(made)
    assert len({path.parts[0] for path in made}) > 8  # shards
    for name, path in made.items():
        assert (tmp_path / "on-ray" / name).read_bytes() == path.read_bytes(), name
