"""Runs compared document by document, seed by seed, size by size."""

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

from bench.downstream import results
from bench.downstream.arms import package
from bench.report import tables
from compressors.corpus import Reader
from compressors.errors import InputError


def _result(name, seed, bits, n_bytes=(100, 50), equal="flops"):
    evaluation = {"bits_per_byte": sum(bits) / sum(n_bytes), "interval_95": [0, 9]}
    totals = {"steps": 5, "flops": 2e9, "symbols": 10, "bytes": 20, "seconds": 3.0}
    config = {"train": {"seed": seed}, "model": {"d_model": 8}}
    sizes = {"document_bytes": list(n_bytes), "document_bits": bits}
    return {
        "name": f"{name}-s{seed}",
        "arm": name.partition("-")[0],
        "size": name.partition("-")[2],
        "rival": "bytes",
        "equal": equal,
        "reads": "raw",
        "evaluation": evaluation,
        "totals": totals,
        "config": config,
        **sizes,
    }


def test_arms_are_compared_over_the_seeds_they_share():
    found = [_result("bytes", 0, [200, 100]), _result("bytes", 1, [220, 110]), _result("ours", 1, [110, 55])]
    found.append(_result("ours", 7, [1, 1]))  # a seed that the first arm has not
    lines = str(tables.arms(found)).splitlines()[2:]
    assert lines[0].startswith("| bytes | 2 | 2.1000 (2.000-2.200) | - | - |")
    assert lines[1].startswith("| ours | 2 | 0.5567 (0.013-1.100) | -50.0% (one seed) | -50.0% | 2e+09 | 10 | 20 |")


def test_each_size_has_a_rival_of_its_own():
    wide = [_result("bytes-wide", 0, [100, 50]), _result("ours-wide", 0, [110, 55])]
    found = [_result("bytes", 0, [200, 100]), *wide, _result("ours", 0, [100, 50])]
    against = [line.split(" | ")[3].split(" ")[0] for line in str(tables.runs(found)).splitlines()[2:]]
    assert against == ["-", "-", "+10.0%", "-50.0%"]
    against = [line.split(" | ")[3].split(" ")[0] for line in str(tables.arms(found)).splitlines()[2:]]
    assert against == ["-", "-", "+10.0%", "-50.0%"]


def test_tables_may_be_set_against_any_arm_and_tell_hours(tmp_path):
    found = [_result("bytes", 0, [200, 100]), _result("ngrams", 0, [100, 50]), _result("ours", 0, [110, 55])]
    (tmp_path / "r.json").write_text(json.dumps(found))
    done = CliRunner().invoke(tables.main, [str(tmp_path / "r.json"), "--against", "ngrams"])
    assert done.exit_code == 0, done.output
    assert (
        done.output
        == f"{tables.runs(found, 'ngrams')}\n\n{tables.arms(found, 'ngrams')}\n\n{tables.scored(found)}\n\ntrained for 9 s in all\n"
    )
    found[0]["totals"] = found[0]["totals"] | {"seconds": 3600.0}
    (tmp_path / "r.json").write_text(json.dumps(found[:1]))
    twice = CliRunner().invoke(tables.main, [str(tmp_path / "r.json")] * 2)
    assert twice.output.endswith("trained for 60 min in all\n")  # one run, though scored twice
    for table in (tables.runs, tables.arms):
        against = [line.split(" | ")[3].split(" ")[0] for line in str(table(found, "ngrams")).splitlines()[2:]]
        assert against == ["+100.0%", "-", "+10.0%"]


def test_an_interval_is_shown_where_there_are_documents_to_draw():
    one = [_result(name, 0, [bits], [100]) for name, bits in (("bytes", 200), ("ours", 110))]
    assert "| ours-s0 | raw | 1.1000 | -45.0% |" in str(tables.runs(one))
    two = [_result("bytes", 0, [200, 100]), _result("ours", 0, [110, 50])]
    assert re.search(r"ours-s0 \| raw \| 1.0667 \(.*-.*\) \| -46.7% \(-50.0 to -45.0\)", str(tables.runs(two)))


