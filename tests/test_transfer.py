"""Stability of views beside the loss of bytes."""

import json
from itertools import permutations

import pytest
from click.testing import CliRunner

from bench.downstream import transfer
from compressors.errors import InputError


def test_rank_correlation_is_that_of_the_ranks():
    assert transfer.rank_correlation([1, 2, 3, 4], [10, 20, 400, 500]) == pytest.approx(1)
    assert transfer.rank_correlation([1, 2, 3, 4], [9, 7, 5, -3]) == pytest.approx(-1)
    # 1 - 6 sum d^2 / n (n^2 - 1), of ranks without ties
    for order in permutations(range(5)):
        slow = 1 - 6 * sum((i - rank) ** 2 for i, rank in enumerate(order)) / (5 * 24)
        assert transfer.rank_correlation(range(5), order) == pytest.approx(slow)
    assert transfer.rank_correlation([1, 1, 2], [1, 1, 2]) == pytest.approx(1)
    assert transfer.rank_correlation([1, 1, 1], [1, 2, 3]) == 0


def test_chance_counts_the_orders_that_reach_it():
    assert transfer.by_chance([1, 2, 3, 4], [1, 2, 3, 4]) == pytest.approx(2 / 24)
    assert transfer.by_chance([1, 2, 3], [3, 2, 1]) == pytest.approx(2 / 6)
    assert transfer.by_chance([1, 2, 3], [5, 5, 5]) == 1
    assert transfer.by_chance(range(9), range(9)) < 0.001


def _run(view, bits, **mix):
    config = {
        "mix": {"recipe": "proxy", "phases": [], "view": view} | mix,
        "train": {"flops": 1e9, "seed": 0},
        "model": {"d_model": 8},
    }
    return {
        "name": view,
        "arm": view,
        "rival": "g",
        "size": "",
        "config": config,
        "reads": "raw",
        "totals": {"steps": 5, "flops": 1e9, "symbols": 10, "bytes": 20, "seconds": 3.0},
        "evaluation": {"bits_per_byte": bits, "interval_95": [bits - 1, bits + 1]},
        "document_bytes": [1],
        "document_bits": [bits],
    }


def test_views_of_the_recipe_are_set_side_by_side(tmp_path, documents):
    found = [_run("g", 3.0), _run("z", 2.5), _run("b", 1.5), _run("b", 2.5), _run("other", 1.0)]  # two seeds of b
    found += [_run("b", 9.0, recipe="raw"), _run("b", 9.0, phases=[{"until": 1.0}])]
    found += [
        _run("b", 9.0, **{name: value})
        for name, value in (("composed", True), ("shared_bytes", True), ("sentinels", False))
    ]
    (tmp_path / "results.json").write_text(json.dumps(found))
    (tmp_path / "held.py").write_bytes(documents[0])
    arguments = [str(tmp_path / "results.json"), str(tmp_path / "held.py"), "-o", str(tmp_path / "out.json")]
    views = ["--codec", "g@gzip", "--codec", "z@zstd:level=19", "--codec", "b@bytes"]
    with pytest.warns(UserWarning, match="b, g, z do not say what made their views"):  # runs of before it was kept
        done = CliRunner().invoke(transfer.transfer, [*arguments, *views])
    assert done.exit_code == 0, done.output
    facts = json.loads((tmp_path / "out.json").read_text())
    rows = {row["view"]: row for row in facts["rows"]}
    assert {view: row["bits_per_byte"] for view, row in rows.items()} == {"g": 3.0, "z": 2.5, "b": 2.0}
    assert {view: row["runs"] for view, row in rows.items()} == {"g": ["g"], "z": ["z"], "b": ["b", "b"]}
    assert 0.05 < rows["b"]["distance"] < 0.2 < rows["g"]["distance"]
    assert rows["b"]["bytes_per_symbol"] == 1
    assert done.output.startswith(transfer.table(facts))
    assert done.output.splitlines()[2].startswith("| b | 1.00 | 256 |")
    few = CliRunner().invoke(transfer.transfer, [*arguments, *views[:4]])
    assert isinstance(few.exception, InputError)
    assert "2 views of g, z have runs of recipe 'proxy'" in str(few.exception)
    found.append(_run("b", 1.0) | {"views": {"b": "0" * 64}})
    (tmp_path / "results.json").write_text(json.dumps(found))
    other = CliRunner().invoke(transfer.transfer, [*arguments, *views])
    assert "view b of b was made by 000000000000, not by" in str(other.exception)
    found[-1] = _run("b", 1.0) | {"size": "d2"}
    (tmp_path / "results.json").write_text(json.dumps(found))
    other = CliRunner().invoke(transfer.transfer, [*arguments, *views])
    assert "several sizes or budgets" in str(other.exception)
