"""A person has seen an alarm: the one thing operators change."""

from __future__ import annotations

from hanlu.alerts.alarm import Event, process
from hanlu.alerts.store import journal, lock_alarm
from hanlu.core.clock import from_ms
from hanlu.core.errors import ConflictError
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries

__all__ = ["NOTE_LENGTH", "acknowledge"]

NOTE_LENGTH = 500
"""Most characters of a note."""

_QUERIES = load_queries("hanlu.alerts")


def acknowledge(connection: Connection, alarm_id: int, version: int, actor: str, note: str, at_ms: int) -> None:
    """Acknowledge an alarm in a transaction of its own, and wake who follows the journal.

    Args:
        connection: acting as hanlu_alerts.
        alarm_id: which alarm; the caller has checked that the person may see it.
        version: the version the person saw.
        actor: the person's login.
        note: what the person found or did, at most `NOTE_LENGTH` characters, may be empty.
        at_ms: the platform's time, Unix milliseconds.

    Raises:
        NotFoundError: there is no such alarm.
        ConflictError: the alarm has changed since the person saw it, or needs no acknowledgement.
    """
    with connection.transaction():
        before = lock_alarm(connection, alarm_id)
        after = process(before.process_state, Event.ACKNOWLEDGE)
        if before.version != version or after is before.process_state:
            raise ConflictError("the alarm has changed in the meantime")
        connection.execute(
            _QUERIES["alarm_acknowledge"],
            {
                "alarm_id": alarm_id,
                "process_state": after,
                "version": version + 1,
                "at": from_ms(at_ms),
                "actor": actor,
                "note": note,
            },
        )
        journal(connection, before, Event.ACKNOWLEDGE, after, at_ms=at_ms, actor=actor, note=note)
        connection.execute("NOTIFY hanlu_alarm")
