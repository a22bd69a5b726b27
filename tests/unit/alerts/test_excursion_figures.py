"""The account of an excursion against cases computed by hand, and against what must hold for any readings."""

from __future__ import annotations

import hashlib
import itertools

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hanlu.alerts.excursion.figures import (
    ACTIVATION_RATIO,
    DAY_MS,
    Figures,
    Reading,
    account,
    digest,
    mean_kinetic,
    window,
)

MINUTE = 60_000
GAP = 10 * MINUTE
EXACT = 1e-9


def series(*points: tuple[float, float]) -> list[Reading]:
    """Return readings from (minute, value)."""
    return [Reading(round(minute * MINUTE), value) for minute, value in points]


def counted(
    readings: list[Reading], limit: float = -15.0, *, begun: float = 0, ended: float | None = None, upward: bool = True
) -> Figures:
    found = account(
        readings, limit, upward=upward, gap_ms=GAP, begun_ms=round(begun * MINUTE),
        ended_ms=None if ended is None else round(ended * MINUTE),
    )  # fmt: skip
    assert found is not None
    return found


def test_triangle_above_the_limit_is_counted_from_crossing_to_crossing() -> None:
    # -17 at 0, -13 at 8, -17 at 16 min against -15: crosses at 4 and 12 min, 8 min above, 2 K at the top: 8 K min.
    figures = counted(series((0, -17), (8, -13), (16, -17)), ended=16)
    assert (figures.from_ms, figures.to_ms) == (4 * MINUTE, 12 * MINUTE)
    assert figures.minutes == pytest.approx(8.0, abs=EXACT)
    assert figures.degree_minutes == pytest.approx(8.0, abs=EXACT)
    assert (figures.peak, figures.peak_ms, figures.readings) == (-13, 8 * MINUTE, 3)
    assert figures.mean == pytest.approx(-14.0, abs=EXACT)
    assert figures.unknown_minutes == 0


def test_irregular_steps_weigh_by_their_length() -> None:
    # 0 to 1 min: rises -15 to -11 (area 2); 1 to 7 min: level, 4 K above (24); 7 to 9 min: falls to -15 (4).
    figures = counted(series((0, -15), (1, -11), (7, -11), (9, -15)), ended=9)
    assert figures.minutes == pytest.approx(9.0, abs=EXACT)
    assert figures.degree_minutes == pytest.approx(30.0, abs=EXACT)
    assert figures.mean == pytest.approx(-15 + 30 / 9, abs=EXACT)


def test_low_side_is_the_mirror_of_the_high_side() -> None:
    low = counted(series((0, 2), (8, -2), (16, 2)), 0.0, ended=16, upward=False)
    assert low.minutes == pytest.approx(8.0, abs=EXACT)
    assert low.degree_minutes == pytest.approx(8.0, abs=EXACT)
    assert low.peak == -2


def test_dip_back_within_the_limit_adds_no_minutes_but_stays_inside() -> None:
    # Above for 2 to 4 and for 6 to 8 min; the dip between belongs to the excursion, its minutes do not.
    figures = counted(series((0, -17), (4, -13), (4.5, -15.5), (5.5, -15.5), (8, -13), (12, -17)), ended=12)
    assert figures.to_ms == 10 * MINUTE
    # -17 to -13 over 4 min: 2 min, 2 K min. -13 to -15.5 over 0.5 min: 0.4 min, 0.4. -15.5 to -13 over 2.5: 2, 2.
    # -13 to -17 over 4 min: 2, 2.
    assert figures.minutes == pytest.approx(6.4, abs=EXACT)
    assert figures.degree_minutes == pytest.approx(6.4, abs=EXACT)


def test_gap_inside_is_unknown_and_neither_good_nor_bad() -> None:
    figures = counted(series((0, -14), (5, -14), (65, -14), (70, -14), (72, -16)), ended=72)
    assert figures.unknown_minutes == pytest.approx(60.0, abs=EXACT)
    assert figures.minutes == pytest.approx(11.0, abs=EXACT)
    assert figures.degree_minutes == pytest.approx(10.5, abs=EXACT)
    # -14 with 2.5 + 2.5 + 2.5 + 2.5 + 0.5 min, -15 (the crossing, at 71 min) with 0.5 min: 21 to 1.
    assert figures.kinetic == pytest.approx(-14.04251133560205789, abs=EXACT)
    assert figures.mean == pytest.approx((-14 * 10 + -14.5 * 1) / 11, abs=EXACT)


