"""What must not stop the engine, and what must not keep quiet for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from fix_alerts import CHILL, County, rule

from hanlu.alerts.config import EngineConfig
from hanlu.alerts.engine import Engine
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
