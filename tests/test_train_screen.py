"""What `proxyc train` says before, during and after a run; what `inspect` says of an artifact."""

import json
import re

import pytest
from click.testing import CliRunner

from compressors.artifact import ASSETS
from compressors.cli.progress import amount, duration, progress
from proxylm.cli.main import proxyc
from proxylm.cli.train_screen import ending
from proxylm.data.encode import encode

SMALL = [
    "model.d_model=16", "model.n_layers=1", "model.n_heads=1", "train.rows=2", "train.row_length=32", "train.dtype=fp32",
]  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory, bpe, documents):
    path = tmp_path_factory.mktemp("screen") / "s"
    encode([document[:2000] for document in documents[:5]], path, {"bpe": bpe})
    return path


def train(store, run, *more):
    arguments = ["train", str(store), "-o", str(run), "--steps", "6", *more]
    return CliRunner().invoke(proxyc, [*arguments, *(part for each in SMALL for part in ("--set", each))])


def test_a_run_says_what_it_is_about_to_do_and_what_to_type_next(store, tmp_path):
    text = tmp_path / "held out.txt"
    text.write_text("def area(width, height):\n    return width * height\n" * 5)
    done = train(store, tmp_path / "run", "--held-out", str(text))
    assert done.exit_code == 0, done.output
    opening = done.stderr.splitlines()
    assert re.fullmatch(rf"{tmp_path}/run: a model of [\d,]+ parameters; recipe raw, raw bytes only", opening[0])
    assert re.fullmatch(r"  6 steps of 2 x 32 symbols, [\d.e+]+ FLOPs", opening[1])
    assert re.fullmatch(rf"  \d+ B of text, [\d.]+ passes over {store}", opening[2])
    assert re.match(
        r"  at most [\d.]+ [kMG]B of memory beside torch's own, [\d.]+ [kMG]?B of it for activations", opening[3]
    )
    assert re.fullmatch(r"a step takes [\d.e-]+ s; about \d+ s left", opening[4])  # once, after the first steps
    assert len(opening) == 5
    assert max(len(line.replace(str(tmp_path), "").replace(str(store), "")) for line in opening) <= 80
    last = done.stdout.splitlines()
    assert last[0].startswith(f"{tmp_path}/run: 6 steps in fp32")
    assert re.match(r"held-out documents: [\d.]+ bits per byte", last[1])
    assert last[2:] == [f"next: proxyc eval {tmp_path}/run '{text}'", f'      proxyc generate {tmp_path}/run "def "']
    again = train(store, tmp_path / "run", "--held-out", str(text))
    assert "  all of its steps are done already; nothing is left to train" in again.stderr


def test_quiet_says_nothing(store, tmp_path):
    done = train(store, tmp_path / "run", "--quiet")
    assert (done.exit_code, done.output) == (0, "")


def test_a_run_that_never_saw_bytes_is_read_with_its_codec(tmp_path):
    record = {"flops": 1.0, "bytes": {"raw": 5}, "dtype": "fp32", "step": 0}
    assert ending(tmp_path, [record], reads_bytes=False).splitlines()[1:] == [
        f"next: proxyc eval {tmp_path} CORPUS --codec CODEC"
    ]


def test_amounts_and_durations_are_for_people():
    assert [amount(n) for n in (5, 1500, 2.5e6, 3e9)] == ["5 B", "1.5 kB", "2.5 MB", "3.0 GB"]
    assert amount(1234, "steps") == "1,234 steps"
    assert [duration(s) for s in (7, 130, 7200)] == ["7 s", "2 min", "2.0 h"]


def test_work_that_counts_by_itself_is_resumed_where_it_was(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("compressors.cli.progress.time.monotonic", lambda: clock[0])
    with progress("a run", None, unit="steps") as told:
        told.at(40, 100)  # resumed at step 40
        clock[0] = 11.0
        told.at(50, 100, "loss 1.5")
        told.say("a word")
    assert capsys.readouterr().err == "proxyc: a run: 50%, 50 of 100 steps, 55 s left, loss 1.5\na word\n"


def test_inspect_prints_the_card_of_an_artifact():
    path = str(ASSETS / "bpe.pxa")
    lines = CliRunner().invoke(proxyc, ["inspect", path]).output.splitlines()
    facts = dict(line.split(None, 1) for line in lines if not line.endswith(":"))
    assert (facts["codec"], facts["documents"], facts["bytes"]) == ("bpe", "22,795", "263,936,090")
    assert facts["packages"] == f"{len((ASSETS / 'sources.tsv').read_text().splitlines()) - 1:,}"
    assert "MIT" in facts["licences"]
    found = json.loads(CliRunner().invoke(proxyc, ["inspect", "--json", path]).output)
    assert found["card"]["documents"] == 22795
    assert len(found["fingerprint"]) == 64
