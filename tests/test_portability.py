"""The matrix of paths: its digests are those of this machine, too, and a row that differs or fails is shown."""

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from compressors.files import pxc
from compressors.neural import windows
from tests.extended import neural_digests, portability
from tests.extended.portability import Way

RESULTS = Path(__file__).parent.parent / "bench/results/portability.json"


def test_this_machine_gives_the_published_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *others = json.loads(RESULTS.read_text())["rows"]
    assert all(row["outcome"] == "equal" and row["digests"] for row in others)
    monkeypatch.setattr(pxc, "BLOCK_SIZE", neural_digests.PIECE)
    monkeypatch.setattr(windows, "_CHUNK", neural_digests.PIECE)
    assert neural_digests.digests(first["n_bytes"], ["threads=2"]) == first["digests"]


def printing(digest: str) -> tuple[str, ...]:
    """A Python whose codec makes `digest`."""
    found = {"facts": {"compiled_for": "x"}, "digests": {"words": digest, "dense": "7"}}
    return (sys.executable, "-c", f"print({json.dumps(found)!r})")


def test_what_differs_and_what_fails_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    failing = (sys.executable, "-c", "raise SystemExit('no such processor')")
    ways = [
        Way("first", command=printing("1")),
        Way("same", command=printing("1")),
        Way("other", command=printing("2")),
    ]
    monkeypatch.setattr(portability, "ways", lambda: [*ways, Way("failing", command=failing)])
    done = CliRunner().invoke(portability.main, ["-o", str(tmp_path / "x.json")])
    rows = json.loads((tmp_path / "x.json").read_text())["rows"]
    assert [row["outcome"] for row in rows] == ["equal", "equal", "words", "no such processor"]
    assert done.exit_code == 1
    assert "| other | x | 40,000 | 2 | words |" in done.output