def test_what_was_scored_is_said_and_that_texts_differ():
    older = _result("bytes", 0, [200, 100])
    found = [older, older | {"held_out_sha256": "a" * 64}]
    assert tables.scored(found) == f"Scored on 2 documents, 150 bytes (SHA-256 {'a' * 16})."
    assert tables.scored(found[:1]) == "Scored on 2 documents, 150 bytes (SHA-256 unknown)."
    for other in (older | {"document_bytes": [100, 51]}, older | {"held_out_sha256": "b" * 64}):
        assert "not to be compared: 2 documents, 150 bytes (SHA-256 aaaaaaaaaaaaaaaa); 2 doc" in tables.scored(
            [*found, other]
        )


def test_a_run_is_set_against_the_rival_with_its_seed():
    found = [_result("bytes", 0, [200, 100]), _result("bytes", 1, [100, 50]), _result("ours", 1, [110, 55])]
    found.append(_result("ours", 2, [1, 1]))
    against = [line.split(" | ")[3].split(" ")[0] for line in str(tables.runs(found)).splitlines()[2:]]
    assert against == ["-", "-", "+10.0%", "-"]


def test_a_rival_that_is_not_there_leaves_a_dash():
    found = [_result("ours", 0, [200, 100]), _result("other", 0, [100, 50])]
    for table in (tables.runs, tables.arms):
        assert [line.split(" | ")[3] for line in str(table(found)).splitlines()[2:]] == ["-", "-"]


def test_the_interval_is_that_of_a_bootstrap_over_documents():
    """Against resampling written out, document by document, with the bits of all seeds."""
    draw = np.random.RandomState(5)
    sizes = draw.randint(50, 500, 30)
    sides = [
        [_result(name, s, (sizes * draw.uniform(1, 2, 30)).tolist(), sizes.tolist()) for s in range(3)] for name in "ab"
    ]
    ours, theirs = ([r["document_bits"] for r in side] for side in sides)
    ratios = []
    for _ in range(4000):
        documents = draw.randint(0, 30, 30)
        there = [sum(bits[d] for bits in side for d in documents) for side in (ours, theirs)]
        ratios.append(there[0] / there[1] - 1)
    found, low, high, over_seeds = results.difference(*sides)
    assert over_seeds[0] < found < over_seeds[1]
    assert found == pytest.approx(np.sum(ours) / np.sum(theirs) - 1)
    assert (low, high) == pytest.approx(np.percentile(ratios, [2.5, 97.5]), abs=0.02 * (high - low) + 0.005)
    one = results.difference(sides[0][:1], sides[1][:1])
    assert one[1] < one[0] < one[2]
    assert results.difference(sides[0], sides[0]) is None
    assert results.difference(sides[0], [r | {"document_bytes": [1]} for r in sides[1]]) is None


def test_an_arm_that_is_not_there_is_named(tmp_path):
    (tmp_path / "r.json").write_text(json.dumps([_result("bytes,rate=1", 0, [200, 100])]))
    done = CliRunner().invoke(tables.main, [str(tmp_path / "r.json"), "--against", "bytes"])
    assert "no arm bytes; there are: bytes,rate=1" in str(done.exception)


def test_budgets_stand_side_by_side():
    found = [_result("bytes", 0, [200, 100]), _result("ours", 0, [100, 50])]
    assert not tables.budgets(found).rows
    found.append(_result("ours,equal=bytes", 0, [300, 150], equal="bytes"))
    lines = str(tables.budgets(found)).splitlines()
    assert lines[2:] == ["| ours | 1.0000, -50.0% (one seed) | - | 3.0000, +50.0% (one seed) | - |"]


def test_a_results_file_has_a_line_for_each_run(tmp_path):
    found = [_result("bytes", 0, [200, 100]), _result("ours", 0, [100, 50])]
    results.write(tmp_path / "r.json", found)
    assert len((tmp_path / "r.json").read_text().splitlines()) == 4
    assert results.read(tmp_path / "r.json") == found


_DAMAGED = [
    json.dumps([_result("bytes", 0, [200, 100]) | wrong])
    for wrong in ({"document_bits": "x"}, {"document_bytes": []}, {"totals": {}}, {"config": None})
]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no JSON"),
        ("{}", "no runs"),
        ("[]", "no finished run"),
        ("[3]", "name is missing"),
        ('[{"x": 1}]', "name is missing, or no text; if `proxyc bench downstream` wrote it, delete it"),
        (_DAMAGED[0], "document_bits is missing, or no list of numbers"),
        (_DAMAGED[1], "document_bytes is missing"),
        (_DAMAGED[2], "totals.steps is missing, or no number"),
        (_DAMAGED[3], "config.train.seed is missing"),
    ],
)
def test_what_is_no_result_is_said(tmp_path, text, message):
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(InputError, match=message):
        results.read(tmp_path / "r.json")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / results.RESULT).write_text(text[1:-1] if text.startswith("[{") else text)
    with pytest.raises(InputError, match=r"run/result.json (is no JSON|holds no runs)"):
        results.collect(tmp_path)


