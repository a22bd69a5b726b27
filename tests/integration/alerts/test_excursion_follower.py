"""The accounts of excursions on a real database: they grow, end, and late data corrects them for all to see."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
import pytest
from fix_alerts import FROZEN, HUMIDITY
from fix_excursion import MINUTE, START, WARM, Accounts, at, minutes

from hanlu.alerts.config import EngineConfig
from hanlu.alerts.engine import Engine
from hanlu.alerts.excursion.figures import ACTIVATION_RATIO, DAY_MS, MONTH_MS, Reading, window
from hanlu.alerts.excursion.follower import Follower, run
from hanlu.alerts.excursion.store import Store
from hanlu.core.clock import ManualClock
from hanlu.db.pool import connect

pytestmark = pytest.mark.postgres

EXACT = 1e-9
# Crossed at 10.5 min (-16 to -14) and at 44.5 (-14 to -16). Areas: 1 K in half a minute 0.25; 1 to 3 K 2; 3 to 5 K 4;
# 29 min at 5 K 145; 5 to 3 K 4; 3 to 1 K 2; 0.25. Together 157.5 K min in 34 min.
WARM_MINUTES, WARM_DEGREE_MINUTES = 34.0, 157.5


def test_excursion_that_returned_has_its_account(accounts: Accounts) -> None:
    accounts.county.arrive(minutes(WARM))
    alarm = accounts.raised(11, returned=47)
    accounts.settle()
    (row,) = accounts.figures(
        "standing, from_at, to_at, span_to, minutes, unknown_minutes, degree_minutes, peak, peak_at, unit, gap_ms"
    )
    assert row[:4] == (False, at(10.5), at(44.5), at(47))
    assert row[4:7] == pytest.approx((WARM_MINUTES, 0.0, WARM_DEGREE_MINUTES), abs=EXACT)
    assert row[7:] == (-10.0, at(13), "Cel", 600_000)
    assert accounts.county.query("SELECT alarm_id FROM alerts.excursion_alarm") == [(alarm,)]
    assert accounts.story() == [(1, 1, "begun")]


def test_windows_of_the_database_are_those_of_the_arithmetic(accounts: Accounts) -> None:
    far = [(FROZEN, START - MONTH_MS - 3 * MINUTE + index * 7 * MINUTE, -18.0 + index % 9) for index in range(4000)]
    accounts.county.arrive(far)
    accounts.county.arrive(minutes(WARM))
    accounts.raised(11, returned=47)
    accounts.settle()
    (row,) = accounts.figures(
        "kinetic_day, known_day, kinetic_month, known_month, (extract(epoch FROM to_at) * 1000)::bigint"
    )
    readings = [Reading(time, value) for _, time, value in [*far, *minutes(WARM)]]
    for (kinetic, known), span in ((row[:2], DAY_MS), (row[2:4], MONTH_MS)):
        by_hand = window(readings, 600_000, row[4] - span, row[4])
        assert kinetic == pytest.approx(by_hand.kinetic, abs=EXACT)
        assert known == pytest.approx(by_hand.known_minutes, rel=1e-12)
    assert ACTIVATION_RATIO == pytest.approx(10_000)  # noqa: SIM300


def test_standing_excursion_grows_with_the_clock_and_is_told_hourly(accounts: Accounts) -> None:
    accounts.county.arrive(minutes(WARM[:30]))
    alarm = accounts.raised(11)
    accounts.settle()
    assert accounts.figures("standing, to_at, known_until") == [(True, None, at(29))]
    accounts.county.arrive(minutes(WARM[30:40], start=START + 30 * MINUTE))
    accounts.settle()
    assert accounts.figures("known_until") == [(at(29),)]  # a minute has not passed
    accounts.clock.advance(70)  # a hundredth of the time since it began is a little more than a minute
    accounts.settle()
    assert accounts.figures("known_until") == [(at(39),)]
    assert accounts.story() == [(1, 1, "begun")]
    accounts.clock.advance(3600)
    accounts.settle()
    assert accounts.story() == [(1, 1, "begun"), (1, 2, "grew")]
    accounts.county.arrive(minutes(WARM[40:], start=START + 40 * MINUTE))
    accounts.returned(alarm, 47)
    accounts.settle()
    assert accounts.story()[2:] == [(1, 3, "ended")]
    (row,) = accounts.figures("minutes, degree_minutes, corrections")
    assert row == pytest.approx((WARM_MINUTES, WARM_DEGREE_MINUTES, 0), abs=EXACT)


def test_late_readings_inside_a_closed_excursion_correct_it_although_the_peak_stays(accounts: Accounts) -> None:
    cells = minutes(WARM)
    accounts.county.arrive(cells[:20] + cells[27:])
    accounts.raised(11, returned=47)
    accounts.settle()
    accounts.county.arrive([(FROZEN, cells[23][1], -14.5)], lane="backlog")
    accounts.clock.advance(10)
    accounts.settle()
    assert accounts.story() == [(1, 1, "begun"), (1, 2, "late_data")]
    assert accounts.figures("corrections, peak") == [(1, -10.0)]
    ((before, after),) = accounts.county.query("SELECT before, after FROM alerts.excursion_version WHERE version = 2")
    assert before["degree_minutes"] == pytest.approx(WARM_DEGREE_MINUTES)
    # The straight line of 8 min (19 to 27) at 5 K: 40; now 4 min from 5 to 0.5 and 4 min back: 22.
    assert after["degree_minutes"] == pytest.approx(WARM_DEGREE_MINUTES - 18, abs=EXACT)
    assert before["digest"] != after["digest"]


def test_late_readings_of_a_standing_excursion_are_a_correction_and_not_growth(accounts: Accounts) -> None:
    cells = minutes(WARM)
    accounts.county.arrive(cells[:20] + cells[25:35])
    accounts.raised(11)
    accounts.settle()
    accounts.county.arrive([(FROZEN, cells[22][1], -8.0)], lane="backlog")
    accounts.clock.advance(61)
    accounts.settle()
    assert accounts.story() == [(1, 1, "begun"), (1, 2, "late_data")]
    assert accounts.figures("peak, corrections, standing") == [(-8.0, 1, True)]


def test_late_readings_before_the_excursion_show_that_it_began_earlier(accounts: Accounts) -> None:
    cells = minutes(WARM)
    accounts.county.arrive(cells[25:])
    accounts.raised(25, returned=47)
    accounts.settle()
    assert accounts.figures("from_at") == [(at(25),)]
    accounts.county.arrive(cells[:25], lane="backlog")
    accounts.clock.advance(10)
    accounts.settle()
    assert accounts.figures("from_at, corrections") == [(at(10.5), 1)]


def test_late_readings_of_the_month_before_correct_the_kinetic_temperature_alone(accounts: Accounts) -> None:
    accounts.county.arrive(minutes(WARM))
    accounts.raised(11, returned=47)
    accounts.settle()
    before = accounts.figures("kinetic_day, kinetic_month, degree_minutes")[0]
    accounts.county.arrive(minutes([5.0] * 60, start=START - 3 * DAY_MS), lane="backlog")
    accounts.clock.advance(10)
    accounts.settle()
    after = accounts.figures("kinetic_day, kinetic_month, degree_minutes")[0]
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1] > before[1]
    assert accounts.story() == [(1, 1, "begun"), (1, 2, "late_data")]


def test_readings_outside_of_all_that_was_reported_correct_nothing(accounts: Accounts) -> None:
    accounts.county.arrive(minutes(WARM))
    accounts.raised(11, returned=47)
    accounts.settle()
    accounts.county.arrive(minutes([-18.0] * 5, start=START + 100 * MINUTE))
    accounts.county.arrive(minutes([-18.0] * 5, start=START - 31 * DAY_MS), lane="backlog")
    accounts.county.arrive(minutes([90.0] * 5, channel=HUMIDITY))
    accounts.clock.advance(10)
    accounts.settle()
    assert accounts.story() == [(1, 1, "begun")]


def test_inner_alarm_belongs_to_the_excursion_of_the_outer_limit(accounts: Accounts) -> None:
    accounts.county.arrive(minutes(WARM))
    outer = accounts.raised(11, returned=47)
    inner = accounts.raised(12, kind="high_high", limit=-13.0, returned=44)
    accounts.settle()
    assert accounts.figures("limit_value, from_at") == [(-15.0, at(10.5))]
    assert accounts.county.query("SELECT * FROM alerts.excursion_alarm ORDER BY 1") == [(outer, 1), (inner, 1)]
    assert accounts.story() == [(1, 1, "begun")]


def test_outer_alarm_that_comes_later_widens_the_excursion_of_the_inner_one(accounts: Accounts) -> None:
    accounts.county.arrive(minutes(WARM))
    accounts.raised(12, kind="high_high", limit=-13.0, returned=44)
    accounts.settle()
    assert accounts.figures("limit_value") == [(-13.0,)]
    accounts.raised(11, returned=47)
    accounts.settle()
    assert accounts.figures("limit_value, from_at, to_at") == [(-15.0, at(10.5), at(44.5))]
    assert accounts.story() == [(1, 1, "begun"), (1, 2, "joined")]


def test_outer_alarm_over_two_inner_excursions_makes_them_one(accounts: Accounts) -> None:
    hot = [-18.0] * 5 + [-12.0, -8.0, -12.0] * 2 + [-18.0] * 5
    accounts.county.arrive(minutes(hot))
    one = accounts.raised(6, kind="high_high", limit=-10.0, returned=7)
    other = accounts.raised(9, kind="high_high", limit=-10.0, returned=10)
    accounts.settle()
    assert len(accounts.figures()) == 2
    both = accounts.raised(5, returned=12)
    accounts.settle()
    assert accounts.figures("excursion_id, limit_value") == [(1, -15.0)]
    assert accounts.county.query("SELECT alarm_id FROM alerts.excursion_alarm WHERE excursion_id = 1 ORDER BY 1") == [
        (one,), (other,), (both,),
    ]  # fmt: skip
    assert accounts.story() == [(1, 1, "begun"), (1, 2, "joined"), (2, 1, "begun"), (2, 2, "merged")]


def test_two_alarms_one_after_the_other_are_two_excursions(accounts: Accounts) -> None:
    accounts.county.arrive(minutes(WARM + WARM))
    accounts.raised(11, returned=47)
    accounts.raised(11 + len(WARM), returned=47 + len(WARM))
    accounts.settle()
    rows = accounts.figures("degree_minutes")
    assert [row[0] for row in rows] == pytest.approx([WARM_DEGREE_MINUTES] * 2)


def test_held_alarm_has_an_account_like_any_other(accounts: Accounts) -> None:
    accounts.county.arrive(minutes(WARM))
    accounts.raised(11, returned=47, hold="defrost")
    accounts.settle()
    assert accounts.figures("minutes")[0][0] == pytest.approx(WARM_MINUTES)


def test_alarm_without_readings_keeps_what_the_alarm_says(accounts: Accounts) -> None:
    accounts.raised(11, returned=47)
    accounts.settle()
    assert accounts.figures("from_at, to_at, peak, minutes, readings, digest, kinetic_month") == [
        (at(11), at(47), -10.0, None, 0, None, None)
    ]


def test_readings_deleted_by_retention_change_nothing_that_was_said(accounts: Accounts) -> None:
    accounts.county.arrive(minutes(WARM))
    alarm = accounts.raised(11, returned=47)
    accounts.settle()
    said = accounts.figures("minutes, degree_minutes, digest, from_at, to_at, readings")
    accounts.county.query("DELETE FROM telemetry.reading WHERE observed_at < %s", at(30))
    accounts.corrected(alarm)
    accounts.settle()
    accounts.county.query("DELETE FROM telemetry.reading")
    accounts.corrected(alarm)
    accounts.settle()
    assert accounts.figures("minutes, degree_minutes, digest, from_at, to_at, readings") == said
    assert accounts.story() == [(1, 1, "begun")]


def test_month_deleted_by_retention_is_no_correction_when_a_late_reading_comes(accounts: Accounts) -> None:
    accounts.county.arrive(minutes([-18.0] * 60, start=START - 20 * DAY_MS))
    accounts.county.arrive(minutes(WARM))
    accounts.raised(11, returned=47)
    accounts.settle()
    said = accounts.figures("kinetic_month, known_month, kinetic_day, known_day")
    accounts.county.query("DELETE FROM telemetry.reading WHERE observed_at < %s", at(-10 * 1440))
    accounts.county.arrive([(FROZEN, START - 9 * DAY_MS, -3.0)], lane="backlog")
    accounts.clock.advance(10)
    accounts.settle()
    assert accounts.figures("kinetic_month, known_month, kinetic_day, known_day") == said
    assert accounts.story() == [(1, 1, "begun")]


def test_bad_readings_count_for_nothing(accounts: Accounts) -> None:
    accounts.county.arrive(minutes(WARM))
    accounts.county.query("UPDATE telemetry.reading SET quality = 2, value = 60 WHERE observed_at = %s", at(20))
    accounts.raised(11, returned=47)
    accounts.settle()
    assert accounts.figures("peak, degree_minutes")[0] == pytest.approx((-10.0, WARM_DEGREE_MINUTES))


def test_percent_have_degree_minutes_and_no_kinetic_temperature(accounts: Accounts) -> None:
    accounts.county.arrive(minutes([80.0, 90.0, 90.0, 80.0], channel=HUMIDITY))
    accounts.raised(1, channel=HUMIDITY, limit=85.0, peak=90.0, returned=3)
    accounts.settle()
    (row,) = accounts.figures("unit, minutes, degree_minutes, kinetic, kinetic_day, windows_at IS NULL")
    assert row == ("%RH", 2.0, 7.5, None, None, False)


class KilledError(Exception):
    """The process is gone."""


class KilledStore(Store):
    """A store whose process dies before or after one of its writes."""

    def __init__(self, connection: Any, name: str, *, kept: bool) -> None:
        super().__init__(connection)
        self._name, self._kept = name, kept

    def _maybe(self, name: str, work: Any, *args: Any, **kwargs: Any) -> Any:
        if name != self._name:
            return work(*args, **kwargs)
        if self._kept:
            work(*args, **kwargs)
        raise KilledError

    def write(self, *args: Any, **kwargs: Any) -> int:
        return self._maybe("write", super().write, *args, **kwargs)

    def journal_done(self, *args: Any, **kwargs: Any) -> None:
        return self._maybe("journal_done", super().journal_done, *args, **kwargs)

    def arrivals_done(self, *args: Any, **kwargs: Any) -> None:
        return self._maybe("arrivals_done", super().arrivals_done, *args, **kwargs)


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("step", ["write", "journal_done", "arrivals_done"])
def test_kill_at_any_write_neither_loses_nor_doubles(accounts: Accounts, step: str, kept: bool) -> None:
    cells = minutes(WARM)

    def die() -> None:
        """Run followers that are killed at `step` until none gets there any more, then one that lives."""
        for _ in range(3):
            with connect(accounts.county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
                follower = Follower(KilledStore(connection, step, kept=kept), accounts.clock)
                try:
                    while follower.turn():
                        pass
                except KilledError:
                    continue
        accounts.settle()

    accounts.county.arrive(cells[:20] + cells[25:40])
    alarm = accounts.raised(11)
    die()
    accounts.county.arrive(cells[40:])
    accounts.returned(alarm, 47)
    accounts.clock.advance(10)
    die()
    accounts.county.arrive(cells[20:25], lane="backlog")
    accounts.clock.advance(10)
    die()
    assert [why for _, _, why in accounts.story()] == ["begun", "ended", "late_data"]
    (row,) = accounts.figures("minutes, degree_minutes, corrections")
    assert row == pytest.approx((WARM_MINUTES, WARM_DEGREE_MINUTES, 1), abs=EXACT)


def test_follower_may_not_change_what_was_said(accounts: Accounts) -> None:
    accounts.raised(11, returned=47)
    accounts.settle()
    with (
        connect(accounts.county.url, "hanlu_alerts", name="test") as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("UPDATE alerts.excursion_version SET why = 'grew'")


def test_second_follower_stands_by(accounts: Accounts) -> None:
    with (
        connect(accounts.county.url, "hanlu_alerts", name="one", autocommit=True) as one,
        connect(accounts.county.url, "hanlu_alerts", name="two", autocommit=True) as two,
    ):
        assert Store(one).lock()
        assert not Store(two).lock()


def test_running_follower_is_woken_by_an_alarm_and_stops_when_told(accounts: Accounts) -> None:
    stop, told = threading.Event(), threading.Event()
    accounts.county.arrive(minutes(WARM[:30]))
    thread = threading.Thread(target=run, args=(accounts.county.url, stop, accounts.clock))
    thread.start()
    try:
        accounts.raised(11)
        deadline = time.monotonic() + 30
        while not accounts.figures() and time.monotonic() < deadline:
            told.wait(0.05)
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()
    assert accounts.story() == [(1, 1, "begun")]


def test_follower_that_loses_its_connection_goes_on_with_another(accounts: Accounts) -> None:
    stop, pause = threading.Event(), threading.Event()
    thread = threading.Thread(target=run, args=(accounts.county.url, stop, accounts.clock))
    thread.start()
    kill = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE application_name = 'hanlu excursions' AND datname = current_database()"
    )
    try:
        deadline = time.monotonic() + 30
        while not accounts.county.query(kill) and time.monotonic() < deadline:
            pause.wait(0.05)
        accounts.county.arrive(minutes(WARM[:30]))
        accounts.raised(11)
        while not accounts.figures() and time.monotonic() < deadline:
            pause.wait(0.05)
    finally:
        stop.set()
        thread.join(30)
    assert accounts.story() == [(1, 1, "begun")]


def test_two_alarms_of_two_limits_corrected_into_one_another_are_one_excursion(accounts: Accounts) -> None:
    hot = [-18.0] * 5 + [-12.0, -8.0, -12.0, -14.0, -14.0, -12.0] + [-18.0] * 5
    accounts.county.arrive(minutes(hot))
    inner = accounts.raised(6, kind="high_high", limit=-10.0, returned=7)
    outer = accounts.raised(9, returned=12)
    accounts.settle()
    assert len(accounts.figures()) <= 2
    accounts.county.query("UPDATE alerts.alarm SET exceeded_at = %s WHERE alarm_id = %s", at(5), outer)
    accounts.corrected(outer)
    accounts.settle()
    assert accounts.figures("limit_value, from_at") == [(-15.0, at(4.5))]
    assert accounts.county.query("SELECT DISTINCT excursion_id FROM alerts.excursion_alarm") == [(1,)]
    assert inner < outer


def test_engine_and_follower_together_make_and_correct_the_account(accounts: Accounts) -> None:
    clock = ManualClock(START + 200 * MINUTE)
    cells = minutes([-18.0] * 30 + [-10.0] * 120 + [-18.0] * 40)

    def judge() -> None:
        with connect(accounts.county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
            engine = Engine(EngineConfig(), connection, clock)
            while engine.turn():
                pass
        accounts.clock.advance(10)
        accounts.settle()

    accounts.county.arrive_all([[each] for each in cells[:60] + cells[66:]])
    judge()
    # Crossed 3/8 of a minute after 29, and back 5/8 after 149: 119 min level at 5 K, and 1.5625 K min on either side.
    (row,) = accounts.figures("minutes, degree_minutes, peak, corrections, standing")
    assert row == pytest.approx((120.25, 119 * 5 + 2 * 1.5625, -10.0, 0, False), abs=EXACT)
    accounts.county.arrive([(FROZEN, cells[63][1], -4.0)], lane="backlog")
    judge()
    (row,) = accounts.figures("peak, corrections")
    assert row == (-4.0, 1)
    kinds = accounts.county.query("SELECT DISTINCT kind FROM alerts.excursion_alarm JOIN alerts.alarm USING (alarm_id)")
    assert {"high"} <= {kind for (kind,) in kinds} <= {"high", "high_high"}
