"""DOSE and OUT_OF_RANGE against cases worked by hand and against adding up everything again."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.alerts.judge.contract import NO_SIGNALS, Judge, Move, Phase, Signals, Verdict
from hanlu.alerts.judge.dose import DOSE, OUT_OF_RANGE, DoseState, total
from hanlu.alerts.judge.segment import beyond
from hanlu.alerts.rules.parameters import DoseParameters, OutOfRangeParameters

MINUTE = 60_000
HOUR = 60 * MINUTE
T0 = 20_000 * 24 * HOUR
"""A midnight, so that slots of a quarter of an hour begin with the first reading."""
BEAR = DoseParameters(setpoint=-15.0, unit="Cel", degree_minutes=100.0)


def run(
    judge: Judge, parameters: object, readings: list[tuple[float, float]], signals: Signals = NO_SIGNALS
) -> tuple[DoseState, list[Verdict]]:
    """Judge (minute, value) pairs."""
    state, found = judge.start, []
    for minute, value in readings:
        state, verdict = judge.step(state, parameters, T0 + round(minute * MINUTE), value, signals)
        if verdict is not None:
            found.append(verdict)
    return state, found


def test_trapezoid_above_the_limit_is_added_up_exactly() -> None:
    # 2 K for 10 min, then from 2 to 4 K in 5 min: 20 + 15 = 35 K min.
    state, _ = run(DOSE, BEAR, [(0, -13.0), (10, -13.0), (15, -11.0)])
    assert total(state) == pytest.approx(35.0, abs=1e-9)


def test_crossing_is_interpolated_on_both_sides() -> None:
    # Up from -1 to +3 K in 8 min: beyond for 6 min, 9 K min. Down from +3 to -1 in 4 min: 3 min, 4.5 K min.
    state, _ = run(DOSE, BEAR, [(0, -16.0), (8, -12.0), (12, -16.0)])
    assert total(state) == pytest.approx(13.5, abs=1e-9)
    state, _ = run(
        OUT_OF_RANGE,
        OutOfRangeParameters(setpoint=-15.0, unit="Cel", minutes=60.0),
        [(0, -16.0), (8, -12.0), (12, -16.0)],
    )
    assert total(state) == pytest.approx(9.0, abs=1e-9)


def test_low_side_is_the_mirror() -> None:
    parameters = DoseParameters(setpoint=2.0, unit="Cel", side="low", degree_minutes=100.0)
    state, _ = run(DOSE, parameters, [(0, 3.0), (8, -1.0), (12, 3.0)])
    assert total(state) == pytest.approx(13.5, abs=1e-9)


def test_segment_over_many_slots_is_cut_without_loss() -> None:
    # One line over five hours, from 0 to 6 K above: 6 / 2 * 300 = 900 K min.
    state, found = run(DOSE, DoseParameters(setpoint=-15.0, unit="Cel", degree_minutes=1e6), [(0, -15.0), (300, -9.0)])
    assert total(state) == pytest.approx(900.0, abs=1e-9)
    assert len(state.slots) == 20
    assert not found


def test_gap_adds_nothing() -> None:
    state, _ = run(DOSE, BEAR, [(0, -13.0), (10, -13.0)])
    after, verdict = DOSE.step(state, BEAR, T0 + 600 * MINUTE, -13.0, Signals(gap_ms=590 * MINUTE))
    assert verdict is None
    assert total(after) == pytest.approx(20.0, abs=1e-9)


def test_alarm_comes_with_the_reading_that_uses_up_the_allowance_and_tells_when_it_began() -> None:
    state, found = run(DOSE, BEAR, [(m, -15.0 if m < 5 else -13.0) for m in range(60)])
    # From -15 at 4 to -13 at 5: 1 K min; then 2 a minute: 99 at 54, 101 at 55.
    (raised,) = found
    assert (raised.move, raised.at_ms, raised.start_ms) == (Move.RAISE, T0 + 55 * MINUTE, T0 + 4 * MINUTE)
    assert raised.peak == -13.0
    assert state.raised


def test_alarm_returns_when_enough_has_slid_out_of_the_window() -> None:
    parameters = DoseParameters(setpoint=-15.0, unit="Cel", degree_minutes=100.0, window_s=9_600)  # slots of 100 s
    warm = [(float(m), -12.0) for m in range(40)]
    cold = [(float(m), -18.0) for m in range(40, 400)]
    state, found = run(DOSE, parameters, warm + cold)
    assert [each.move for each in found] == [Move.RAISE, Move.RETURN]
    # 117.75 K min in all (39 min of 3 K and half a minute of crossing); below 90 when 28 are out of the window.
    assert 160 + 8 <= (found[1].at_ms - T0) / MINUTE <= 160 + 14
    assert state == DoseState(T0 + 399 * MINUTE, -18.0)


def test_defrost_is_left_out_unless_it_is_to_be_counted() -> None:
    signals = Signals(phase=Phase("defrost", T0, False, None, T0, -20.0))
    warm = [(0.0, -13.0), (10.0, -13.0)]
    assert total(run(DOSE, BEAR, warm, signals)[0]) == 0.0
    counted = BEAR.model_copy(update={"count_defrost": True})
    assert total(run(DOSE, counted, warm, signals)[0]) == pytest.approx(20.0, abs=1e-9)


@given(st.lists(st.tuples(st.integers(1, 90), st.floats(-30, 10)), min_size=2, max_size=60), st.floats(-20, 0))
def test_sum_equals_adding_up_every_segment_that_still_counts(steps: list[tuple[int, float]], limit: float) -> None:
    parameters = DoseParameters(setpoint=limit, unit="Cel", degree_minutes=1e9, window_s=86_400)
    minute, readings = 0, []
    for step, value in steps:
        minute += step
        readings.append((float(minute), value))
    state, _ = run(DOSE, parameters, readings)
    slot = 15
    first = (minute // slot - 96) * slot  # the window's far end, minutes
    whole = 0.0
    for (m0, v0), (m1, v1) in pairwise(readings):
        if m1 > first:
            begin = max(m0, first)
            value = v0 + (v1 - v0) * (begin - m0) / (m1 - m0)
            whole += beyond(begin * MINUTE, value, m1 * MINUTE, v1, limit, upward=True).degree_minutes
    assert total(state) == pytest.approx(whole, rel=1e-9, abs=1e-7)
    assert len(state.slots) <= 97


def test_late_reading_beyond_the_limit_is_told() -> None:
    assert DOSE.late is not None
    assert DOSE.late(BEAR, -10.0)
    assert not DOSE.late(BEAR, -15.0)
