"""The whole life of an alarm through the engine: holds, shelves, rules that change, what only time decides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

import pytest
from fix_alerts import CHILL, DOOR, FROZEN, HUMIDITY, PLAIN, TRUCK, Cell, County, rule

from hanlu.alerts import operate
from hanlu.alerts.config import EngineConfig
from hanlu.alerts.engine import Engine
from hanlu.alerts.judge.judges import JUDGES
from hanlu.alerts.kind import Kind
from hanlu.core.clock import ManualClock, SystemClock, from_ms, to_ms
from hanlu.db.pool import connect

pytestmark = pytest.mark.postgres

MINUTE = 60_000
HOUR = 60 * MINUTE
START = 1_750_000_000_000
CONFIG = EngineConfig(seed_rules=False, page_arrivals=50)
DOOR_RULE = rule("high", "high", applies={"profiled": True}, parameters=PLAIN | {"hold_door_s": 1_200}, re_alarm_min=10)

NO_SILENCE = rule("silent", "no_data", enabled=False)
"""For tests in which hours pass and nobody speaks."""


@contextmanager
def engine(county: County, clock: ManualClock | None = None) -> Iterator[Engine]:
    with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
        yield Engine(CONFIG, connection, clock or ManualClock())


def judge_all(county: County, clock: ManualClock | None = None) -> None:
    with engine(county, clock) as each:
        while each.turn():
            pass


def minutes(values: list[float], *, channel: int = FROZEN, first: int = 0) -> list[list[Cell]]:
    return [[(channel, START + (first + index) * MINUTE, value)] for index, value in enumerate(values)]


def events(county: County) -> list[object]:
    rows = county.query("SELECT event FROM alerts.journal WHERE event <> 'cause' ORDER BY journal_id")
    return [row[0] for row in rows]


def states(county: County) -> list[tuple[object, ...]]:
    return county.query(
        "SELECT process_state, suppression_state, hold_reason, called_at IS NOT NULL FROM alerts.alarm"
        " ORDER BY alarm_id"
    )


def door_open(first: int, last: int) -> list[list[Cell]]:
    """A chill room at 12 degrees with its door open, then still warm behind a closed one."""
    return [
        [(DOOR, START + minute * MINUTE, float(first <= minute < last)), (CHILL, START + minute * MINUTE, 12.0)]
        for minute in range(first, last + 60)
    ]


def test_alarm_held_by_a_door_calls_nobody_until_the_door_explains_it_no_longer(county: County) -> None:
    county.rules(DOOR_RULE)
    messages = door_open(0, 8)
    county.arrive_all(messages[:10])
    judge_all(county)
    assert states(county) == [("UNACKNOWLEDGED", "SUPPRESSED_BY_DESIGN", "door", False)]
    county.arrive_all(messages[10:])
    judge_all(county)
    assert events(county) == ["raise", "suppress", "unsuppress"]
    assert states(county) == [("UNACKNOWLEDGED", "NONE", None, True)]
    assert county.query(
        "SELECT rule_code, rule_version, unit, respond_by - called_at = INTERVAL '30 min' FROM alerts.alarm"
    ) == [("high", 2, "Cel", True)]


def test_held_alarm_that_returns_is_over_without_anybody(county: County) -> None:
    county.rules(DOOR_RULE)
    county.arrive_all(door_open(0, 8)[:10])
    county.arrive_all(minutes([3.0] * 5, channel=CHILL, first=10))
    judge_all(county)
    assert events(county) == ["raise", "suppress", "return", "close"]
    assert states(county) == [("NORMAL", "SUPPRESSED_BY_DESIGN", "door", False)]


def test_alarm_held_and_shelved_at_once_calls_when_both_are_over(county: County) -> None:
    county.rules(DOOR_RULE)
    messages = door_open(0, 8)
    county.arrive_all(messages[:10])
    judge_all(county)
    with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
        operate.shelve(
            connection, [(CHILL, "*")], until_ms=START + 600 * MINUTE, reason="r", note="", actor="li",
            at_ms=START + 10 * MINUTE,
        )  # fmt: skip
        county.arrive_all(messages[10:])
        judge_all(county)
        assert states(county) == [("UNACKNOWLEDGED", "SHELVED", "r", False)]
        operate.unshelve(connection, [(CHILL, "*")], note="", actor="li", at_ms=START + 99 * MINUTE)
    assert states(county) == [("UNACKNOWLEDGED", "NONE", None, True)]
    assert events(county) == ["raise", "suppress", "unsuppress", "shelve", "unshelve"]


def test_shelf_that_runs_out_is_noticed_by_the_engine(county: County) -> None:
    county.rules(NO_SILENCE)
    clock = ManualClock(START + 60 * MINUTE)
    with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
        operate.shelve(
            connection, [(FROZEN, "high")], until_ms=clock.now_ms() + 30 * MINUTE, reason="r", note="", actor="li",
            at_ms=clock.now_ms(),
        )  # fmt: skip
    county.arrive_all(minutes([-10.0] * 40))
    with engine(county, clock) as running:
        running.turn()
        assert states(county) == [("UNACKNOWLEDGED", "SHELVED", "r", False)]
        clock.advance(30 * 60)
        running.turn()
    assert states(county) == [("UNACKNOWLEDGED", "NONE", None, True)]
    assert events(county) == ["raise", "shelve", "expire"]


def test_acknowledged_alarm_that_still_stands_calls_again_after_its_time(county: County) -> None:
    county.rules(DOOR_RULE, NO_SILENCE)
    clock = ManualClock(START + 60 * MINUTE)
    county.arrive_all(minutes([-10.0] * 40))
    with engine(county, clock) as running:
        running.turn()
        [(alarm_id,)] = county.query("SELECT alarm_id FROM alerts.alarm")
        with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
            operate.acknowledge(connection, int(str(alarm_id)), 1, "li", "", clock.now_ms())
        for seconds in (599, 2, 600):
            clock.advance(seconds)
            running.turn()
    assert events(county) == ["raise", "acknowledge", "re_alarm"]
    assert [row[0] for row in states(county)] == ["UNACKNOWLEDGED"]


def test_latching_rule_keeps_its_alarm_until_a_second_person_resets_it(county: County) -> None:
    county.rules(rule("high", "high", applies={"profiled": True}, parameters=PLAIN, latch=True))
    county.arrive_all(minutes([-10.0] * 40 + [-18.0] * 5))
    judge_all(county)
    assert [row[0] for row in states(county)] == ["LATCHED_UNACKNOWLEDGED"]
    county.arrive_all(minutes([-10.0] * 40, first=45))
    judge_all(county)
    assert [row[0] for row in states(county)] == ["LATCHED_UNACKNOWLEDGED", "UNACKNOWLEDGED"]


def test_pending_condition_begins_anew_when_its_rule_changes_and_a_standing_alarm_stays(county: County) -> None:
    clock = ManualClock(START + 60 * MINUTE)
    county.arrive_all(minutes([-10.0] * 40))
    county.arrive_all(minutes([-10.0] * 20, channel=7))
    with engine(county, clock) as running:
        running.turn()
        running.turn()
        assert events(county) == ["raise"]
        county.rules(rule("high", "high", applies={"profiled": True}, parameters=PLAIN | {"deadband": 2}))
        running.look_at_rules()
        county.arrive_all(minutes([-10.0] * 25, channel=7, first=20))
        while running.turn():
            pass
        assert events(county) == ["raise"]  # 25 minutes under the new rule are not 30
        county.arrive_all(minutes([-18.0] * 5, first=40))
        running.turn()
    assert events(county) == ["raise", "return"]


def test_rule_switched_off_lets_its_alarm_return_and_judges_nothing_more(county: County) -> None:
    clock = ManualClock(START + 60 * MINUTE)
    county.arrive_all(minutes([-10.0] * 40))
    with engine(county, clock) as running:
        running.turn()
        county.rules(rule("high", "high", applies={"profiled": True}, parameters=PLAIN, enabled=False))
        running.look_at_rules()
        county.arrive_all(minutes([-10.0] * 60, first=40))
        while running.turn():
            pass
        running.turn()
    assert county.query("SELECT event, note FROM alerts.journal ORDER BY version") == [
        ("raise", ""),
        ("return", "limit_withdrawn"),
    ]


def test_channel_that_changes_its_unit_ends_its_alarms_and_begins_anew(county: County) -> None:
    clock = ManualClock(START + 60 * MINUTE)
    county.arrive_all(minutes([-10.0] * 40))
    judge_all(county, clock)
    county.query("UPDATE registry.channel SET unit = 'K' WHERE channel_id = %s", FROZEN)
    judge_all(county, clock)
    judge_all(county, clock)
    assert county.query("SELECT event, note FROM alerts.journal ORDER BY version") == [
        ("raise", ""),
        ("return", "unit_changed"),
    ]
    assert county.query("SELECT unit, state -> 'states' FROM alerts.memory WHERE channel_id = %s", FROZEN) == [
        ("K", {})
    ]


def test_rule_in_another_unit_than_the_channel_does_not_hold_and_is_told(county: County) -> None:
    broken = rule(
        "kelvin",
        "high",
        applies={"zone": "yanling-frozen", "metric": "air_temperature"},
        parameters=PLAIN | {"setpoint": 258.0, "unit": "K"},
    )
    county.rules(broken)
    county.arrive_all(minutes([-10.0] * 40))
    with engine(county) as running:
        running.turn()
        assert {(each.code, each.reason.value, each.channel_id) for each in running.problems} >= {
            ("kelvin", "unit", FROZEN)
        }
    # The mistake in the exception does not leave the room unwatched.
    assert county.query("SELECT rule_code FROM alerts.alarm") == [("high",)]


def test_alarm_whose_judge_has_forgotten_everything_returns_with_that_note_and_comes_again(county: County) -> None:
    county.arrive_all(minutes([-10.0] * 40))
    judge_all(county)
    county.query("DELETE FROM alerts.memory")
    county.arrive_all(minutes([-10.0] * 40, first=40))
    judge_all(county)
    assert county.query("SELECT event, note FROM alerts.journal WHERE event <> 'correct' ORDER BY journal_id") == [
        ("raise", ""),
        ("return", "judged_anew"),
        ("raise", ""),
    ]


def test_channel_whose_clock_steps_back_an_hour_is_judged_again_after_its_silence_allowed(county: County) -> None:
    now = SystemClock().now_ms()
    first = now - 90 * MINUTE
    county.query("UPDATE registry.limit_profile SET on_delay_s = 300, no_data_s = 300")
    for index in range(90):
        step = 60.5 if index >= 10 else 0
        at = first + round((index - step) * MINUTE)
        cell = (FROZEN, at, -18.0 if index < 30 else -10.0)
        county.arrive([cell], recorded_ms=first + index * MINUTE)
    judge_all(county)
    assert county.query("SELECT process_state FROM alerts.alarm") == [("UNACKNOWLEDGED",)]
    [(raised_at,)] = county.query("SELECT raised_at FROM alerts.alarm")
    # Warm from minute 30, seen from there: 5 minutes of on-delay, in the time the channel had before it stepped.
    assert (to_ms(raised_at) - first) // MINUTE < 36  # type: ignore[arg-type]
    assert county.query("SELECT step_ms > 0 FROM alerts.memory WHERE channel_id = %s", FROZEN) == [(True,)]


def test_channel_never_heard_is_silent_from_when_it_was_first_watched_whatever_restarts(county: County) -> None:
    clock = ManualClock(SystemClock().now_ms())
    for _ in range(7):
        with engine(county, clock) as running:
            running.turn()
        clock.advance(50)
    assert county.query("SELECT channel_id, kind FROM alerts.alarm") == [(CHILL, "no_data")]


def test_restarts_of_the_engine_excuse_no_silence_and_a_long_pause_does(county: County) -> None:
    clock = ManualClock(SystemClock().now_ms())
    county.arrive([(CHILL, clock.now_ms(), 4.0)])
    for _ in range(7):
        with engine(county, clock) as running:
            while running.turn():
                pass
        clock.advance(45)
    with engine(county, clock) as running:
        running.turn()
    assert events(county) == ["raise"]
    county.forget()
    clock.advance(3_600)
    with engine(county, clock) as running:
        while running.turn():
            pass
        clock.advance(250)
        running.turn()
    assert events(county) == []


def test_calibration_is_due_so_many_days_before_its_date_and_over_when_a_new_one_is_recorded(county: County) -> None:
    county.rules(rule("calibrate", "calibration", parameters={"days_before": 30}, priority=3), NO_SILENCE)
    clock = ManualClock(to_ms(from_ms(START)))
    due = from_ms(START).date()
    with engine(county, clock) as running:
        with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
            operate.record_calibration(
                connection, FROZEN, due_on=date.fromordinal(due.toordinal() + 31), certificate="A", actor="li"
            )
            for seconds in (61, 86_400, 61):
                clock.advance(seconds)
                running.turn()
            assert county.query("SELECT channel_id, kind, priority FROM alerts.alarm") == [(FROZEN, "calibration", 3)]
            operate.record_calibration(
                connection, FROZEN, due_on=date.fromordinal(due.toordinal() + 400), certificate="B", actor="li"
            )
        clock.advance(61)
        running.turn()
    assert events(county) == ["raise", "return"]


def test_goods_that_run_low_or_near_their_date_are_alarmed_by_what_the_stock_room_publishes(county: County) -> None:
    county.rules(
        rule("low-stock", "stock", priority=3),
        rule("reserve", "reserve", applies={"site": "yanling-store"}, priority=2),
        rule("old-goods", "expiry", parameters={"days_before": 7}, priority=3),
    )
    clock = ManualClock(START)
    with engine(county, clock) as running:
        running.turn()  # there is no stock room yet
        county.query(
            "CREATE SCHEMA stock; CREATE TABLE stock.level (site_id bigint, item text, item_zh text, item_en text,"
            " quantity numeric, unit text, minimum numeric, reserve numeric, expires_at timestamptz);"
            " CREATE VIEW stock.level_v AS SELECT * FROM stock.level;"
            " GRANT USAGE ON SCHEMA stock TO hanlu_alerts; GRANT SELECT ON stock.level_v TO hanlu_alerts"
        )
        county.query(
            "INSERT INTO stock.level VALUES (1, 'urea', '尿素', 'urea', 40, 'kg', 50, 45, NULL),"
            " (2, 'salt', '食盐', 'salt', 10, 'kg', 5, 45, %s)",
            from_ms(START + 6 * 86_400_000),
        )
        clock.advance(61)
        running.turn()
        assert county.query(
            "SELECT site_id, item, item_zh, kind, peak, unit, channel_id FROM alerts.alarm ORDER BY site_id, kind"
        ) == [
            (1, "urea", "尿素", "reserve", 40.0, "kg", None),
            (1, "urea", "尿素", "stock", 40.0, "kg", None),
            (2, "salt", "食盐", "expiry", 10.0, "kg", None),
        ]
        county.query("UPDATE stock.level SET quantity = 48 WHERE item = 'urea'")
    with engine(county, clock) as running:  # found standing by the next engine
        running.turn()
    assert sorted(map(str, events(county))) == ["raise", "raise", "raise", "return"]
    assert county.query("SELECT site, zone FROM alerts.alarm_place_v ORDER BY 1")[0] == ("truck-7", "salt")


def test_channel_without_rules_is_not_remembered(county: County) -> None:
    county.rules(rule("silent", "no_data", applies={"zone": "yanling-chill"}))
    county.arrive([(TRUCK, START, 4.0), (HUMIDITY, START, 90.0)])
    judge_all(county)
    remembered = {row[0] for row in county.query("SELECT channel_id FROM alerts.memory")}
    assert TRUCK in remembered


def test_log_handed_in_live_calls_nobody_for_what_was_over(county: County) -> None:
    now = SystemClock().now_ms()
    begin = now - 10 * HOUR
    warm = range(60, 180)
    cells = [(FROZEN, begin + at * MINUTE, -5.0 if at in warm else -20.0) for at in range(600)]
    for first in range(0, 600, 30):
        county.arrive(cells[first : first + 30], recorded_ms=now + first)
    judge_all(county)
    assert county.query("SELECT called_at, hold_reason, process_state FROM alerts.alarm WHERE kind = 'high'") == [
        (None, "late", "NORMAL")
    ]


def test_log_handed_in_live_calls_as_soon_as_it_reaches_the_present_and_the_room_is_still_warm(
    county: County,
) -> None:
    now = SystemClock().now_ms()
    cells = [(FROZEN, now - (300 - at) * MINUTE, -20.0 if at < 60 else -5.0) for at in range(300)]
    with engine(county) as running:
        county.arrive(cells[:200], recorded_ms=now)
        while running.turn():
            pass
        held = "SELECT called_at IS NULL, suppression_state, plant_hold FROM alerts.alarm WHERE kind = 'high'"
        assert county.query(held) == [(True, "SUPPRESSED_BY_DESIGN", "late")]
    with engine(county) as restarted:
        county.arrive(cells[200:], recorded_ms=now + 1_000)
        while restarted.turn():
            pass
    assert county.query(held) == [(False, "NONE", None)]


def test_device_whose_clock_is_behind_calls_at_the_pace_of_life(county: County) -> None:
    now = SystemClock().now_ms() - 3 * HOUR
    for at in range(120):
        observed = now - 20 * HOUR + at * MINUTE
        county.arrive([(FROZEN, observed, -5.0)], recorded_ms=now + at * MINUTE)
    judge_all(county)
    assert county.query("SELECT called_at IS NULL, suppression_state FROM alerts.alarm WHERE kind = 'high'") == [
        (False, "NONE")
    ]


def test_judge_that_fails_is_judged_anew_and_stops_nobody_else(county: County, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails_at_minus_7(state: object, parameters: object, at_ms: int, value: float, signals: object) -> object:
        if value == -7.0:
            raise ZeroDivisionError
        return sound.step(state, parameters, at_ms, value, signals)

    sound = JUDGES[Kind.HIGH]
    county.rules(NO_SILENCE)
    county.arrive_all(minutes([-20.0] * 5 + [-5.0] * 60))
    judge_all(county)
    assert states(county) == [("UNACKNOWLEDGED", "NONE", None, True)]
    monkeypatch.setitem(JUDGES, Kind.HIGH, sound._replace(step=fails_at_minus_7))
    county.arrive_all([*minutes([-7.0] + [-5.0] * 60, first=65), *minutes([12.0] * 30, channel=CHILL, first=65)])
    judge_all(county)
    assert county.query("SELECT channel_id, process_state FROM alerts.alarm WHERE kind = 'high' ORDER BY alarm_id") == [
        (FROZEN, "RTN_UNACKNOWLEDGED"),
        (FROZEN, "UNACKNOWLEDGED"),
        (CHILL, "UNACKNOWLEDGED"),
    ]
    assert ("judged_anew",) in county.query("SELECT note FROM alerts.journal WHERE event = 'return'")


def test_door_that_time_alone_judges_calls_nobody_while_its_log_is_handed_in(county: County) -> None:
    county.rules(rule("door", "door", parameters={"open_s": 240}), NO_SILENCE)
    now = SystemClock().now_ms()
    yesterday = now - 24 * HOUR
    county.link(1)
    with engine(county, ManualClock(now)) as running:
        county.arrive([(DOOR, yesterday, 0.0), (DOOR, yesterday + MINUTE, 1.0)], recorded_ms=now)
        while running.turn():
            pass
        running.turn()
        assert county.query("SELECT kind FROM alerts.alarm WHERE called_at IS NOT NULL") == []
