import hashlib
import json
import signal
import subprocess
import sys
import time

import forked
import pytest
from click.testing import CliRunner

from bench.downstream import grid, recipe, results, scaling
from bench.downstream.arms import scored
from compressors.corpus import Document
from compressors.errors import FingerprintMismatch, InputError, InvalidConfig
from compressors.file_lock import lock
from proxylm.config import RunConfig
from proxylm.config_files import from_mapping, load
from proxylm.data.encode import encode
from proxylm.training import checkpoint

RECIPE = """
seeds = [0, 1]
[base.train]
flops = 2e9
rows = 4
row_length = 64
[base.model]
d_model = 32
n_layers = 1
n_heads = 2
[sizes.small]
[sizes.wide.model]
d_model = 64
[arms.bytes]
mix = { recipe = "raw" }
sweep = { "train.matrix_lr" = [0.01, 0.02] }
[arms.tokens]
reads = "bpe"
mix = { recipe = "comp", view = "bpe" }
train = { steps = 3 }
"""


@pytest.fixture(autouse=True)
def forked_runs(monkeypatch):
    monkeypatch.setattr(sys, "executable", forked.python())


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


def test_arms_times_sizes_times_seeds_with_settings_from_the_nearest(written):
    arms = {arm.name: arm for arm in recipe.load(written)}
    assert list(arms)[:3] == ["bytes,matrix_lr=0.01-small-s0", "bytes,matrix_lr=0.02-small-s0", "tokens-small-s0"]
    assert len(arms) == 12
    chosen = arms["bytes,matrix_lr=0.02-wide-s1"].config
    assert (chosen.train.matrix_lr, chosen.train.seed, chosen.model.d_model, chosen.model.n_layers) == (0.02, 1, 64, 1)
    assert (arms["tokens-small-s0"].config.train.steps, arms["tokens-small-s0"].config.train.flops) == (3, None)
    assert arms["tokens-small-s0"].reads == "bpe"


def test_a_sweep_over_budgets_gives_sizes_and_compares_equal_ones(tmp_path):
    """Arms keep their names, so that `scaling` finds three budgets of each, and a rival has the FLOPs of the run."""
    path = tmp_path / "recipe.toml"
    swept = '[arms.{0}]\nmix = {{ recipe = "raw" }}\nsweep = {{ "train.flops" = [1e9, 2e9, 4e9] }}\n'
    path.write_text("[base.model]\nd_model = 32\n" + swept.format("bytes") + swept.format("ours"))
    arms = recipe.load(path)
    assert [arm.name for arm in arms[:2]] == ["bytes-flops=1e+09-s0", "bytes-flops=2e+09-s0"]
    assert {arm.arm for arm in arms} == {"bytes", "ours"}
    found = []
    for arm in arms:
        bits = 30 * arm.config.train.flops**-0.1 * (0.5 if arm.arm == "ours" else 1)
        found.append(
            {"name": arm.name, "arm": arm.arm, "size": arm.size, "rival": arm.first, "equal": arm.equal, "reads": "raw"}
            | {"config": json.loads(arm.config.to_json()), "document_bytes": [1], "document_bits": [bits]}
            | {"evaluation": {"bits_per_byte": bits, "interval_95": [bits, bits]}}
            | {"totals": {"steps": 1, "flops": 1, "symbols": 1, "bytes": 1, "seconds": 1}}
        )
    assert [row["by_seed"] for row in results.arms(found)] == [[]] * 3 + [[-0.5]] * 3
    assert str(scaling.table(found, against="bytes")).count("| 0.100 |") == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[base.model]", "[base.modle]"), "modle"),
        (("reads", "read"), "no setting read"),
        (("seeds", "seed"), "no section seed"),
        (("[sizes.small]", "[sizes]\nsmall = 3\n[sizes.other]"), "table of tables"),
        (("d_model = 32", "d_modle = 32"), "d_modle"),
        (("seeds = [0, 1]", "seeds = 3"), "seeds is 3; expected a list of whole numbers"),
        (("[0.01, 0.02]", "0.1"), "arm bytes: sweep is .*; expected a table of lists"),
        (('mix = { recipe = "raw" }', "mix = 3"), "arm bytes.*: mix is 3; expected a table"),
    ],
)
def test_what_a_recipe_does_not_know_is_named(written, change, message):
    written.write_text(RECIPE.replace(*change))
    with pytest.raises(InvalidConfig, match=message):
        recipe.load(written)


