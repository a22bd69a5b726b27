"""The engine killed at every statement it sends: the journal is the one of a run that was left alone.

A day in small: a door that holds an alarm and releases it, a shelf that runs out, mains that explain a warm room, an
alarm that calls again, a gateway that falls silent and comes back without one of its channels. The clock is the test's,
so two runs may be compared entry by entry.
"""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from fix_alerts import CHILL, DEFROST, DOOR, FROZEN, HUMIDITY, PLAIN, County, rule

from hanlu.alerts import operate
from hanlu.alerts.config import EngineConfig
from hanlu.alerts.engine import Engine
from hanlu.core.clock import ManualClock
from hanlu.db.pool import Connection, connect

pytestmark = [pytest.mark.postgres, pytest.mark.slow]

MINUTE = 60_000
START = 1_750_000_000_000
HEALTH, MAINS = 9001, 9002
CONFIG = EngineConfig(seed_rules=False)
MINUTES = 54
STRIDE = 13
"""Every so manieth statement is one the engine dies at; with 1 it takes ten minutes and finds the same."""


class Killed(BaseException):
    """The process is gone; nothing in it may catch that."""


class Mortal:
    """A connection whose engine dies before the statement `after`; earlier ones go through."""

    def __init__(self, connection: Connection, after: int | None) -> None:
        self._connection = connection
        self.left = after
        self.sent = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, *arguments: Any, **more: Any) -> Any:
        self.strike()
        return self._connection.execute(*arguments, **more)

    def cursor(self, **more: Any) -> Any:
        cursor = self._connection.cursor(**more)
        execute, mortal = cursor.execute, self

        class _Cursor:
            def __enter__(self) -> Any:
                return self

            def __exit__(self, *_: object) -> None:
                cursor.close()

            def execute(self, *arguments: Any, **named: Any) -> Any:
                mortal.strike()
                return execute(*arguments, **named)

        return _Cursor()

    def strike(self) -> None:
        self.sent += 1
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed


@pytest.fixture
def site(county: County) -> County:
    county.query(
        "INSERT INTO registry.device (device_id, gateway_id, code, kind) OVERRIDING SYSTEM VALUE"
        " VALUES (9001, 1, 'gateway', 'gateway'), (9002, 1, 'mains', 'meter')"
    )
    county.query(
        "INSERT INTO registry.channel (channel_id, device_id, metric, unit, period_s) OVERRIDING SYSTEM VALUE"
        " VALUES (9001, 9001, 'spool_used', '/', 60), (9002, 9002, 'mains', '', 60)"
    )
    county.rules(
        rule("silent", "no_data", applies={"site": "yanling-store"}, parameters={"after_s": 300}),
        rule("mains", "power", applies={"metric": "mains"}, parameters={"off_s": 60}, priority=1),
        rule(
            "high", "high", applies={"profiled": True}, re_alarm_min=3,
            parameters=PLAIN | {"on_delay_s": 120, "hold_door_s": 300},
        ),
    )  # fmt: skip
    return county


def says(minute: int) -> dict[int, float]:
    """What the site's channels say in a minute of the day; nothing while the gateway is lost."""
    if 34 <= minute < 44:
        return {}
    values = {FROZEN: -18.0, CHILL: 4.0, DEFROST: 0.0, HUMIDITY: 90.0, DOOR: 0.0, HEALTH: 0.0, MAINS: 1.0}
    if 3 <= minute < 9:
        values |= {DOOR: 1.0}
    if 3 <= minute < 14 or 20 <= minute < 27:
        values |= {CHILL: 12.0}
    if 5 <= minute < 18:
        values |= {FROZEN: -10.0}
    if 19 <= minute < 24:
        values |= {MAINS: 0.0}
    if minute >= 44:
        del values[HUMIDITY]
    return values


