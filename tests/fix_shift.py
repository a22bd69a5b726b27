"""Alarms written straight into the table, in whatever state a page is to be seen with."""

from __future__ import annotations

from datetime import datetime, timedelta

import psycopg
from fix_alerts import County

_ADD = """
INSERT INTO alerts.alarm (channel_id, kind, priority, process_state, suppression_state, exceeded_at, raised_at,
    detected_at, returned_at, acknowledged_at, called_at, hold_reason, rule_code, rule_version)
VALUES (%(channel)s, %(kind)s, %(priority)s, %(state)s, %(quiet)s, %(at)s, %(at)s, %(at)s, %(returned)s, %(seen)s,
    %(called)s, %(hold)s, 'test', 1)
RETURNING alarm_id
"""


def add_alarm(
    county: County, channel: int, at: datetime, *, kind: str = "high", priority: int = 3, state: str = "NORMAL",
    quiet: str = "NONE", lasted_s: float | None = 600, seen_s: float | None = None, hold: str | None = None,
    called: bool = True,
) -> int:  # fmt: skip
    row = {
        "channel": channel, "kind": kind, "priority": priority, "state": state, "quiet": quiet, "at": at, "hold": hold,
        "returned": None if lasted_s is None else at + timedelta(seconds=lasted_s),
        "seen": None if seen_s is None else at + timedelta(seconds=seen_s),
        "called": at if called else None,
    }  # fmt: skip
    with psycopg.connect(county.url) as connection:
        found = connection.execute(_ADD, row).fetchone()
    assert found is not None
    return int(found[0])
