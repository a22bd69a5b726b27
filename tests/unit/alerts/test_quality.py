"""What the data-quality page concludes from a gateway's figures."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from hanlu.alerts.quality import GatewayQuality, Window

NOW = datetime(2026, 6, 18, 10, 30, tzinfo=UTC)
WINDOW = Window.before(NOW)
HOUR_MS = 3_600_000

GOOD = GatewayQuality(
    code="gw-1", site="store", site_zh="冷库", site_en="Store", online=True, replay=False,
    day_heard=1469, week_heard=10_109, first_ms=WINDOW.now_ms - 30 * 24 * HOUR_MS,
    messages=1469, backlog_messages=0, stored=1469, duplicate=0, lost=0, dead=0,
    live_messages=100, late_1s=95, late_5s=98, late_30s=100, late_5min=100, late_most_s=7.0,
    gap_messages=0, gap_since_ms=None, throttled_ms=None, clock_offset_s=0.1, spool_used=0.01,
    battery=80.0, battery_device="d-1", rssi=-90.0, rssi_device="d-1",
)  # fmt: skip


def test_window_is_whole_hours_and_what_has_passed_of_this_one() -> None:
    assert WINDOW.day_from == datetime(2026, 6, 17, 10, 0, tzinfo=UTC)
    assert WINDOW.week_from == datetime(2026, 6, 11, 10, 0, tzinfo=UTC)


def test_gateway_heard_in_every_minute_has_full_uptime() -> None:
    assert GOOD.uptime_day(WINDOW) == 1.0
    assert GOOD.uptime_week(WINDOW) == 1.0
    assert GOOD.troubles == ()


def test_minutes_before_the_first_word_are_not_held_against_it() -> None:
    young = replace(GOOD, first_ms=WINDOW.now_ms - HOUR_MS, day_heard=59, week_heard=59)
    assert young.uptime_day(WINDOW) == young.uptime_week(WINDOW) == 1.0
    assert replace(young, day_heard=30).uptime_day(WINDOW) == pytest.approx(30 / 59)


def test_gateway_never_heard_has_no_uptime_and_no_lateness() -> None:
    never = replace(GOOD, first_ms=None, day_heard=0, live_messages=0, late_1s=0)
    assert never.uptime_day(WINDOW) is None
    assert never.lateness is None


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ((95, 98, 100, 100), "late_1s"),
        ((94, 95, 100, 100), "late_5s"),
        ((0, 0, 95, 100), "late_30s"),
        ((0, 0, 94, 95), "late_5min"),
        ((0, 0, 0, 94), "late_more"),
    ],
)
def test_lateness_is_the_step_that_holds_95_of_100(counts: tuple[int, ...], expected: str) -> None:
    late = dict(zip(("late_1s", "late_5s", "late_30s", "late_5min"), counts, strict=True))
    assert replace(GOOD, **late).lateness == expected


@pytest.mark.parametrize(
    ("changed", "trouble"),
    [
        ({"gap_messages": 1}, "gap"),
        ({"lost": 1}, "lost"),
        ({"dead": 1}, "dead"),
        ({"clock_offset_s": -2.1}, "clock"),
        ({"spool_used": 0.8}, "spool"),
        ({"battery": 19.9}, "battery"),
        ({"rssi": -116.0}, "radio"),
    ],
)
def test_each_trouble_is_named(changed: dict[str, float], trouble: str) -> None:
    assert replace(GOOD, **changed).troubles == (trouble,)


def test_duplicates_are_a_part_of_what_came() -> None:
    assert replace(GOOD, stored=75, duplicate=25).duplicates == 0.25
    assert replace(GOOD, stored=0, duplicate=0).duplicates == 0.0