def day(county: County, kill_at: int | None = None) -> int:
    """Let the day pass; return the number of statements the engine sent. `kill_at`: it dies there and starts again."""
    county.query("TRUNCATE telemetry.arrival, telemetry.reading, telemetry.latest CASCADE")
    county.forget()
    clock = ManualClock(START)
    sent, left = 0, kill_at
    people = connect(county.url, "hanlu_alerts", name="people", autocommit=True)
    own = connect(county.url, "hanlu_alerts", name="engine", autocommit=True)
    mortal = Mortal(own, left)
    engine: Engine | None = None
    try:
        for minute in range(MINUTES):
            if values := says(minute):
                county.arrive(
                    [(each, clock.now_ms(), value) for each, value in values.items()], recorded_ms=clock.now_ms()
                )
            act(county, people, minute, clock.now_ms())
            while True:
                try:
                    if engine is None:
                        engine = Engine(CONFIG, mortal, clock)  # type: ignore[arg-type]
                    if engine.turn() == 0:
                        break
                except Killed:
                    # The server notices that its client is gone, and rolls back what was open.
                    own.close()
                    own = connect(county.url, "hanlu_alerts", name="engine", autocommit=True)
                    sent, mortal, engine = sent + mortal.sent, Mortal(own, None), None
            clock.advance(60)
    finally:
        own.close()
        people.close()
    return sent + mortal.sent


def act(county: County, people: Connection, minute: int, now_ms: int) -> None:
    """What people do in a minute of the day."""
    if minute == 4:
        operate.shelve(
            people, [(FROZEN, "high")], until_ms=START + 10 * MINUTE, reason="r", note="", actor="li", at_ms=now_ms
        )
    if minute == 11:
        rows = county.query(
            "SELECT alarm_id FROM alerts.alarm WHERE channel_id = %s AND process_state = 'UNACKNOWLEDGED'", FROZEN
        )
        operate.acknowledge_many(people, [(int(str(row[0])), None) for row in rows], "li", "", now_ms)


def record(county: County) -> list[tuple[object, ...]]:
    """Return journal and alarms without keys."""
    return [
        *county.query(
            "SELECT a.channel_id, a.kind, a.raised_at, j.version, j.at, j.event, j.from_state, j.to_state, j.actor,"
            " j.value, j.note FROM alerts.journal AS j JOIN alerts.alarm AS a USING (alarm_id)"
            " ORDER BY a.channel_id, a.kind, a.raised_at, j.version"
        ),
        *county.query(
            "SELECT a.channel_id, a.kind, a.raised_at, a.process_state, a.suppression_state, a.hold_reason,"
            " a.called_at, a.returned_at, a.peak, a.cause, parent.channel_id FROM alerts.alarm AS a"
            " LEFT JOIN alerts.alarm AS parent ON parent.alarm_id = a.explained_by ORDER BY 1, 2, 3"
        ),
        *county.query(
            "SELECT channel_id, event, at, actor FROM alerts.suppression_journal ORDER BY suppression_journal_id"
        ),
    ]


def test_engine_killed_at_every_statement_keeps_the_journal_of_a_run_left_alone(site: County) -> None:
    statements = day(site)
    undisturbed = record(site)
    events = {row[5] for row in undisturbed if len(row) == 11}
    assert events >= {"raise", "suppress", "unsuppress", "shelve", "expire", "explain", "re_alarm", "return", "close"}
    assert statements > 200
    for kill_at in range(1, statements, STRIDE):
        day(site, kill_at)
        assert record(site) == undisturbed, f"killed before statement {kill_at}"


def test_second_word_of_a_person_and_the_engine_do_not_cross(site: County) -> None:
    """The lock of alarms: while a person's transaction is open, the engine's page waits and then sees what was said."""
    with connect(site.url, "hanlu_alerts", name="people") as people, psycopg.connect(site.url) as watcher:
        operate.shelve(
            people, [(FROZEN, "high")], until_ms=START + 60 * MINUTE, reason="r", note="", actor="li", at_ms=START
        )
        people.commit()
        site.arrive_all([[(FROZEN, START + index * MINUTE, -10.0)] for index in range(5)])
        with connect(site.url, "hanlu_alerts", name="engine", autocommit=True) as own:
            Engine(CONFIG, own, ManualClock(START)).turn()
        row = watcher.execute("SELECT suppression_state FROM alerts.alarm").fetchone()
    assert row == ("SHELVED",)
