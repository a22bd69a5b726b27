"""A test message: sent at once by whoever presses the button, with the channel's true answer shown."""

from __future__ import annotations

from dataclasses import replace

from psycopg.rows import dict_row

from hanlu.alerts.people.channels.contract import DETAIL_LENGTH, Outcome
from hanlu.alerts.people.channels.post import post
from hanlu.alerts.people.config import NotifyConfig
from hanlu.alerts.people.endpoint import endpoint_of, without_secrets
from hanlu.alerts.people.limits import LIMITS, free_at, longest_window_ms
from hanlu.alerts.people.model import Receiver
from hanlu.alerts.people.text import test_letter
from hanlu.alerts.wording import words
from hanlu.core.clock import Clock, from_ms
from hanlu.core.errors import ConflictError
from hanlu.db.pool import Connection
from hanlu.db.queries import load_queries

__all__ = ["send_trial"]

_QUERIES = load_queries("hanlu.alerts.people")


def send_trial(connection: Connection, config: NotifyConfig, receiver: Receiver, clock: Clock) -> Outcome:
    """Send a test message and return what the channel said; it is on record like any other, and counts like any.

    Args:
        connection: autocommit or not, acting as hanlu_alerts; no transaction open.
        config: timeouts, mail server.
        receiver: where to; also one that is switched off.
        clock: the time.

    Raises:
        ConflictError: the channel's limit allows none at this moment; the message says when.
    """
    now_ms = clock.now_ms()
    letter = test_letter(receiver.name, receiver.lang, "", now_ms)
    with connection.transaction():
        since = from_ms(now_ms - longest_window_ms(receiver.kind))
        rows = connection.execute(_QUERIES["attempt_ends"], {"line": receiver.line, "since": since}).fetchall()
        free_ms = max(
            [free_at(LIMITS[receiver.kind], [each[0] for each in rows], now_ms), *(each[1] or 0 for each in rows)]
        )
        if free_ms > now_ms:
            raise ConflictError(f"the channel's limit is reached: again in {-(-(free_ms - now_ms) // 1000)} s")
        with connection.cursor(row_factory=dict_row) as cursor:
            values = {"receiver_id": receiver.receiver_id, "now": from_ms(now_ms), "message": letter.text}
            row = cursor.execute(_QUERIES["test_begin"], values).fetchone()
        assert row is not None
        _attempt(connection, row["notification_id"], Outcome("begun", ""), now_ms, receiver.line)
        endpoint = endpoint_of(connection, receiver.receiver_id)
    cut = words(receiver.lang)("people.text.cut")
    outcome = post(config, endpoint, replace(letter, uuid=row["uuid"]), cut)
    outcome = replace(outcome, detail=without_secrets(endpoint, outcome.detail)[:DETAIL_LENGTH])
    with connection.transaction():
        now_ms = clock.now_ms()
        _attempt(connection, row["notification_id"], outcome, now_ms, receiver.line)
        sent = outcome.kind == "sent"
        values = {
            "notification_ids": [row["notification_id"]],
            "state": "sent" if sent else "failed",
            "reason": "" if sent else f"{outcome.kind}:{outcome.detail}",
            "now": from_ms(now_ms),
        }
        connection.execute(_QUERIES["notification_finish"], values)
        # Whoever was killed while it tested left this behind.
        before = from_ms(now_ms - round((config.deadline_s + config.connect_s) * 4000))
        connection.execute(_QUERIES["test_late"], {"now": from_ms(now_ms), "before": before})
    return outcome


def _attempt(connection: Connection, notification_id: int, outcome: Outcome, now_ms: int, line: str) -> None:
    connection.execute(
        _QUERIES["attempt_write"],
        {
            "notification_id": notification_id,
            "number": 1,
            "now": from_ms(now_ms),
            "outcome": outcome.kind,
            "detail": outcome.detail,
            "retry_at": None,
            "line": line,
        },
    )