def test_a_grid_is_run_goes_on_and_is_planned(written, tmp_path, bpe, documents):
    bpe.save(tmp_path / "bpe.pxa")
    store = encode([Document(str(i), d[:2000]) for i, d in enumerate(documents[:20])], tmp_path / "s", {"bpe": bpe})
    held_out = tmp_path / "held.py"
    held_out.write_bytes(documents[21][:900])
    arguments = [str(written), str(store.path), str(held_out), "-o", str(tmp_path / "runs"), "--max-bytes", "40000"]
    arguments += ["--codec", f"bpe@bpe={tmp_path / 'bpe.pxa'}", "--only", "*-small-s0"]
    planned = CliRunner().invoke(grid.downstream, [*arguments, "--plan"])
    assert planned.output.count(" parameters;") == 3
    settings = load(tmp_path / "runs/tokens-small-s0.json")  # for torchrun and `proxyc train --config`
    (tokens,) = (arm for arm in recipe.load(written) if arm.name == "tokens-small-s0")
    assert from_mapping(RunConfig, settings) == tokens.config
    assert not list((tmp_path / "runs").glob("*/"))
    done = CliRunner().invoke(grid.downstream, arguments)
    assert done.exit_code == 0, done.output
    found = {r["name"]: r for r in results.collect(tmp_path / "runs")}
    assert len(found) == 3
    assert {(r["arm"], r["size"], r["equal"]) for r in found.values()} == {
        *((f"bytes,matrix_lr={rate}", "small", "flops") for rate in (0.01, 0.02)),
        ("tokens", "small", "flops"),
    }
    assert found["tokens-small-s0"]["curves"]["symbols"][-1][0] == found["tokens-small-s0"]["totals"]["symbols"]
    tokens = found["tokens-small-s0"]
    assert tokens["reads"] == "bpe"
    assert tokens["totals"]["steps"] == 3
    assert tokens["document_bytes"] == [900]
    assert tokens["held_out_sha256"] == hashlib.sha256(documents[21][:900]).hexdigest()
    assert tokens["views"] == {"bpe": bpe.fingerprint}
    assert found["bytes,matrix_lr=0.01-small-s0"]["views"] == {}
    assert {r["corpus"] for r in found.values()} == {store.fingerprint_of()}
    assert sum(tokens["document_bits"]) / 900 == pytest.approx(tokens["evaluation"]["bits_per_byte"])
    file = tmp_path / "runs/tokens-small-s0" / results.RESULT
    tokens["config"]["train"].pop("keep")  # a setting that did not exist when it was made
    file.write_text(
        json.dumps(tokens | {"document_bits": [9000.0], "evaluation": {"bits_per_byte": 10.0, "interval_95": [9, 11]}})
    )
    again = CliRunner().invoke(grid.downstream, arguments)
    none = CliRunner().invoke(grid.downstream, [*arguments, "--only", "small-s0"])  # a whole name, not a part of one
    assert "small-s0 names no run; there are: bytes" in str(none.exception)
    assert "| 10.0000 |" in again.output  # read, not made again
    other = [*arguments[:2], str(written), *arguments[3:]]  # other documents
    assert "finished run with another held_out_sha256 (" in str(CliRunner().invoke(grid.downstream, other).exception)
    text = written.read_text()
    written.write_text(text.replace("steps = 3", "steps = 4"))
    assert "finished run with another train.steps (3, now 4);" in str(
        CliRunner().invoke(grid.downstream, arguments).exception
    )
    written.write_text(text)
    arguments[arguments.index("--max-bytes") + 1] = "4000"  # a document may have 100
    small = CliRunner().invoke(grid.downstream, [*arguments, "-o", str(tmp_path / "none")])
    assert "has 1 to 100 bytes" in str(small.exception)
    assert not (tmp_path / "none").exists()


def test_what_could_not_run_is_said_before_anything_runs(written, tmp_path, bpe, documents):
    bpe.save(tmp_path / "bpe.pxa")
    store = encode([Document(str(i), d[:2000]) for i, d in enumerate(documents[:5])], tmp_path / "s", {"bpe": bpe})
    held_out = tmp_path / "held.py"
    held_out.write_bytes(documents[21][:900])
    arguments = [str(written), str(store.path), str(held_out), "-o", str(tmp_path / "runs"), "--plan"]
    given = ["--codec", f"bpe@bpe={tmp_path / 'bpe.pxa'}"]
    assert CliRunner().invoke(grid.downstream, arguments + given).exit_code == 0
    none = CliRunner().invoke(grid.downstream, arguments)
    assert "arm tokens-small-s0 is read as bpe; say what made that view with --codec bpe@CODEC" in str(none.exception)
    wrong = CliRunner().invoke(grid.downstream, [*arguments, "--codec", "bpe@zstd"])
    assert isinstance(wrong.exception, FingerprintMismatch)
    for before, after in (('reads = "bpe"', 'reads = "bqe"'), ('view = "bpe"', 'view = "bqe"')):
        written.write_text(RECIPE.replace(before, after))
        assert "has no view 'bqe'" in str(CliRunner().invoke(grid.downstream, arguments + given).exception)
    jobs = CliRunner().invoke(grid.downstream, [*arguments, "--jobs", "0"])
    assert "0 is not in the range x>=1" in jobs.output