def test_gap_before_and_after_makes_the_readings_themselves_its_ends() -> None:
    figures = counted(series((0, -18), (30, -14), (35, -14), (90, -18)), begun=30, ended=95)
    assert (figures.from_ms, figures.to_ms) == (30 * MINUTE, 35 * MINUTE)


def test_begins_where_earlier_readings_on_record_are_beyond_the_limit_too() -> None:
    figures = counted(series((0, -17), (4, -13), (8, -13), (12, -13), (16, -17)), begun=8, ended=16)
    assert figures.from_ms == 2 * MINUTE


def test_standing_one_has_no_end_and_says_until_when_it_knows() -> None:
    figures = counted(series((0, -17), (4, -13), (8, -13)))
    assert (figures.to_ms, figures.known_until_ms) == (None, 8 * MINUTE)
    assert figures.minutes == pytest.approx(6.0, abs=EXACT)


def test_limit_withdrawn_while_beyond_it_ends_there() -> None:
    figures = counted(series((0, -15), (4, -13), (8, -13), (12, -13)), ended=6)
    assert figures.to_ms == 6 * MINUTE
    assert figures.minutes == pytest.approx(6.0, abs=EXACT)


def test_alarm_without_readings_has_no_account() -> None:
    assert account([], -15, upward=True, gap_ms=GAP, begun_ms=0, ended_ms=MINUTE) is None
    assert account(series((0, -20)), -15, upward=True, gap_ms=GAP, begun_ms=0, ended_ms=MINUTE) is None
    assert account(series((5, -10)), -15, upward=True, gap_ms=GAP, begun_ms=0, ended_ms=MINUTE) is None


def test_digest_is_that_of_the_lines_it_names() -> None:
    assert digest(series((0, -14), (1, -14.1))) == hashlib.sha256(b"0 -14.0\n60000 -14.1\n").hexdigest()


def test_kinetic_temperature_of_a_constant_is_that_temperature() -> None:
    for value in (-60.0, -18.0, 0.0, 4.0, 25.0, 40.0):
        assert mean_kinetic([(value, 1.0), (value, 7.0)]) == pytest.approx(value, abs=EXACT)
        span = window(series((0, value), (3, value), (9, value)), GAP, 0, 9 * MINUTE)
        assert span.kinetic == pytest.approx(value, abs=EXACT)


def test_kinetic_temperature_of_two_halves() -> None:
    # By hand to fifty digits, dH/R = 83.144 / 0.0083144 = 10000 K: exp(-10000/293.15) = 1.53195877353364335744e-15,
    # exp(-10000/303.15) = 4.71998795703544702501e-15; 10000 / -ln of their mean, less 273.15.
    assert abs(ACTIVATION_RATIO - 10_000) < 1e-8
    assert mean_kinetic([(20.0, 5.0), (30.0, 5.0)]) == pytest.approx(26.25988691600341026, abs=EXACT)


def test_kinetic_temperature_of_irregular_steps_weighs_each_end_with_half_the_step() -> None:
    # 0 °C at 0, 10 °C at 2 min, 10 °C at 8 min: weights 1 for 0 °C, 1 + 3 + 3 for 10 °C.
    found = window(series((0, 0), (2, 10), (8, 10)), GAP, 0, 8 * MINUTE)
    assert found.kinetic == pytest.approx(9.23981668039580546, abs=EXACT)
    assert found.mean == pytest.approx((5 * 2 + 10 * 6) / 8, abs=EXACT)


def test_window_cuts_the_line_at_its_edges_and_tells_what_it_does_not_know() -> None:
    found = window(series((-5, 0), (5, 10), (35, 10), (40, 10)), GAP, 0, 60 * MINUTE)
    # 0 to 5 min rises from 5 to 10; 5 to 35 is a gap; 35 to 40 level at 10; nothing after.
    assert found.known_minutes == pytest.approx(10.0, abs=EXACT)
    assert found.unknown_minutes == pytest.approx(50.0, abs=EXACT)
    assert found.mean == pytest.approx((7.5 * 5 + 10 * 5) / 10, abs=EXACT)


def test_window_without_readings_knows_nothing() -> None:
    assert window([], GAP, 0, DAY_MS) == (None, None, 0.0, 1440.0)


