"""What must not stop the engine, and what must not keep quiet for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fix_alerts import CHILL, DOOR, County, rule

from hanlu.alerts.config import EngineConfig
from hanlu.alerts.engine import Engine
from hanlu.alerts.kind import Hold, Kind
from hanlu.alerts.ledger import Ledger
from hanlu.alerts.occurrence import Occurrence, Subject
from hanlu.core.clock import ManualClock
from hanlu.db.pool import connect

pytestmark = pytest.mark.postgres

MINUTE = 60_000
START = 1_750_000_000_000
CONFIG = EngineConfig(seed_rules=False, page_arrivals=50)
SILENT = rule("silent", "no_data", applies={"site": "yanling-store", "profile": "chilled"})


@contextmanager
def engine(county: County, clock: ManualClock) -> Iterator[Engine]:
    with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
        yield Engine(CONFIG, connection, clock)


def test_silence_whose_rule_was_off_over_a_restart_is_told_again_without_stopping_the_engine(county: County) -> None:
    clock = ManualClock(START)
    county.arrive([(CHILL, START, 3.0)])
    county.query("UPDATE telemetry.latest SET received_at = to_timestamp(%s / 1000.0)", START)
    with engine(county, clock) as running:
        running.turn()
        for _ in range(20):
            clock.advance(50)
            running.turn()
        assert county.query("SELECT process_state FROM alerts.alarm WHERE kind = 'no_data'") == [("UNACKNOWLEDGED",)]
        county.rules(rule("silent", "no_data", enabled=False))
        running.look_at_rules()
        clock.advance(10)
        running.turn()
        assert county.query("SELECT process_state FROM alerts.alarm") == [("RTN_UNACKNOWLEDGED",)]
    clock.advance(10)
    county.rules(SILENT)
    with engine(county, clock) as running:
        for _ in range(30):
            clock.advance(50)
            running.turn()
    assert county.query("SELECT process_state FROM alerts.alarm ORDER BY alarm_id") == [
        ("RTN_UNACKNOWLEDGED",),
        ("UNACKNOWLEDGED",),
    ]


BROKEN_VIEWS = {
    "other columns": "CREATE VIEW stock.level_v AS SELECT 1 AS other",
    "other types": (
        "CREATE VIEW stock.level_v AS SELECT 'here' AS site_id, 'urea' AS item, 'a' AS item_zh, 'b' AS item_en,"
        " 'much' AS quantity, 'kg' AS unit, NULL AS minimum, NULL AS reserve, 'soon' AS expires_at"
    ),
    "no right": "CREATE VIEW stock.level_v AS SELECT 1 AS site_id; REVOKE ALL ON stock.level_v FROM hanlu_alerts",
    "nulls and infinities": (
        "CREATE VIEW stock.level_v AS SELECT 1 AS site_id, x.item, NULL AS item_zh, NULL AS item_en, x.quantity,"
        " NULL AS unit, 50 AS minimum, 'NaN' AS reserve, x.at AS expires_at"
        " FROM (VALUES (NULL, 1, 'infinity'), ('urea', NULL, NULL), ('salt', 1, '-infinity')) AS x (item, quantity, at)"
    ),
    "no schema right": "CREATE VIEW stock.level_v AS SELECT 1 AS site_id; REVOKE ALL ON SCHEMA stock FROM hanlu_alerts",
}


@pytest.mark.parametrize("view", BROKEN_VIEWS.values(), ids=BROKEN_VIEWS.keys())
def test_stock_view_of_another_shape_stops_no_engine_and_takes_back_nothing(county: County, view: str) -> None:
    county.rules(rule("low-stock", "stock"), rule("old-goods", "expiry"), rule("reserve", "reserve"))
    clock = ManualClock(START)
    good = (
        "CREATE VIEW stock.level_v AS SELECT 1 AS site_id, 'salt' AS item, 'a' AS item_zh, 'b' AS item_en,"
        " 1 AS quantity, 'kg' AS unit, 50 AS minimum, NULL AS reserve, NULL AS expires_at"
    )
    grants = "GRANT USAGE ON SCHEMA stock TO hanlu_alerts; GRANT SELECT ON ALL TABLES IN SCHEMA stock TO hanlu_alerts"
    county.query(f"CREATE SCHEMA stock; {good}; {grants}")
    with engine(county, clock) as running:
        running.turn()
        assert county.query("SELECT kind, process_state FROM alerts.alarm") == [("stock", "UNACKNOWLEDGED")]
        last = view.rpartition("; ")[2] if "REVOKE" in view else ""
        county.query(f"DROP VIEW stock.level_v; {view.partition('; REVOKE')[0]}; {grants}; {last}")
        clock.advance(61)
        running.turn()
        assert county.query("SELECT kind, process_state FROM alerts.alarm") == [("stock", "UNACKNOWLEDGED")]
        county.arrive([(CHILL, START + MINUTE, 3.0)])
        assert running.turn() == 1


@pytest.mark.parametrize("first", ["release", "stand_alone"])
def test_reason_that_ends_behind_another_one_is_gone_when_that_ends_too(county: County, first: str) -> None:
    steps = {"release": lambda alarm: alarm.hold(None, 2, 2, ()), "stand_alone": lambda alarm: alarm.stand_alone(3, ())}
    with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection:
        with connection.transaction():
            ledger = Ledger(connection)
            mains = Occurrence(Subject(9, Kind.POWER), 1, 1, 1, 1)
            mains.begin(1, 1)
            warm = Occurrence(Subject(CHILL, Kind.HIGH), 1, 1, 1, 1, plant_hold=Hold.DOOR, explained_by=mains)
            warm.begin(1, 1)
            for each in (mains, warm):
                ledger.add(each)
            ledger.flush()
        for step in sorted(steps, key=lambda name: name != first):
            with connection.transaction():
                ledger = Ledger(connection)
                assert warm.alarm_id is not None
                steps[step](ledger.load([warm.alarm_id])[warm.alarm_id])
                ledger.flush()
    assert county.query(
        "SELECT suppression_state, plant_hold, explained_by, hold_reason, called_at IS NOT NULL FROM alerts.alarm"
        " WHERE kind = 'high'"
    ) == [("NONE", None, None, None, True)]


def test_alarms_born_together_may_explain_one_another_in_a_chain(county: County) -> None:
    with connect(county.url, "hanlu_alerts", name="test", autocommit=True) as connection, connection.transaction():
        ledger = Ledger(connection)
        above: Occurrence | None = None
        chain = []
        for channel in (9, 8, 7):
            above = Occurrence(Subject(channel, Kind.NO_DATA), 1, 1, 1, 1, explained_by=above)
            above.begin(1, 1)
            chain.append(above)
        for each in reversed(chain):
            ledger.add(each)
        ledger.flush()
    assert county.query(
        "SELECT p.channel_id FROM alerts.alarm AS a LEFT JOIN alerts.alarm AS p ON p.alarm_id = a.explained_by"
        " ORDER BY a.channel_id"
    ) == [(8,), (9,), (None,)]


@pytest.mark.parametrize(
    "change", ["door channel gone", "door silent", "rule asks for no door", "zone moved", "restart"]
)
def test_alarm_held_by_a_door_calls_whatever_becomes_of_the_door(county: County, change: str) -> None:
    plain = {"hold_defrost": False}
    county.rules(
        rule("high", "high", applies={"profiled": True}, parameters=plain | {"hold_door_s": 1_200}),
        rule("silent", "no_data", enabled=False),
    )
    clock = ManualClock(START)
    with engine(county, clock) as running:
        for minute in range(90):
            clock.advance(60)
            now = clock.now_ms()
            if minute < 8:
                county.arrive([(DOOR, now, 1.0), (CHILL, now, 12.0)], recorded_ms=now)
            else:
                county.arrive([(CHILL, now, 12.0)], recorded_ms=now)
            running.turn()
            if minute == 8:
                found = county.query("SELECT suppression_state, hold_reason FROM alerts.alarm WHERE kind = 'high'")
                assert found == [("SUPPRESSED_BY_DESIGN", "door")]
                if change == "door channel gone":
                    county.query("DELETE FROM registry.channel WHERE channel_id = %s", DOOR)
                elif change == "zone moved":
                    county.query("UPDATE registry.device SET zone_id = 1 WHERE device_id = 2")
                elif change == "rule asks for no door":
                    county.rules(
                        rule("high", "high", applies={"profiled": True}, parameters=plain | {"hold_door_s": 0})
                    )
                running.look_at_rules()
                if change == "restart":
                    break
    if change == "restart":
        with engine(county, clock) as running:
            for _ in range(80):
                clock.advance(60)
                county.arrive([(CHILL, clock.now_ms(), 12.0)], recorded_ms=clock.now_ms())
                running.turn()
    assert county.query(
        "SELECT suppression_state, called_at IS NOT NULL FROM alerts.alarm WHERE kind = 'high' AND process_state ="
        " 'UNACKNOWLEDGED'"
    ) == [("NONE", True)]