def test_a_recipe_that_is_edited_while_its_runs_go_on_changes_none_of_them(written, tmp_path, documents, monkeypatch):
    store = encode([Document(str(i), d[:2000]) for i, d in enumerate(documents[:20])], tmp_path / "s", {})
    held_out = tmp_path / "held.py"
    held_out.write_bytes(documents[21][:900])
    written.write_text(RECIPE.replace("flops = 2e9", "steps = 2"))
    read = recipe.load

    def read_once(path):
        found = read(path)
        path.write_text("seeds = 0")
        return found

    monkeypatch.setattr(recipe, "load", read_once)
    arguments = [str(written), str(store.path), str(held_out), "-o", str(tmp_path / "runs"), "--only"]
    done = CliRunner().invoke(grid.downstream, [*arguments, "bytes,matrix_lr=0.02-wide-s0"])
    assert done.exit_code == 0, done.output
    (made,) = results.collect(tmp_path / "runs")
    assert (made["config"]["train"]["matrix_lr"], made["config"]["model"]["d_model"]) == (0.02, 64)


def test_a_run_that_fails_says_why_in_a_line(written, tmp_path, documents):
    store = encode([Document(str(i), d[:2000]) for i, d in enumerate(documents[:20])], tmp_path / "s", {})
    held_out = tmp_path / "held.py"
    held_out.write_bytes(documents[21][:900])
    arguments = [str(written), str(store.path), str(held_out), "-o", str(tmp_path / "runs")]
    only = ["--only", "bytes,matrix_lr=0.01-small-s0"]
    written.write_text(RECIPE.replace("flops = 2e9", "flops = 10"))
    failed = CliRunner().invoke(grid.downstream, [*arguments, *only])
    assert failed.exit_code == 1
    assert "1 of 1 runs failed\nbytes,matrix_lr=0.01-small-s0: " in failed.output
    assert "Traceback" not in (tmp_path / "runs/bytes,matrix_lr=0.01-small-s0/run.err").read_text()
    assert "|" not in failed.output  # no table of nothing


def test_bad_and_empty_documents_are_told_apart(tmp_path):
    file = tmp_path / "held.jsonl"
    file.write_text('{"text": "abc"}\nnone\n{"text": 5}\n')
    said = []
    with pytest.warns(UserWarning, match="2 bad records skipped; the first: .*held.jsonl:2"):
        assert [d.data for d in scored((file,), 400, said.append)] == [b"abc"]
    assert said == [
        "scored: 1 of 1 documents, 3 of 3 bytes: the first of at most 10 bytes each that fit into --max-bytes 400"
    ]
    file.write_text('{"text": ""}\n')
    with pytest.raises(InputError, match="are empty"):
        scored((file,), 400)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_grid_that_ends_takes_its_runs_with_it_and_each_leaves_a_checkpoint(written, tmp_path, documents, number):
    store = encode([Document(str(i), d) for i, d in enumerate(documents)], tmp_path / "s", {})
    held_out, runs = tmp_path / "held.py", tmp_path / "runs"
    held_out.write_bytes(documents[0][:900])
    arguments = [written, store.path, held_out, "-o", runs, "--max-bytes", "40000", "--jobs", "2"]
    command = [forked.python(), "-m", "proxylm.cli.main", "bench", "downstream", *map(str, arguments)]
    command += ["--only", "bytes,matrix_lr=0.01-*-s0"]
    written.write_text(RECIPE.replace("flops = 2e9", "steps = 1000000"))
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        folders = [runs / f"bytes,matrix_lr=0.01-{size}-s0" for size in ("small", "wide")]
        deadline = time.monotonic() + 60
        while not all((folder / "log.jsonl").exists() and (folder / "log.jsonl").stat().st_size for folder in folders):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)  # until the runs, which write there too, have ended
    if number == signal.SIGINT:
        assert process.returncode == 1
        assert b"stopped; the same command resumes" in said
    for folder in folders:
        with open(folder / "run.err") as held:  # its lock is free once no process is left
            while not lock(held) and time.monotonic() < deadline:
                assert number == signal.SIGKILL  # after a signal that can be caught, a grid waits for its runs
                time.sleep(0.05)
            assert lock(held)
        assert checkpoint.latest(folder) is not None
