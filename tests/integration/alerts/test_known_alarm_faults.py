"""Alarms that others raise, miss or mix up, told with the situations their users reported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from fix_alerts import CHILL, DEFROST, DOOR, FROZEN, HUMIDITY, Cell, County

from hanlu.alerts.config import EngineConfig
from hanlu.alerts.engine import Engine
from hanlu.alerts.operate import acknowledge
from hanlu.core.clock import ManualClock, SystemClock, from_ms
from hanlu.db.pool import connect

pytestmark = pytest.mark.postgres

MINUTE = 60_000
START = 1_750_000_000_000


@contextmanager
def engine(county: County, clock: ManualClock | None = None) -> Iterator[Engine]:
    with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
        yield Engine(EngineConfig(page_arrivals=50), connection, clock or ManualClock())


def judge_all(county: County) -> None:
    with engine(county) as running:
        while running.turn():
            pass


def minutes(values: Sequence[float], first: int = 0) -> list[list[Cell]]:
    return [[(FROZEN, START + (first + step) * MINUTE, value)] for step, value in enumerate(values)]


def alarms(county: County) -> list[tuple[object, ...]]:
    return county.query("SELECT kind, exceeded_at, raised_at, returned_at FROM alerts.alarm ORDER BY alarm_id")


def at(minute: int) -> object:
    return from_ms(START + minute * MINUTE)


def test_hole_in_the_readings_of_a_defrosting_room_raises_nothing_inside_it(county: County) -> None:
    """Readings stop in the middle of a defrost and come again 85 minutes later, warm for a moment; on-delay 30."""
    county.arrive_all([[cell, (DEFROST, cell[1], 1.0)] for (cell,) in minutes([-12.0] * 20)])
    judge_all(county)
    county.arrive_all([[cell, (DEFROST, cell[1], 0.0)] for (cell,) in minutes([-12.0] * 3 + [-18.0] * 60, first=105)])
    judge_all(county)
    assert alarms(county) == []


def test_room_still_warm_after_a_hole_is_alarmed_by_what_was_measured_after_it(county: County) -> None:
    county.arrive_all(minutes([-12.0] * 20) + minutes([-12.0] * 40, first=105))
    judge_all(county)
    assert alarms(county) == [("high", at(105), at(135), None)]


def test_one_channel_that_goes_stale_is_alarmed_while_its_device_speaks_on(county: County) -> None:
    clock = ManualClock(SystemClock().now_ms())
    with engine(county, clock) as running:
        county.arrive([(CHILL, clock.now_ms(), 4.0), (HUMIDITY, clock.now_ms(), 90.0), (DOOR, clock.now_ms(), 0.0)])
        running.turn()
        for _ in range(6):
            clock.advance(60)
            county.arrive([(HUMIDITY, clock.now_ms(), 90.0), (DOOR, clock.now_ms(), 0.0)])
            while running.turn():
                pass
        running.turn()
    assert county.query("SELECT channel_id, kind, process_state FROM alerts.alarm") == [
        (CHILL, "no_data", "UNACKNOWLEDGED")
    ]


def test_second_excursion_is_an_alarm_of_its_own_and_the_first_stays_what_it_was(county: County) -> None:
    county.arrive_all(minutes([-10.0] * 40 + [-18.0] * 5))
    judge_all(county)
    (first,) = county.query("SELECT * FROM alerts.alarm")
    county.arrive_all(minutes([-18.0] * 5 + [-5.0] * 40, first=45))
    judge_all(county)
    found = county.query("SELECT * FROM alerts.alarm ORDER BY alarm_id")
    assert len(found) == 2
    assert found[0] == first
    with connect(county.url, "hanlu_alerts", name="test") as connection:
        acknowledge(connection, int(str(first[0])), 2, "li", "looked at it", START)
    assert county.query("SELECT process_state, peak FROM alerts.alarm ORDER BY alarm_id") == [
        ("NORMAL", -10.0),
        ("UNACKNOWLEDGED", -5.0),
    ]


@pytest.mark.parametrize(("warm", "raised"), [(30, []), (31, [(40, 10)])])
def test_on_delay_is_counted_to_the_minute_across_pages_and_restarts(
    county: County, warm: int, raised: list[tuple[int, int]]
) -> None:
    for message in minutes([-18.0] * 10 + [-10.0] * warm + [-18.0] * 3):
        county.arrive_all([message])
        if message[0][1] % (7 * MINUTE) == 0:
            judge_all(county)
    judge_all(county)
    assert [(each[2], each[1]) for each in alarms(county)] == [(at(end), at(begin)) for end, begin in raised]


def test_clock_five_minutes_ahead_delays_the_end_of_an_alarm_by_no_more_than_that(county: County) -> None:
    """Further ahead no reading is taken. Its moment is the newest judged, so what follows counts from there on."""
    county.arrive_all(minutes([-10.0] * 40))
    county.arrive([(FROZEN, START + 44 * MINUTE, -10.0)])
    county.arrive_all(minutes([-18.0] * 4, first=40) + minutes([-18.0] * 5, first=45))
    judge_all(county)
    ((_, _, raised_at, returned_at),) = alarms(county)
    assert raised_at == at(30)
    assert returned_at == at(46)
