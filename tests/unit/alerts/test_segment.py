"""The arithmetic of one segment, against hand-computed cases and its own laws."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.alerts.judge.segment import NOTHING, beyond, value_at

VALUES = st.floats(-60, 60)
MINUTE = 60_000


def test_segment_above_the_limit_is_a_trapezoid() -> None:
    # 2 K and 4 K above for 10 min: (2 + 4) / 2 * 10 = 30 K min.
    assert beyond(0, -13.0, 10 * MINUTE, -11.0, -15.0, upward=True) == (10.0, 30.0, 0, 10 * MINUTE)


def test_segment_that_crosses_upward_counts_from_the_crossing() -> None:
    # From 1 K below to 3 K above in 20 min: crosses after 5 min; 15 min with 1.5 K on average are 22.5 K min.
    assert beyond(0, -16.0, 20 * MINUTE, -12.0, -15.0, upward=True) == (15.0, 22.5, 5 * MINUTE, 20 * MINUTE)


def test_segment_that_crosses_back_counts_up_to_the_crossing() -> None:
    assert beyond(0, -12.0, 20 * MINUTE, -16.0, -15.0, upward=True) == (15.0, 22.5, 0, 15 * MINUTE)


def test_segment_below_a_low_limit_is_the_mirror() -> None:
    assert beyond(0, 3.0, 20 * MINUTE, -1.0, 2.0, upward=False) == (15.0, 22.5, 5 * MINUTE, 20 * MINUTE)


@pytest.mark.parametrize("values", [(-16.0, -15.0), (-15.0, -15.0), (-20.0, -15.5)])
def test_segment_that_only_touches_the_limit_is_nothing(values: tuple[float, float]) -> None:
    assert beyond(0, values[0], MINUTE, values[1], -15.0, upward=True) == NOTHING


@given(VALUES, VALUES, VALUES, st.integers(1, 10_000), st.floats(0, 1), st.booleans())
def test_segment_cut_anywhere_adds_up_to_the_whole(
    one: float, other: float, limit: float, minutes: int, share: float, upward: bool
) -> None:
    end = minutes * MINUTE
    cut = share * end
    between = value_at(cut, 0, one, end, other)
    whole = beyond(0, one, end, other, limit, upward=upward)
    left = beyond(0, one, cut, between, limit, upward=upward)
    right = beyond(cut, between, end, other, limit, upward=upward)
    assert left.degree_minutes + right.degree_minutes == pytest.approx(whole.degree_minutes, rel=1e-9, abs=1e-6)


@given(VALUES, VALUES, VALUES, st.integers(1, 10_000))
def test_segment_mirrored_at_the_limit_is_the_same_on_the_other_side(
    one: float, other: float, limit: float, minutes: int
) -> None:
    end = minutes * MINUTE
    up = beyond(0, one, end, other, limit, upward=True)
    down = beyond(0, -one, end, -other, -limit, upward=False)
    assert up == down