def test_a_folder_with_nothing_but_copied_results_says_so(tmp_path):
    with pytest.raises(InputError, match="no finished run; make some"):
        results.read(tmp_path)
    (tmp_path / "results.json").write_text("[]")
    with pytest.raises(InputError, match=r"no finished run; give .*/results\.json itself"):
        results.read(tmp_path)


def test_the_interval_over_seeds_is_students_t_of_the_pairs():
    """Against a textbook: differences -0.024, -0.020, -0.006 have the mean -0.01667, sd 0.00945, t(2) = 4.303."""
    bytes_alone = [_result("bytes", s, [200, 100]) for s in range(3)]
    ours = [_result("ours", s, [200 * (1 + d), 100 * (1 + d)]) for s, d in enumerate((-0.024, -0.020, -0.006))]
    low, high = results.difference(ours, bytes_alone).seeds
    assert (low, high) == pytest.approx((-0.01667 - 0.02348, -0.01667 + 0.02348), abs=2e-5)
    assert results.difference(ours[:1], bytes_alone[:1]).seeds is None
    assert results.seed_interval([0.0, 1.0] * 8)[1] - 0.5 == pytest.approx(2.131 * 0.5164 / 4, abs=1e-3)  # df 15
    assert "| -1.7% (-4.0 to +0.7) |" in str(tables.arms([*bytes_alone, *ours]))
    assert "| -2.4% (one seed) |" in str(tables.arms([*bytes_alone, ours[0]]))


def test_results_name_a_package_and_no_path(tmp_path):
    (tmp_path / "texts/json").mkdir(parents=True)
    (tmp_path / "texts/json/a.py").write_text("x = 1")
    (tmp_path / "lines.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    paths = [tmp_path / "texts", tmp_path / "lines.jsonl"]
    found = [package(document, paths) for document in Reader(paths, pattern="*.py")]
    assert found[0] == "json"
    assert len(set(found)) == 3
    assert "/" not in "".join(found)


def test_documents_of_a_package_are_drawn_together():
    """Twenty documents of two packages that differ: the interval is that of two draws, not of twenty."""
    bytes_alone = _result("bytes", 0, [100.0] * 20, [50] * 20)
    ours = _result("ours", 0, [90.0] * 10 + [110.0] * 10, [50] * 20)
    alone = results.difference([ours], [bytes_alone])
    packages = {"document_packages": ["a"] * 10 + ["b"] * 10}
    together = results.difference([ours | packages], [bytes_alone | packages])
    assert together.ratio == alone.ratio == 0
    assert (together.low, together.high) == pytest.approx((-0.1, 0.1))
    assert -0.06 < alone.low < alone.high < 0.06


def test_only_equal_budgets_are_compared():
    found = [_result("bytes", 0, [200, 100]), _result("ours", 0, [100, 50]), _result("same", 0, [100, 50])]
    for r, flops in zip(found, (1e9, 2e9, 1e9), strict=True):
        r["config"]["train"]["flops"] = flops
    assert results.against_rival(found[1], found) is None
    assert results.against_rival(found[2], found).ratio == -0.5
    found[1] |= {"equal": "bytes"}  # a budget that is not a number of FLOPs
    assert results.against_rival(found[1], found).ratio == -0.5


def test_seconds_are_shown_for_runs_of_one_known_processor():
    found = [_result("bytes", 0, [200, 100]), _result("ours", 0, [100, 50])]
    assert "seconds" not in str(tables.arms(found))
    one = [r | {"processor": "a (family 25, model 1; avx2)"} for r in found]
    assert str(tables.arms(one)).splitlines()[0].endswith("| seconds |")
    assert str(tables.arms(one)).splitlines()[2].endswith("| 3 |")
    assert "seconds" not in str(tables.arms([one[0], one[1] | {"processor": "b"}]))
