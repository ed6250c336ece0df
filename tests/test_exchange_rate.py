"""The arithmetic of exchange rates, on losses whose rate is known."""

import pytest

from bench.downstream.results import seed_interval
from bench.exchange import run_log
from bench.exchange.pool import pooled
from bench.exchange.rate import Curve, Measured, exchange, rivals, row
from bench.exchange.schedules import SCHEDULES, stretches
from bench.exchange.table import table
from compressors.errors import InputError, InvalidConfig

R, A, B = 3e6, 9.0, 0.12
SIZES, DIFFICULTY = [1000, 2000, 500, 1500], [0.9, 1.1, 1.2, 0.95]  # of documents
FLOPS, SECONDS = 1e6, 1e-5  # of a raw byte


def loss(raw):
    return A * raw**-B


def run(bits_per_byte, raw, shown=0.0, *, seed=1, per_position=3.2, cost=1.5, noise=(0, 0, 0, 0)):
    """A run whose view has `per_position` bytes at a position of `cost` raw ones."""
    bits = [n * d * (1 + x) for n, d, x in zip(SIZES, DIFFICULTY, noise, strict=True)]
    scale = bits_per_byte * sum(SIZES) / sum(n * d for n, d in zip(SIZES, DIFFICULTY, strict=True))
    spent = raw + shown / per_position * cost
    result = {"document_bytes": SIZES, "document_bits": [scale * b for b in bits]}
    return Measured(seed, raw, shown, shown / per_position, FLOPS * spent, SECONDS * spent, "one", result)


def calibration(seed=1, factor=1.0):
    return [run(factor * loss(m * R), m * R, seed=seed) for m in (1, 2, 4)]


@pytest.mark.parametrize("e", [-0.1, 0.0, 0.34, 1.0, 2.5])
@pytest.mark.parametrize("ratio", [0.5, 3.0])
def test_a_known_rate_is_found_and_says_what_pays(e, ratio):
    shown = ratio * R
    found = row([run(loss(R + e * shown), R, shown)], {1: calibration()}, "d32")
    assert found["e"] == pytest.approx(e, abs=1e-9)
    assert found["d_eff"] == pytest.approx(R + e * shown)
    assert found["exponent"] == pytest.approx(B)
    assert found["bytes_per_position"] == pytest.approx(3.2)
    assert found["flops_per_position"] == pytest.approx(1.5)
    assert found["throughput"] == pytest.approx(3.2 / 1.5)
    assert found["pays_flops"] == pytest.approx(e * 3.2 / 1.5, abs=1e-9)
    assert found["pays"] is (e * 3.2 / 1.5 > 1)
    assert found["pays_bytes"] == pytest.approx(e, abs=1e-9)
    assert found["pays_seconds"] == pytest.approx(e * 3.2 / 1.5, abs=1e-9)
    rival = {"flops": R + shown / 3.2 * 1.5, "bytes": R + shown, "seconds": R + shown / 3.2 * 1.5}
    for budget, raw in rival.items():
        assert found[f"gain_{budget}"] == pytest.approx((R + e * shown) ** -B / raw**-B - 1)


def test_a_view_breaks_even_where_the_rate_is_its_cost():
    found = row([run(loss(R + 1.5 / 3.2 * R), R, R)], {1: calibration()}, "d32")
    assert found["pays_flops"] == pytest.approx(1)
    assert found["gain_flops"] == pytest.approx(0, abs=1e-9)


def test_what_is_as_good_as_bytes_only_at_r_has_no_rate_where_the_curve_bends():
    """A power law through the three runs would miss the first one."""
    curve = Curve([R, 2 * R, 4 * R], [1.9, 1.7, 1.6])
    assert exchange(run(1.9, R, R), curve) == pytest.approx(0, abs=1e-9)
    assert curve.raw(1.7) == pytest.approx(2 * R)
    for raw in (R / 2, R, 1.3 * R, 3 * R, 8 * R):
        assert curve.raw(curve.loss(raw)) == pytest.approx(raw)
    assert curve.loss(8 * R) == pytest.approx(1.6 * 1.6 / 1.7)  # the last line is extended


def test_a_rate_beyond_the_longest_run_says_by_how_much():
    far = row([run(loss(6 * R), R, R)], {1: calibration()}, "d32")
    assert far["extrapolated"] == pytest.approx(1.5)
    assert row([run(loss(2 * R), R, R)], {1: calibration()}, "d32")["extrapolated"] == 1


def test_seeds_are_paired_and_give_the_interval():
    """Each seed has its bytes only: a seed that is worse in both arms changes nothing."""
    rates, factors = {1: 0.8, 2: 1.0, 3: 1.2}, {1: 1.0, 2: 1.05, 3: 0.93}
    arms = [run(factors[s] * loss(R + e * R), R, R, seed=s) for s, e in rates.items()]
    found = row(arms, {s: calibration(s, factors[s]) for s in rates}, "d32")
    assert found["by_seed"] == pytest.approx(list(rates.values()))
    assert (found["e"], found["interval"], found["seeds"]) == (pytest.approx(1.0), "seeds", [1, 2, 3])
    assert (found["e_low"], found["e_high"]) == pytest.approx(seed_interval([0.8, 1.0, 1.2]))


def pair(seeds, rates, **facts):
    """A row of `bench exchange`, of seeds of which bytes only are all alike."""
    arms = [run(loss(R + e * R), R, R, seed=seed) for seed, e in zip(seeds, rates, strict=True)]
    known = {
        "view": "v",
        "arm": "a",
        "size": "d32",
        "width": 32,
        "schedule": "first",
        "ratio": 1.0,
        "fingerprint": "one",
    }
    signals = {"distance": 0.4, "gradient": 0.5, "hidden": None, "dip": [0.2, 0.1]}
    return known | row(arms, {seed: calibration(seed) for seed in seeds}, "d32") | signals | facts