def test_what_claims_to_be_below_absolute_zero_counts_as_unknown() -> None:
    found = window(series((0, -300), (5, -18), (10, -18)), GAP, 0, 10 * MINUTE)
    assert (found.known_minutes, found.unknown_minutes) == (5.0, 5.0)


TEMPERATURES = st.floats(-60, 45)
WEIGHTED = st.lists(st.tuples(TEMPERATURES, st.floats(0.01, 100)), min_size=1, max_size=20)
STEPS = st.lists(st.tuples(st.integers(1, 9), TEMPERATURES), min_size=2, max_size=30)


def walked(steps: list[tuple[int, float]], start_ms: int = 0) -> list[Reading]:
    at, made = start_ms, []
    for minutes, value in steps:
        at += minutes * MINUTE
        made.append(Reading(at, value))
    return made


@given(WEIGHTED)
def test_kinetic_temperature_is_never_below_the_mean_nor_above_the_warmest(pairs: list[tuple[float, float]]) -> None:
    kinetic = mean_kinetic(pairs)
    assert kinetic is not None
    mean = sum(value * weight for value, weight in pairs) / sum(weight for _, weight in pairs)
    assert mean - 1e-8 <= kinetic <= max(value for value, _ in pairs) + 1e-8


@given(WEIGHTED, st.randoms())
def test_kinetic_temperature_does_not_know_the_order(pairs: list[tuple[float, float]], random: object) -> None:
    shuffled = list(pairs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert mean_kinetic(shuffled) == pytest.approx(mean_kinetic(pairs), abs=EXACT)


@given(WEIGHTED, st.integers(0, 19), st.floats(0.1, 20))
def test_kinetic_temperature_rises_when_any_of_it_gets_warmer(
    pairs: list[tuple[float, float]], index: int, warmer: float
) -> None:
    index %= len(pairs)
    changed = [(v + warmer, w) if i == index else (v, w) for i, (v, w) in enumerate(pairs)]
    one, other = mean_kinetic(changed), mean_kinetic(pairs)
    assert one is not None
    assert other is not None
    assert one >= other - 1e-10


@given(STEPS, st.integers(-(10**12), 10**12))
def test_account_does_not_know_the_date(steps: list[tuple[int, float]], shift: int) -> None:
    readings = walked(steps)
    moved = [Reading(each.at_ms + shift, each.value) for each in readings]
    one = account(readings, 0.0, upward=True, gap_ms=GAP, begun_ms=0, ended_ms=None)
    other = account(moved, 0.0, upward=True, gap_ms=GAP, begun_ms=shift, ended_ms=None)
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        assert other.minutes == pytest.approx(one.minutes, abs=1e-6)
        assert other.degree_minutes == pytest.approx(one.degree_minutes, abs=1e-4)
        assert abs(other.from_ms - shift - one.from_ms) <= 1


@given(STEPS, st.integers(1, 29))
def test_windows_split_anywhere_add_up(steps: list[tuple[int, float]], where: int) -> None:
    readings = walked(steps)
    cut = readings[where % len(readings)].at_ms - MINUTE // 2
    first, last = readings[0].at_ms, readings[-1].at_ms
    assume(first < cut < last)
    whole, left, right = (window(readings, GAP, *span) for span in ((first, last), (first, cut), (cut, last)))
    assert left.known_minutes + right.known_minutes == pytest.approx(whole.known_minutes, abs=1e-6)
    assert whole.mean is not None
    parts = sum(each.mean * each.known_minutes for each in (left, right) if each.mean is not None)
    assert parts == pytest.approx(whole.mean * whole.known_minutes, abs=1e-5)


@given(STEPS)
def test_points_on_the_line_between_two_readings_change_no_area(steps: list[tuple[int, float]]) -> None:
    readings = walked(steps)
    denser = [readings[0]]
    for before, after in itertools.pairwise(readings):
        denser += [Reading((before.at_ms + after.at_ms) // 2, (before.value + after.value) / 2), after]
    one = account(readings, 0.0, upward=True, gap_ms=GAP, begun_ms=0, ended_ms=None)
    other = account(denser, 0.0, upward=True, gap_ms=GAP, begun_ms=0, ended_ms=None)
    assume(one is not None and other is not None)
    assert one is not None
    assert other is not None
    assume(abs(one.from_ms - other.from_ms) <= 1)
    assert other.minutes == pytest.approx(one.minutes, abs=1e-6)
    assert other.degree_minutes == pytest.approx(one.degree_minutes, abs=1e-6)
