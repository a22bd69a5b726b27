"""The alarm load's figures against what one gets by looking at every instant."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanlu.alerts.shift.charts import bars
from hanlu.alerts.shift.kpi import (
    FLOOD_WINDOW_MS,
    HOUR_MS,
    MINUTE_MS,
    Call,
    Flood,
    Period,
    chattering,
    fleeting,
    floods,
    load,
    percentile,
    steps,
)
from hanlu.alerts.shift.period import PERIODS, period_until

INSTANTS = st.lists(st.integers(0, 60), max_size=40).map(sorted)


def call(at_ms: int, point: str = "1/high", **more: int | None) -> Call:
    return Call(at_ms, at_ms, more.pop("priority", None) or 3, point, at_ms, **more)  # type: ignore[arg-type]


def within(called: list[int], at: int, window: int) -> int:
    return sum(at - window < each <= at for each in called)


@given(INSTANTS, st.integers(1, 12))
def test_steps_say_what_every_instant_says(called: list[int], window: int) -> None:
    found = list(steps(called, window))
    assert [at for at, _ in found] == sorted({at for at, _ in found})
    told = dict(found)
    count = 0
    for at in range(-1, 80):
        count = told.get(at, count)
        assert count == within(called, at, window)


@given(INSTANTS, st.integers(1, 12), st.integers(1, 3), st.integers(1, 6), st.integers(1, 6))
def test_floods_are_those_found_by_looking_at_every_instant(
    called: list[int], window: int, operators: int, begins: int, less: int
) -> None:
    ends = min(begins, less)
    expected: list[Flood] = []
    since = None
    for at in range(90):
        calls = within(called, at, window)
        if since is None and calls > begins * operators:
            since = at
        elif since is not None and calls < ends * operators:
            expected.append(Flood(since, at))
            since = None
    assert floods(called, operators, window_ms=window, begins=begins, ends=ends) == expected


@given(INSTANTS, st.integers(0, 40), st.integers(1, 40))
def test_time_in_flood_is_what_counting_minutes_gives(called: list[int], start: int, length: int) -> None:
    # Calls at whole minutes, so that floods begin and end at whole minutes: counting minutes is exact.
    period = Period(start * MINUTE_MS, (start + length) * MINUTE_MS)
    found = load([call(each * MINUTE_MS) for each in called], period)
    known = [each for each in called if each < start + length]
    flooded, on = 0, False
    for minute in range(start + length):
        calls = within(known, minute, 10)
        on = calls >= 5 if on else calls > 10
        flooded += on and minute >= start
    assert found.flood_share == pytest.approx(flooded / length)


@given(INSTANTS, st.integers(1, 20))
def test_peaks_are_the_most_of_any_window(called: list[int], length: int) -> None:
    found = load([call(each * MINUTE_MS) for each in called], Period(0, 61 * MINUTE_MS))
    assert found.peak_ten.calls == max((within(called, at, 10) for at in range(61)), default=0)
    assert found.peak_hour.calls == max((within(called, at, 60) for at in range(61)), default=0)
    assert sum(found.buckets(length * MINUTE_MS)) == len(called)


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from("ab")), max_size=30).map(sorted))
def test_chattering_points_are_those_with_three_calls_in_a_window(events: list[tuple[int, str]]) -> None:
    expected = {}
    for point in "ab":
        times = [at for at, of in events if of == point]
        most = max((within(times, at, 5) for at in range(31)), default=0)
        if most >= 3:
            expected[point] = most
    assert chattering([call(at, point) for at, point in events], window_ms=5) == expected


@given(st.lists(st.integers(0, 1000), min_size=1), st.sampled_from([0.5, 0.95, 1.0]))
def test_percentile_is_reached_by_that_part_and_by_no_smaller_value(values: list[int], part: float) -> None:
    found = percentile(values, part)
    assert found in values
    assert sum(each <= found for each in values) >= part * len(values)
    assert sum(each < found for each in values) < part * len(values)


def test_percentile_of_nothing_is_nothing() -> None:
    assert percentile([], 0.5) is None


def test_flood_begins_with_the_eleventh_call_and_ends_when_fewer_than_five_are_left() -> None:
    called = [minute * 30_000 for minute in range(11)]
    assert floods(called[:10]) == []
    # The seventh of eleven grows ten minutes old at 6 * 30 s + 10 min; then four are left.
    assert floods(called) == [Flood(300_000, 180_000 + FLOOD_WINDOW_MS)]


def test_two_operators_share_a_flood() -> None:
    called = list(range(0, 11_000, 1000))
    assert floods(called, operators=2) == []
    assert len(floods(sorted(called * 2), operators=2)) == 1


def test_flood_that_began_before_the_period_counts_from_its_beginning() -> None:
    period = Period(10 * MINUTE_MS, 20 * MINUTE_MS)
    found = load([call(9 * MINUTE_MS + number) for number in range(11)], period)
    assert found.calls == ()
    assert found.flood_share == pytest.approx(9 / 10, abs=1e-3)


def test_flood_at_the_end_of_the_period_goes_on() -> None:
    found = load([call(MINUTE_MS + number) for number in range(11)], Period(0, 5 * MINUTE_MS))
    assert found.floods == (Flood(MINUTE_MS + 10, None),)
    assert len(found.in_floods) == 11


@given(INSTANTS)
def test_calls_of_floods_are_those_within_one_or_the_ten_minutes_before_it(called: list[int]) -> None:
    found = load([call(each * MINUTE_MS) for each in called], Period(0, 90 * MINUTE_MS))
    expected = [
        each
        for each in found.calls
        if any(begin - FLOOD_WINDOW_MS < each.called_ms <= (end or 90 * MINUTE_MS) for begin, end in found.floods)
    ]
    assert list(found.in_floods) == expected


def test_rates_are_for_one_operator() -> None:
    found = load([call(minute * MINUTE_MS) for minute in range(60)], Period(0, HOUR_MS), operators=3)
    assert found.rate(HOUR_MS) == pytest.approx(20)
    assert found.rate(10 * MINUTE_MS) == pytest.approx(10 / 3)


def test_alarm_gone_within_a_minute_is_fleeting_and_one_that_stands_is_not() -> None:
    calls = [call(0, returned_ms=59_999), call(1, returned_ms=60_001 + 1), call(2)]
    assert fleeting(calls) == calls[:1]


def test_late_are_those_answered_after_their_time_and_those_nobody_answered() -> None:
    calls = [
        call(0, respond_ms=100, acknowledged_ms=100),
        call(1, respond_ms=100, acknowledged_ms=101),
        call(2, respond_ms=100),
        call(3, respond_ms=100, returned_ms=50),
        call(4, respond_ms=5000),
        call(5),
    ]
    found = load(calls, Period(0, 1000))
    assert [each.called_ms for each in found.late(now_ms=1000)] == [1, 2]


def test_top_ten_and_split_add_up() -> None:
    calls = [call(number, f"{number % 12}/high", priority=1 + number % 3) for number in range(120)]
    found = load(calls, Period(0, 1000))
    assert len(found.top) == 10
    assert found.top_share == pytest.approx(100 / 120)
    assert sum(found.priority_share(each) or 0 for each in (1, 2, 3)) == pytest.approx(1)
    assert load([], Period(0, 1000)).top_share is None


def test_periods_begin_at_midnight_in_china() -> None:
    now = 1_767_196_800_000 + 5 * HOUR_MS  # 2026-01-01 05:00 in China
    assert period_until("today", now) == (1_767_196_800_000, now)
    assert period_until("7d", now).from_ms == 1_767_196_800_000 - 6 * 24 * HOUR_MS
    assert period_until("today", 1_767_196_800_000).to_ms > 1_767_196_800_000
    assert all(a < b for a, b in pairwise(PERIODS.values()))


def test_target_of_the_chart_is_named_above_the_bars_where_none_can_cover_it() -> None:
    period = Period(0, 4 * HOUR_MS)
    told = load([call(each * MINUTE_MS) for each in range(200, 240)], period)
    drawn = bars(told, HOUR_MS, 6.0, title="calls", target="target")
    baseline = re.search(r'y="(\d+)">target 6<', drawn)
    tops = [float(each) for each in re.findall(r'class="load-bar[^"]*" x="[^"]+" y="([\d.]+)"', drawn)]
    assert baseline is not None
    assert tops
    assert float(baseline[1]) < min(tops)