def test_seeds_of_two_places_give_one_row():
    """As if all had been run in one: e, its interval and what pays; early signals over those that have them."""
    joined, other = pooled([
        pair([1, 2], [0.8, 1.0]), pair([3], [1.2], fingerprint="two", gradient=0.2, hidden=0.7, dip=[0.5, 0.1], pays_seconds=None),
        pair([3], [1.2], view="w"),
    ])  # fmt: skip
    whole = pair([1, 2, 3], [0.8, 1.0, 1.2])
    for key in ("seeds", "by_seed", "pays", "interval", "view"):
        assert joined[key] == whole[key], key
    for key in ("e", "e_low", "e_high", "loss", "d_eff", "pays_flops", "gain_bytes", "bytes_per_position"):
        assert joined[key] == pytest.approx(whole[key]), key
    assert (joined["fingerprint"], joined["hidden"], joined["pays_seconds"]) == (None, 0.7, None)
    assert (joined["gradient"], joined["dip"]) == (pytest.approx(0.4), pytest.approx([0.3, 0.1]))
    assert other == pair([3], [1.2], view="w")


def test_a_seed_that_was_run_twice_is_not_counted_twice():
    assert [one["seeds"] for one in pooled([pair([1, 2], [0.8, 1.0]), pair([2], [0.9])])] == [[1, 2], [2]]


def test_one_seed_has_an_interval_over_documents():
    noisy = run(loss(R + 0.5 * R), R, R, noise=(0.01, -0.01, 0.02, -0.02))
    found = row([noisy], {1: calibration()}, "d32")
    assert found["interval"] == "documents"
    assert found["e_low"] < found["e"] < found["e_high"] < found["e_low"] + 1
    same = row([run(loss(R + 0.5 * R), R, R)], {1: calibration()}, "d32")  # equal in all documents: nothing to draw
    assert same["e_high"] - same["e_low"] < 1e-9
    noisy.result["document_packages"] = ["one"] * 4  # documents of a package are drawn together
    assert row([noisy], {1: calibration()}, "d32")["interval"] == "none"


def test_seconds_of_two_processors_are_not_compared():
    arm = run(loss(1.5 * R), R, R)
    other = Measured(
        *(getattr(arm, name) for name in ("seed", "raw", "shown", "symbols", "flops", "seconds")), "two", arm.result
    )
    assert rivals(other, calibration())["seconds"] is None
    found = row([other], {1: calibration()}, "d32") | {
        "view": "bpe", "schedule": "first", "width": 32, "ratio": 1.0, "dip": [0.1, None, None], "gradient": 0.07, "hidden": None,
    }  # fmt: skip
    assert (found["pays_seconds"], found["gain_seconds"]) == (None, None)
    cells = str(table([found])).splitlines()[2].split(" | ")
    assert cells[4:9] == [
        "3.00",
        f"0.50 ({found['e_low']:.2f} to {found['e_high']:.2f})",
        "documents, 1 seed",
        "3.20",
        "1.50",
    ]
    assert cells[9:12] == ["1.07", "0.50", "-"]
    assert cells[15:] == ["+10.0%, -, -", "0.07", "- |"]


def test_what_cannot_be_calibrated_is_said():
    with pytest.raises(InputError, match=r"d32, seed 1: no calibration: 1 runs .* expected two or more"):
        row([run(2.0, R, R)], {1: calibration()[:1]}, "d32")
    with pytest.raises(
        InputError, match=r"2,000 bytes give 2.1000 .* expected less loss from more bytes: .* larger --raw"
    ):
        Curve([1000, 2000, 4000], [2.0, 2.1, 1.9])


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("ratio", [0.5, 1.0, 3.0])
def test_a_schedule_shows_r_raw_and_c_in_the_view(schedule, ratio):
    parts = stretches(schedule, ratio)
    assert sum(part.n_bytes * part.rate for part in parts) == pytest.approx(ratio)
    assert sum(part.n_bytes * (1 - part.rate) for part in parts) == pytest.approx(1)


def test_schedules_that_cannot_be_are_refused():
    with pytest.raises(InvalidConfig, match=r"90% and then 10% cannot give a ratio C / R of 10; .* less than 9"):
        stretches("overlap", 10.0)
    with pytest.raises(InvalidConfig, match="unknown schedule 'last'; known: constant, first, overlap"):
        stretches("last", 1.0)
    with pytest.raises(InvalidConfig, match="ratio is 0; expected C / R above 0"):
        stretches("first", 0.0)


def step(flops, raw=None, comp=0.0, seconds=1.0):
    return {"flops": flops, "raw_bits_per_symbol": raw, "bytes": {"raw": 0.0, "comp": comp}, "seconds": seconds}


def test_a_dip_is_set_against_bytes_only_at_the_same_flops():
    rival = [step(1.0, 8 - 0.01 * i) for i in range(400)]
    log = [step(2.0, None, 9.0) for _ in range(40)]  # 80 FLOPs: as much as 80 steps of the rival
    log += [step(1.0, 1.2 * (8 - 0.01 * (80 + i))) for i in range(60)]
    assert run_log.dip(log, rival, 40) == [pytest.approx(0.2), pytest.approx(0.2), None]
    assert run_log.dip(log, rival[:85], 40) == [None, None, None]  # the rival did not go so far


def test_seconds_leave_out_what_disturbed_a_run():
    log = [step(1, 2.0, 9.0, s) for s in (30.0, 1.0, 1.0)] + [step(1, 2.0, 0.0, s) for s in (2.0, 2.0, 50.0)]
    assert run_log.seconds(log) == 3 * 1.0 + 3 * 2.0
