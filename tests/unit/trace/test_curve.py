"""Readings as a curve: gaps named, figures of the line as drawn, extremes kept when thinned."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.trace.curve import Gap, Limits, Point, build_curve, thinned

MIN = 60_000


def _line(*values: float, start: int = 0, step: int = MIN) -> list[Point]:
    return [(start + place * step, value) for place, value in enumerate(values)]


def test_readings_nearer_than_three_periods_are_one_line() -> None:
    curve = build_curve([(0, 1.0), (180_000, 2.0)], 0, 180_000, 180, Limits())
    assert curve.segments == (((0, 1.0), (180_000, 2.0)),)
    assert curve.gaps == ()


def test_longer_silence_is_a_named_gap_also_at_both_ends() -> None:
    points = _line(4, 4, start=10 * MIN) + _line(5, 5, start=20 * MIN)
    curve = build_curve(points, 0, 40 * MIN, 180, Limits())
    assert [len(segment) for segment in curve.segments] == [2, 2]
    assert curve.gaps == (Gap(0, 10 * MIN), Gap(11 * MIN, 20 * MIN), Gap(21 * MIN, 40 * MIN))
    assert curve.figures is not None
    assert curve.figures.gap_ms == 38 * MIN
    assert curve.figures.covered_ms == 2 * MIN


def test_nothing_measured_is_one_gap_without_figures() -> None:
    curve = build_curve([], 0, 10 * MIN, 180, Limits())
    assert (curve.segments, curve.gaps, curve.figures) == ((), (Gap(0, 10 * MIN),), None)


def test_mean_is_over_time_and_not_over_readings() -> None:
    curve = build_curve([(0, 0.0), (MIN, 0.0), (MIN + 1000, 10.0), (MIN + 2000, 0.0)], 0, 2 * MIN, 180, Limits())
    assert curve.figures is not None
    assert curve.figures.mean == pytest.approx(10_000 / 62_000)


@pytest.mark.parametrize(
    ("values", "limits", "outside"),
    [
        ((2, 2), Limits(0, 3), 0),
        ((4, 4), Limits(0, 3), MIN),
        ((3, 3), Limits(0, 3), 0),
        ((2, 4), Limits(0, 3), MIN // 2),
        ((-1, 4), Limits(0, 3), 2 * MIN // 5),
        ((-1, 4), Limits(None, 3), MIN // 5),
        ((-1, 4), Limits(0, None), MIN // 5),
        ((9, 4), Limits(), 0),
    ],
)
def test_time_outside_is_that_of_the_straight_line(values: tuple[float, float], limits: Limits, outside: int) -> None:
    figures = build_curve(_line(*values), 0, MIN, 180, limits).figures
    assert figures is not None
    assert figures.outside_ms == outside


_series = st.lists(st.floats(-40, 40), min_size=1, max_size=400).map(lambda values: _line(*values))


@given(_series, st.integers(4, 100))
def test_thinned_line_keeps_ends_extremes_and_only_real_points(points: list[Point], most: int) -> None:
    (kept,) = thinned([points], most)
    assert set(kept) <= set(points)
    assert list(kept) == sorted(kept)
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    values = [value for _, value in points]
    assert min(value for _, value in kept) == min(values)
    assert max(value for _, value in kept) == max(values)
    assert len(kept) <= max(most, 4)


@given(_series, st.floats(-40, 40), st.floats(0, 40))
def test_figures_stay_within_what_was_measured(points: list[Point], low: float, width: float) -> None:
    figures = build_curve(points, 0, points[-1][0], 180, Limits(low, low + width)).figures
    assert figures is not None
    assert figures.minimum - 1e-9 <= figures.mean <= figures.maximum + 1e-9
    assert 0 <= figures.outside_ms <= figures.covered_ms
