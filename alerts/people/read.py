"""Reads for pages: what was told of an alarm and to whom, by which channel, and with what success."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg.rows import class_row, dict_row

from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries

__all__ = ["Told", "list_messages", "read_notifications"]

_QUERIES = load_queries("hanlu.alerts.people")


@dataclass(frozen=True, slots=True)
class Told:
    """One line of "who was told" of an alarm.

    Attributes:
        at_ms: when it was planned, Unix milliseconds.
        purpose: call, return or digest.
        step: step of the escalation, from 0.
        target: code of the receiver, `rota:<code>` when nobody was on call, `-` when no policy names anybody.
        name: the receiver's name, None when there is none.
        kind: its channel, None when there is none.
        state: waiting, told, failed or dropped.
        reason: why it was dropped or failed, as a code `people.reason.*` has words for (after a `:` a detail).
        attempts: of its message.
        sent_ms: when the channel accepted it, None while it has not.
        possible_repeat: an earlier attempt may have arrived too.
        notification_id: its message, None when none was made.
    """

    at_ms: int
    purpose: str
    step: int
    target: str
    name: str | None
    kind: str | None
    state: str
    reason: str
    attempts: int
    sent_ms: int | None
    possible_repeat: bool
    notification_id: int | None


def read_notifications(connection: Connection, alarm_id: int) -> list[Told]:
    """Return everything planned and sent for an alarm, oldest first; the caller has checked who may see it."""
    with connection.cursor(row_factory=class_row(Told)) as cursor:
        return cursor.execute(_QUERIES["people_of_alarm"], {"alarm_id": alarm_id}).fetchall()


def list_messages(
    connection: Connection,
    scope: str,
    *,
    state: str | None = None,
    receiver: str | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """Return messages to receivers of a subtree, the newest first, as the statement `page_log` names them.

    Args:
        connection: acting as hanlu_alerts.
        scope: path of an organisation; "/" is everything.
        state: only those in it.
        receiver: only those to this one, by code.
        before: only those with a smaller key.
        limit: most rows.
    """
    values = {"scope": scope, "state": state, "code": receiver, "before": before, "limit": limit}
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_QUERIES["page_log"], values).fetchall()
