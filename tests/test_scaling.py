"""Loss against compute."""

import json
import math

import pytest
from click.testing import CliRunner

from bench.downstream import scaling
from compressors.errors import InputError


def _run(name, width, flops, bits):
    return {
        "name": name,
        "arm": name.partition("-")[0],
        "size": "",
        "rival": "bytes",
        "config": {"model": {"d_model": width}, "train": {"flops": flops, "seed": int(name[-1])}, "mix": {}},
        "reads": "raw",
        "totals": {"steps": 5, "flops": flops, "symbols": 10, "bytes": 20, "seconds": 3.0},
        "evaluation": {"bits_per_byte": bits, "interval_95": [bits - 1, bits + 1]},
        "document_bytes": [1],
        "document_bits": [bits],
    }


def test_an_exact_power_law_is_found_and_foretold(tmp_path):
    exact = [_run(f"ours-d{d}-s1", d, f, 30 * f**-0.1) for d, f in ((32, 1e12), (64, 1e13), (256, 1e14))]
    exact.append(_run("ours-s2", 512, 1e15, 30 * 1e15**-0.1))  # a recipe without sizes
    other = [_run(f"bytes-d{d}-s{s}", d, 10.0**d, d + s) for d in (1, 2) for s in (0, 1)]  # two budgets: no fit
    (tmp_path / "a.json").write_text(json.dumps(exact))
    (tmp_path / "b.json").write_text(json.dumps(other))
    done = CliRunner().invoke(scaling.scaling, [str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    assert done.exit_code == 0, done.output
    (row,) = done.output.splitlines()[2:]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == ["ours", cells[1], "0.100", "0.0%", f"{30 * 1e15**-0.1:.3f}", f"{30 * 1e15**-0.1:.3f}"]
    assert cells[1].startswith(f"32, 1e+12: {30 * 1e12**-0.1:.3f}, 64, ")
    skipped = str(scaling.table(exact, skip=[512]))
    assert f"| {30 * 1e14**-0.1:.3f} | {30 * 1e14**-0.1:.3f} |" in skipped


def test_of_several_widths_at_one_budget_the_best_counts(tmp_path):
    found = [
        _run(f"x-d{d}-s0", d, f, bits) for d, f, bits in ((1, 1e1, 4.0), (2, 1e2, 2.0), (1, 1e2, 3.0), (3, 1e3, 1.0))
    ]
    assert scaling.frontier(scaling.points(found)["x"]) == [(1e1, 1, 4.0), (1e2, 2, 2.0), (1e3, 3, 1.0)]
    assert scaling.frontier(scaling.points(found)["x"], skip=[2]) == [(1e1, 1, 4.0), (1e2, 1, 3.0), (1e3, 3, 1.0)]
    (tmp_path / "r.json").write_text(json.dumps(found))
    done = CliRunner().invoke(scaling.scaling, [str(tmp_path / "r.json"), "-o", str(tmp_path / "x.png")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_no_power_law_has_residuals_and_seeds_are_averaged():
    bent = [_run("x-d1-s0", 1, 1e1, 4.0), _run("x-d2-s0", 2, 1e2, 2.0), _run("x-d3-s0", 3, 1e3, 1.9)]
    bent.append(_run("x-d3-s1", 3, 1e3, 1.7))
    assert scaling.points(bent)["x"][3, 1e3] == [1.9, 1.7]
    cells = str(scaling.table(bent)).splitlines()[2].split("|")
    assert [cell.strip() for cell in cells[-3:-1]] == ["1.000", "1.800"]
    a, b = scaling.power_law([1e1, 1e2, 1e3], [4.0, 2.0, 1.8])
    expected = max(abs(a * f**-b / y - 1) for f, y in ((1e1, 4.0), (1e2, 2.0), (1e3, 1.8)))
    assert cells[-4].strip() == f"{expected:.1%}"
    assert expected > 0.05


def test_one_name_stands_for_one_kind_of_run():
    one, other = _run("x-d1-s0", 1, 1e1, 4.0), _run("x-d1-s0", 1, 1e1, 3.0)
    with pytest.raises(InputError, match="one run twice"):
        scaling.points([one, other])
    other = _run("x-d2-s0", 2, 1e1, 3.0)
    for setting, value, unset in (("hash_ngrams", 5, 0), ("partial_key_offset", True, False)):
        other["config"]["model"][setting] = value
        with pytest.raises(InputError, match="two kinds of x"):
            scaling.points([one, other])
        other["config"]["model"][setting] = unset
    other["config"]["mix"]["chunk"] = None  # the default of today; results that do not say dealt whole documents
    with pytest.raises(InputError, match="two kinds of x"):
        scaling.points([one, other])
    other["config"]["mix"]["chunk"] = 0
    assert len(scaling.points([one, other])["x"]) == 2


def test_what_a_rival_needs_for_the_same_loss(tmp_path):
    falls = ((1, 1e1, 4.0), (2, 1e2, 2.0), (3, 1e3, 1.5))  # not a power law: steeper at first
    found = [_run(f"bytes-d{d}-s0", d, f, bits) for d, f, bits in falls]
    rival = scaling.frontier(scaling.points(found)["bytes"])
    assert [scaling.needed(bits, rival) for _, _, bits in falls] == pytest.approx([1e1, 1e2, 1e3])
    assert scaling.needed(8.0, rival) == pytest.approx(1e0)  # before the first point on the line to the second
    assert scaling.needed(8**0.5, rival) == pytest.approx(10**1.5)
    assert scaling.needed(1.5 * 0.75, rival) == pytest.approx(1e4)  # beyond the last on the line from the one before
    uneven = [(1e1, 1, 4.0), (1e2, 2, 5.0), (1e3, 3, 2.0)]  # a point above the one before does not count
    assert [scaling.needed(bits, uneven) for bits in (4.0, 8**0.5, 2.0)] == pytest.approx([1e1, 1e2, 1e3])
    assert scaling.needed(1.0, [(1e1, 1, 4.0), (1e2, 2, 2.0), (1e3, 3, 2.5)]) == pytest.approx(1e3)
    assert math.isnan(scaling.needed(1.0, [(1e1, 1, 4.0), (1e2, 2, 4.0)]))
    found += [_run(f"x-d{d}-s0", d, f, bits) for d, f, bits in ((1, 1e1, 4.0), (2, 1e2, 8**0.5), (3, 1e3, 1.125))]
    path = tmp_path / "r.json"
    path.write_text(json.dumps(found))
    done = CliRunner().invoke(scaling.scaling, [str(path), "--against", "bytes"])
    assert done.exit_code == 0, done.output
    head, _, bytes_, x = done.output.splitlines()
    assert head.endswith("| bytes needs, times the FLOPs |")
    assert bytes_.endswith("| 1.00x, 1.00x, 1.00x |")
    assert x.endswith("| 1.00x, 0.32x, 10.00x |")
    assert "needs" not in str(scaling.table(found))
    flat = [_run(f"y-d{d}-s0", d, f, 4.0) for d, f, _ in falls]
    assert str(scaling.table(found + flat, against="y")).splitlines()[2].endswith("| -, -, - |")
    with pytest.raises(InputError, match="no arm z; there are: bytes, x"):
        str(scaling.table(found, against="z"))
    with pytest.raises(InputError, match="bytes has results at one budget of FLOPs"):
        str(scaling.table(found[:1], against="bytes"))


def test_too_few_budgets_are_said():
    with pytest.raises(InputError, match="three budgets"):
        str(scaling.table([_run("x-d1-s0", 1, 1e1, 4.0)]))
